// Colours of the SEEDSTORY_* connections, in the classic canvas and in Nodes 2.0.
import { app } from "../../scripts/app.js";

const COLORS = {
  SEEDSTORY_STORY: "#E8A33D",
  SEEDSTORY_LLM: "#C77DFF",
  SEEDSTORY_VISION: "#4CC9F0",
  SEEDSTORY_DETOKENIZER: "#F28482",
  SEEDSTORY_FEATURES: "#84DCC6",
  SEEDSTORY_SAMPLING: "#B8C0FF",
  SEEDSTORY_CONTEXT: "#CDB4DB",
  SEEDSTORY_LOOP: "#9AA5B1",
};

app.registerExtension({
  name: "seedstory.LinkColors",
  setup() {
    const links = app.canvas?.constructor?.link_type_colors;
    const slots = app.canvas?.default_connection_color_byType;
    for (const [type, color] of Object.entries(COLORS)) {
      if (links) links[type] = color;
      if (slots) slots[type] = color;
      document.documentElement.style.setProperty(`--color-datatype-${type}`, color);
    }
  },
});

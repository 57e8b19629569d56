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
  SEEDSTORY_MEMORY: "#A3B18A",
  SEEDSTORY_BOOK: "#D4A276",
};

function color() {
  const links = app.canvas?.constructor?.link_type_colors;
  const slots = app.canvas?.default_connection_color_byType;
  for (const [type, value] of Object.entries(COLORS)) {
    if (links) links[type] = value;
    if (slots) slots[type] = value;
    document.documentElement.style.setProperty(`--color-datatype-${type}`, value);
  }
}

app.registerExtension({
  name: "seedstory.LinkColors",
  setup() {
    color();
    // every palette blanks the types it does not know
    app.ui?.settings?.addEventListener?.("Comfy.ColorPalette.change", () => setTimeout(color));
  },
  afterConfigureGraph: color, // the first palette is laid after setup
});

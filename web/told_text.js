// The caption that a telling node tells, inside the node: live while it runs, kept afterwards.
import { app } from "../../scripts/app.js";
import { listOf, onMessage, textOf } from "./lib/messages.js";
import { hook, nodeAt, restore, restoreAll } from "./lib/nodes.js";

const TELLING = new Set([
  "SeedStory_TellPanel",
  "SeedStory_IllustrateCaption",
  "SeedStory_TellStory",
  "SeedStory_TellFutures",
  "SeedStory_PaintStory",
  "SeedStory_MemoryPlan",
  "SeedStory_EditCaption",
  "SeedStory_RerollPanel",
  "SeedStory_InsertPanel",
  "SeedStory_BestTake",
  "SeedStory_ReadScript",
  "SeedStory_SaveCharacter",
  "SeedStory_SaveStoryFile",
  "SeedStory_PressBook",
]);
// These speak only where something is to be said: the field comes with the first word.
const NOTING = new Set([
  "SeedStory_BookPages",
  "SeedStory_StoryVideo",
  "SeedStory_StoryPage",
  "SeedStory_StartStory",
]);
const WIDGET = "seedstory_told";
const MIN_HEIGHT = 72;

function addText(node) {
  const area = document.createElement("textarea");
  area.readOnly = true;
  area.className = "comfy-multiline-input";
  area.placeholder = "…";
  area.setAttribute("aria-label", "Told text");
  const widget = node.addDOMWidget(WIDGET, "seedstory_text", area, {
    serialize: false,
    hideOnZoom: false,
    getValue: () => area.value,
    setValue: () => {},
    getMinHeight: () => MIN_HEIGHT,
  });
  widget.serialize = false; // a result, not a setting: workflows do not carry it
}

function areaOf(node) {
  return node?.widgets?.find((widget) => widget.name === WIDGET)?.element;
}

function showText(node, text) {
  const area = areaOf(node);
  if (area) {
    area.value = textOf(text);
    area.scrollTop = area.scrollHeight;
  }
}

app.registerExtension({
  name: "seedstory.ToldText",
  setup() {
    onMessage("seedstory.text", ({ node, text }) => showText(nodeAt(node), text));
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    const noting = NOTING.has(nodeData.name);
    if (!noting && !TELLING.has(nodeData.name)) return;
    if (!noting) hook(nodeType, "onNodeCreated", addText);
    hook(nodeType, "onExecuted", (node, output) => {
      if (!output?.seedstory_text) return;
      const texts = listOf(output.seedstory_text).map(textOf);
      if (texts.length && !areaOf(node)) addText(node);
      showText(node, texts.join("\n\n"));
    });
  },
  loadedGraphNode(node) {
    if (TELLING.has(node.comfyClass) || NOTING.has(node.comfyClass)) restore(node);
  },
  onNodeOutputsUpdated: restoreAll([...TELLING, ...NOTING]),
});

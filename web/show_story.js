// Show Story: the panels with their captions inside the node.
import { app } from "../../scripts/app.js";
import { Board } from "./lib/board.js";
import { listOf, panelsOf, textOf } from "./lib/messages.js";
import { hook, restore, restoreAll } from "./lib/nodes.js";
import { MIN_HEIGHT } from "./lib/style.js";
import { Tree } from "./lib/tree.js";
import { words } from "./lib/words.js";

const NODE = "SeedStory_ShowStory";
const WIDGET = "seedstory_view";
const SIZE = [360, 480];

function addView(node) {
  const board = new Board(words());
  const widget = node.addDOMWidget(WIDGET, "seedstory_panels", board.host, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  });
  widget.serialize = false; // a result, not a setting: workflows do not carry it
  node.seedstoryBoard = board;
  node.setSize([Math.max(node.size[0], SIZE[0]), Math.max(node.size[1], SIZE[1])]);
}

// One story is a tree without a fork.
function asTree(told, closing) {
  const line = panelsOf(told).map((panel) => ({
    ...panel,
    uid: String(panel.number),
    parent: String(panel.number - 1),
  }));
  return { panels: line, branches: [{ tip: line.at(-1)?.uid ?? "", closing: textOf(closing) }] };
}

function showPanels(node, output) {
  if (!node.seedstoryBoard || !output?.seedstory_panels) return;
  const tree = new Tree(asTree(output.seedstory_panels, listOf(output.seedstory_closing)[0]));
  node.seedstoryBoard.show(tree, tree.branches[0]?.tip);
}

app.registerExtension({
  name: "seedstory.ShowStory",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    hook(nodeType, "onNodeCreated", addView);
    hook(nodeType, "onExecuted", showPanels);
  },
  loadedGraphNode(node) {
    if (node.comfyClass === NODE) restore(node);
  },
  onNodeOutputsUpdated: restoreAll([NODE]),
});

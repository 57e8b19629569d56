// Story View: the story while it is told, its branches, and the panel that the next run starts from.
// What is shown comes from the run that showed it, or from the story folders on disk: after a reload
// and whenever panels are kept. The pick is in the node's widgets, the folders in its properties.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { Board } from "./lib/board.js";
import { relation } from "./lib/links.js";
import { concerns, countOf, listOf, onMessage, textOf } from "./lib/messages.js";
import { hook, nodeAt, nodesOf, restore, restoreAll } from "./lib/nodes.js";
import { MIN_HEIGHT } from "./lib/style.js";
import { Tree, firstPanels, soundTree } from "./lib/tree.js";
import { words } from "./lib/words.js";

const NODE = "SeedStory_StoryView";
const WIDGET = "seedstory_tree";
const FOLDERS = "seedstory_folders";
const TELLING = new Set(
  ["TellPanel", "TellStory", "IllustrateCaption"].map((name) => `SeedStory_${name}`),
);
const SIZE = [440, 620];
const NEWEST = -1;
const MOST_FOLDERS = 64; // as many as the server reads for one view
const MOST_QUERY = 4000; // letters; servers refuse longer addresses
const MOST_NAME = 255; // letters of a folder's name

let heard = 0; // number of the newest message of the server

// Without a limit: a server that tells a story on its processor, or reads many, may take a while.
async function ask(path, query) {
  const asked = new URLSearchParams(query);
  const answer = await api.fetchApi(`/seedstory/${path}?${asked}`, { timeoutMs: null });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// Again and again for a minute: a connection may be down for a while.
async function insist(action, tries = 20) {
  for (let left = tries; ; left -= 1) {
    try {
      return await action();
    } catch (error) {
      if (left <= 1) throw error;
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

const isFolder = (name) => typeof name === "string" && name && name.length <= MOST_NAME;

// The stories in these folders as one tree.
async function keptTree(folders) {
  const all = { panels: [], branches: [] };
  const left = folders.slice(0, MOST_FOLDERS).map((folder) => ["folder", folder]);
  while (left.length) {
    const some = left.splice(0, 1);
    const room = () => `${new URLSearchParams([...some, left[0]])}`.length <= MOST_QUERY;
    while (left.length && room()) some.push(left.shift());
    const { panels, branches } = soundTree(await ask("stories", some));
    all.panels.push(...panels);
    all.branches.push(...branches);
  }
  return all;
}

class View {
  constructor(node) {
    this.node = node;
    this.given = { panels: [], branches: [] }; // what the node was last given
    this.live = new Map(); // folder -> { place, count, message, tree, read }: told since
    this.tree = new Tree();
    this.board = new Board(words(), {
      pick: (panel, action) => this.pick(panel, action),
      turn: (uid) => this.turn(uid),
    });
  }

  // The node has run.
  executed({ seedstory_tree: trees }) {
    this.begin();
    this.given = soundTree(listOf(trees)[0]);
    for (const [folder, { place }] of this.live) if (place === "before") this.live.delete(folder);
    this.draw();
  }

  // The first news of a new run replace those of the one before.
  begin() {
    if (!this.over) return;
    this.live.clear();
    this.over = false;
    this.held = null;
  }

  // A panel was kept by a node before or after this one.
  kept(place, { folder, panels, message }) {
    this.begin();
    const news = this.live.get(folder) ?? {};
    this.live.set(folder, Object.assign(news, { place, count: panels, message }));
    this.newest = folder;
    this.board.tell(null);
    return this.load();
  }

  async load() {
    this.again = true;
    if (this.loading) return;
    this.loading = true;
    try {
      while (this.again) {
        this.again = false;
        for (const [folder, news] of [...this.live]) {
          const { count, message, read } = news;
          if (read === message) continue;
          const tree = await insist(() => (this.gone ? null : keptTree([folder])));
          if (this.gone) return;
          news.tree = firstPanels(tree, count);
          news.read = message;
        }
        this.draw();
      }
    } catch (error) {
      console.warn("Story View could not read the story. It tries again with the next panel.", error);
    } finally {
      this.loading = false;
    }
  }

  // From disk, as after a reload of the page.
  async reload() {
    const named = listOf(this.node.properties?.[FOLDERS]);
    const folders = named.filter(isFolder);
    if (this.reading || !folders.length || this.given.panels.length) return;
    this.reading = true;
    const tree = await keptTree(folders).catch(() => null);
    this.reading = false;
    if (this.gone || !tree?.panels.length || this.given.panels.length) return;
    this.given = tree;
    this.draw();
  }

  // The folders of the stories shown, so that they are shown again after a reload.
  remember(trees) {
    const branches = trees.flatMap((tree) => tree.branches);
    const folders = branches.map((branch) => branch.folder).filter(Boolean);
    if (!branches.length) return;
    this.node.properties ??= {};
    if (JSON.stringify(this.node.properties[FOLDERS] ?? []) === JSON.stringify(folders)) return;
    this.node.properties[FOLDERS] = folders;
    changed();
  }

  draw() {
    const told = [...this.live.values()].filter((news) => news.tree);
    const trees = (place) => told.filter((news) => news.place === place).map((news) => news.tree);
    const before = trees("before");
    const after = trees("after");
    const whole = before.filter((tree) => !before.some((other) => goesOn(other, tree)));
    const first = whole.length ? whole : [this.given];
    this.tree = new Tree(...first, ...after);
    this.remember(first);
    this.board.show(this.tree, this.tip());
    this.mark();
  }

  // The last panel of the branch to show: the one turned to, else that which grows, else the pick's.
  tip() {
    const grown = this.live.get(this.newest)?.tree?.branches[0]?.tip;
    const wanted = this.held ?? grown ?? this.chosen()?.uid;
    return (this.tree.branchOf(wanted) ?? this.tree.branches[0])?.tip ?? "";
  }

  turn(uid) {
    this.held = uid;
    this.draw();
  }

  main() {
    return this.tree.path(this.tree.branches[0]?.tip);
  }

  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  // The picked panel as the widgets name it; null for the newest.
  chosen() {
    const value = (name) => this.widget(name)?.value;
    const [number, action, branch] = [value("pick"), value("action"), value("branch")];
    const wanted = String(branch ?? "").trim().toLowerCase();
    if (Number(number) === NEWEST && action !== "re-roll" && !wanted) return null;
    if (!wanted) return { action, uid: this.main().at(Number(number))?.uid ?? null };
    const found = [...this.tree.panels.values()].find(
      (panel) => panel.number === Number(number) && panel.uid.startsWith(wanted),
    );
    return { action, uid: found?.uid ?? null };
  }

  mark() {
    this.board.mark(this.tree.panels.size ? this.chosen() : null);
  }

  // Picking what is picked takes the pick back.
  pick(panel, action = "go on") {
    const now = this.chosen();
    const off = !panel || (now?.uid === panel.uid && now.action === action);
    const onMain = this.main().some(({ uid }) => uid === panel?.uid);
    this.set("pick", off ? NEWEST : panel.number);
    this.set("action", off ? "go on" : action);
    this.set("branch", off || onMain ? "" : panel.uid);
    this.mark();
    changed();
  }

  set(name, value) {
    const widget = this.widget(name);
    if (!widget || widget.value === value) return;
    widget.value = value;
    widget.callback?.(value);
    this.node.graph?.setDirtyCanvas?.(true, true);
  }
}

// Whether one story begins with all of the other.
function goesOn({ panels }, { branches }) {
  return panels.some((panel) => panel.parent === branches[0]?.tip);
}

// Tell ComfyUI that the workflow differs, as it keeps it over a reload.
function changed() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

function addView(node) {
  const view = new View(node);
  node.seedstoryView = view;
  const widget = node.addDOMWidget(WIDGET, "seedstory_tree", view.board.host, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  });
  widget.serialize = false; // a result, not a setting: workflows do not carry it
  for (const name of ["pick", "action", "branch"]) {
    const own = view.widget(name);
    if (!own) continue;
    const before = own.callback;
    own.callback = function (...args) {
      before?.apply(this, args);
      view.mark();
    };
  }
  const { onAdded, onRemoved } = node;
  node.onAdded = function (...args) {
    view.gone = false; // a node that moves into a subgraph leaves its graph for a moment
    onAdded?.apply(this, args);
  };
  node.onRemoved = function (...args) {
    view.gone = true; // nothing is asked for any more
    onRemoved?.apply(this, args);
  };
  node.setSize([Math.max(node.size[0], SIZE[0]), Math.max(node.size[1], SIZE[1])]);
}

const views = () => nodesOf(NODE).flatMap((node) => node.seedstoryView ?? []);

function each(id, act) {
  const all = views();
  for (const view of all) {
    const place = relation(view.node, id, all.length === 1);
    if (place) act(view, place);
  }
}

function onKept({ node, folder, panels, message }) {
  if (!isFolder(folder)) return;
  const news = { folder, panels: countOf(panels), message: countOf(message) };
  heard = Math.max(heard, news.message);
  each(node, (view, place) => view.kept(place, news));
}

// What the server said while the connection was down.
async function catchUp() {
  const query = { client: api.clientId ?? "", after: heard };
  const { messages, newest } = await insist(() => ask("kept", query));
  heard = newest;
  listOf(messages).filter(concerns).forEach(onKept);
  views().forEach((view) => view.reload());
}

app.registerExtension({
  name: "seedstory.StoryView",
  setup() {
    ask("kept", {}).then(({ newest }) => (heard = Math.max(heard, newest)), () => {});
    onMessage("seedstory.kept", onKept);
    onMessage("seedstory.text", ({ node, text }) => {
      if (!TELLING.has(nodeAt(node)?.comfyClass)) return;
      each(node, (view) => view.board.tell(textOf(text)));
    });
    api.addEventListener("reconnected", () => catchUp().catch(() => {}));
    api.addEventListener("execution_start", () => views().forEach((view) => (view.over = true)));
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, () => views().forEach((view) => view.board.tell(null)));
    }
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    hook(nodeType, "onNodeCreated", addView);
    hook(nodeType, "onConfigure", ({ seedstoryView }) => {
      seedstoryView?.mark();
      seedstoryView?.reload(); // a copy, or a node moved into a subgraph
    });
    hook(nodeType, "onExecuted", (node, output) => {
      if (output?.seedstory_tree) node.seedstoryView?.executed(output);
    });
  },
  loadedGraphNode(node) {
    if (node.comfyClass !== NODE) return;
    restore(node);
    node.seedstoryView?.reload();
  },
  onNodeOutputsUpdated: restoreAll([NODE]),
});

// Story View: the story while it is told, its branches, and the panel that the next run starts from.
// What is shown comes from the run that showed it, or from the story folders on disk: after a reload
// and whenever panels are kept. The pick is in the node's widgets, the folders in its properties.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { Board } from "./lib/board.js";
import { nodesOf, relation } from "./lib/links.js";
import { hook, nodeAt, restore } from "./lib/nodes.js";
import { MIN_HEIGHT } from "./lib/style.js";
import { Tree, firstPanels } from "./lib/tree.js";
import { words } from "./lib/words.js";

const NODE = "SeedStory_StoryView";
const WIDGET = "seedstory_tree";
const FOLDERS = "seedstory_folders";
const TELLING = new Set(
  ["TellPanel", "TellStory", "IllustrateCaption"].map((name) => `SeedStory_${name}`),
);
const SIZE = [440, 620];
const NEWEST = -1;

let heard = 0; // number of the newest message of the server

async function ask(path, query) {
  const answer = await api.fetchApi(`/seedstory/${path}?${new URLSearchParams(query)}`);
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

const keptTree = (folders) => ask("stories", folders.map((folder) => ["folder", folder]));

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
  executed({ seedstory_tree: [tree] }) {
    this.begin();
    this.given = tree;
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
    const folders = this.node.properties?.[FOLDERS];
    if (!Array.isArray(folders) || !folders.length || this.given.panels.length) return;
    const tree = await keptTree(folders.map(String)).catch(() => null);
    if (!tree?.panels.length || this.given.panels.length) return;
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
  const removed = node.onRemoved;
  node.onRemoved = function (...args) {
    view.gone = true; // nothing is asked for any more
    removed?.apply(this, args);
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

function onKept(detail) {
  heard = Math.max(heard, detail.message);
  each(detail.node, (view, place) => view.kept(place, detail));
}

// What the server said while the connection was down.
async function catchUp() {
  const query = { client: api.clientId ?? "", after: heard };
  const { messages, newest } = await insist(() => ask("kept", query));
  heard = newest;
  messages.forEach(onKept);
  views().forEach((view) => view.reload());
}

app.registerExtension({
  name: "seedstory.StoryView",
  setup() {
    ask("kept", {}).then(({ newest }) => (heard = Math.max(heard, newest)), () => {});
    api.addEventListener("seedstory.kept", ({ detail }) => onKept(detail));
    api.addEventListener("seedstory.text", ({ detail }) => {
      if (!TELLING.has(nodeAt(detail.node)?.comfyClass)) return;
      each(detail.node, (view) => view.board.tell(detail.text));
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
    hook(nodeType, "onConfigure", (node) => node.seedstoryView?.mark());
    hook(nodeType, "onExecuted", (node, output) => {
      if (output?.seedstory_tree) node.seedstoryView?.executed(output);
    });
  },
  loadedGraphNode(node) {
    if (node.comfyClass !== NODE) return;
    restore(node);
    node.seedstoryView?.reload();
  },
});

// The panels of a story with their captions, and above them the tree of its branches.
import { enlarge } from "./lightbox.js";
import { element, picture } from "./pictures.js";
import { STYLE } from "./style.js";
import { Tree } from "./tree.js";

// What the status line says of a pick.
const SAID = { "go on": "onward", "re-roll": "anew", "whole story": "marked" };
const ENDS = 3; // panels of a long row that the tree shows at either end
const NEAR = 40; // pixels from the bottom that count as being there

// In place: only what is missing is put in, so that scrolling and focus stay.
function fill(list, items) {
  items.forEach((item, at) => {
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  while (list.children.length > items.length) list.lastElementChild.remove();
}

export class Board {
  // `pick(panel, action)` is called for a panel's buttons, `turn(uid)` to show another branch;
  // without `pick` there are no buttons.
  constructor(words, { pick = null, turn = () => {} } = {}) {
    Object.assign(this, { words, pick, turn, tree: new Tree(), line: [], chosen: null });
    this.items = new Map(); // uid -> { key, item, acts }
    this.told = null; // the words of the panel in the making
    this.status = element("p", { className: "status", role: "status" });
    this.unpick = this.button(words.unpick, words.unpickIt, () => pick(null));
    this.head = element("div", { className: "head" }, this.status, this.unpick);
    this.branches = element("ul", { className: "tree", "aria-label": words.branches });
    this.list = element("ol", { className: "panels", role: "list", "aria-label": words.panels });
    this.makingText = element("figcaption", { dir: "auto" });
    const blank = element("div", { className: "blank" }, "…");
    this.making = element("li", { className: "panel making" });
    this.making.append(element("figure", {}, blank, this.makingText));
    this.closing = element("p", { className: "closing", dir: "auto" });
    this.view = element("div", { className: "view" });
    this.view.append(...(pick ? [this.head] : []), this.branches, this.list, this.closing);
    this.host = element("div", { className: "seedstory-view" });
    this.host.attachShadow({ mode: "open" }).append(element("style", {}, STYLE), this.view);
    this.host.addEventListener("wheel", (event) => this.keepWheel(event), { passive: true });
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.mark(null);
  }

  button(label, title, action) {
    const made = element("button", { type: "button", title, "aria-label": title }, label);
    made.addEventListener("click", action);
    // the node behind must not be dragged, nor the graph see keys that press the button
    made.addEventListener("pointerdown", (event) => event.stopPropagation());
    made.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") event.stopPropagation();
    });
    return made;
  }

  keepWheel(event) {
    const scrolls = this.view.scrollHeight > this.view.clientHeight;
    if (scrolls && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  }

  // Draw the branch that ends with `tip`; what is drawn already stays.
  show(tree, tip) {
    const { scrollHeight, scrollTop, clientHeight } = this.view;
    const line = tree.path(tip);
    const grows = this.line.length > 0 && this.line[0].uid === line[0]?.uid;
    const followed = grows && scrollHeight - scrollTop - clientHeight < NEAR;
    Object.assign(this, { tree, line });
    const items = new Map();
    for (const panel of this.line) {
      const key = JSON.stringify([panel.number, panel.caption, panel.image]);
      const known = this.items.get(panel.uid);
      items.set(panel.uid, known?.key === key ? known : { key, ...this.item(panel) });
    }
    this.items = items;
    fill(this.list, [...items.values()].map(({ item }) => item));
    this.closing.textContent = tree.branches.find((branch) => branch.tip === tip)?.closing ?? "";
    this.drawTree();
    this.tell(this.told);
    this.mark(this.chosen);
    if (followed) this.view.scrollTop = this.view.scrollHeight;
  }

  item(panel) {
    const { words } = this;
    const open = () => this.enlarge(panel.uid);
    const shown = panel.image
      ? this.button(picture(panel), words.enlarge, open)
      : element("div", { className: "blank" }, words.unpainted);
    if (panel.image) {
      shown.className = "picture";
      shown.removeAttribute("aria-label"); // the picture's own text says which panel it is
    }
    const caption = element("figcaption", { dir: "auto" }, `${panel.number}. ${panel.caption}`);
    const item = element("li", { className: "panel" }, element("figure", {}, shown, caption));
    item.dataset.uid = panel.uid;
    if (!this.pick) return { item, acts: {} };
    const { number } = panel;
    const act = (label, title, action) => this.button(label, title, () => this.pick(panel, action));
    const acts = { "go on": act(words.goOn, words.goOnFrom(number), "go on") };
    if (number > 0) acts["re-roll"] = act(words.reRoll, words.reRollIt(number), "re-roll");
    item.append(element("div", { className: "acts" }, ...Object.values(acts)));
    return { item, acts };
  }

  enlarge(uid) {
    enlarge(this.host.shadowRoot, () => this.line, uid, this.words, (last) => {
      this.items.get(last)?.item.querySelector("button.picture")?.focus();
    });
  }

  // Arrow keys go from picture to picture.
  walk(event) {
    const pictures = [...this.list.querySelectorAll("button.picture")];
    const at = pictures.indexOf(this.host.shadowRoot.activeElement);
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1 };
    steps.Home = 0;
    steps.End = pictures.length - 1;
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    pictures[steps[event.key]]?.focus();
  }

  drawTree() {
    const rows = this.tree.rows();
    this.branches.hidden = rows.length < 2;
    const shown = new Set(this.line.map((panel) => panel.uid));
    const focused = this.host.shadowRoot.activeElement?.dataset.uid;
    const items = rows.length < 2 ? [] : rows.map((row, at) => this.row(row, at, shown));
    this.branches.replaceChildren(...items);
    const thumbs = [...this.branches.querySelectorAll("button")];
    if (focused) thumbs.find((thumb) => thumb.dataset.uid === focused)?.focus();
  }

  row({ depth, panels }, at, shown) {
    const item = element("li", { "aria-label": this.words.branch(at + 1, panels.length) });
    if (depth) item.className = "deeper";
    item.style.setProperty("--depth", Math.min(depth, 8));
    const skipped = panels.length - 2 * ENDS - 1;
    panels.forEach((panel, place) => {
      if (skipped > 0 && place === ENDS) {
        item.append(element("span", { className: "skipped" }, this.words.skipped(skipped + 1)));
      }
      const hidden = skipped > 0 && place >= ENDS && place < panels.length - ENDS;
      if (!hidden) item.append(this.thumb(panel, shown));
    });
    return item;
  }

  thumb(panel, shown) {
    const label = `${panel.number}. ${panel.caption}`;
    const inside = panel.image ? picture(panel, "") : String(panel.number);
    const made = this.button(inside, label, () => {
      this.turn(panel.uid);
      this.items.get(panel.uid)?.item.scrollIntoView({ block: "nearest" });
    });
    made.dataset.uid = panel.uid;
    if (shown.has(panel.uid)) made.setAttribute("aria-current", "true");
    return made;
  }

  // The words of the panel in the making; null when none is.
  tell(text) {
    this.told = text;
    if (text === null) this.making.remove();
    else if (this.list.lastElementChild !== this.making) this.list.append(this.making);
    this.makingText.textContent = text || this.words.telling;
    this.say();
  }

  // `chosen`: { uid, action } of the picked panel, uid null where it is not in the tree.
  mark(chosen) {
    this.chosen = chosen;
    const at = this.line.findIndex((panel) => panel.uid === chosen?.uid);
    this.line.forEach((panel, place) => {
      const { item, acts } = this.items.get(panel.uid);
      item.classList.toggle("picked", place === at);
      item.classList.toggle("later", at >= 0 && chosen.action === "go on" && place > at);
      for (const [action, button] of Object.entries(acts)) {
        button.setAttribute("aria-pressed", String(place === at && chosen.action === action));
      }
    });
    for (const thumb of this.branches.querySelectorAll("button")) {
      thumb.classList.toggle("picked", thumb.dataset.uid === chosen?.uid);
    }
    this.unpick.hidden = !chosen;
    this.say();
  }

  say() {
    const said = this.says();
    if (this.status.textContent !== said) this.status.textContent = said; // screen readers read it
  }

  says() {
    const { words, chosen, line } = this;
    if (this.told !== null) return `${words.length(line.length)}. ${words.telling}`;
    if (!line.length) return words.alone;
    if (!chosen) return words.length(line.length);
    const panel = this.tree.panels.get(chosen.uid);
    if (!panel) return words.lost;
    return words[SAID[chosen.action]]?.(panel.number) ?? "";
  }
}

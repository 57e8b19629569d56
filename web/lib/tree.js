// A tree of panels as the server sends it: every panel knows the one before it, every branch the
// uid of its last panel. Panels that several stories share are one panel here.

import { listOf, panelsOf, textOf } from "./messages.js";

export class Tree {
  constructor(...parts) {
    this.panels = new Map(); // uid -> panel
    this.branches = []; // { tip, folder, closing }
    for (const part of parts) this.add(part);
  }

  add({ panels, branches }) {
    for (const panel of panels) {
      const known = this.panels.get(panel.uid);
      if (!known?.image || panel.image) this.panels.set(panel.uid, panel);
    }
    for (const branch of branches) {
      if (this.panels.has(branch.tip)) this.branches.push(branch);
    }
  }

  // The panels from the opening to the one with the uid `tip`.
  path(tip) {
    const line = [];
    const seen = new Set(); // a file made by hand could go round in circles
    let panel = this.panels.get(tip);
    while (panel && !seen.has(panel.uid)) {
      seen.add(panel.uid);
      line.push(panel);
      panel = this.panels.get(panel.parent);
    }
    return line.reverse();
  }

  // The first branch that the panel is on.
  branchOf(uid) {
    return this.branches.find(({ tip }) => this.path(tip).some((panel) => panel.uid === uid));
  }

  // The tree from top to bottom: runs of panels without a fork, with the number of forks above.
  rows() {
    const children = new Map();
    const roots = [];
    for (const { tip } of this.branches) {
      for (const { uid, parent } of this.path(tip)) {
        const beside = this.panels.has(parent) ? children.get(parent) ?? [] : roots;
        if (!beside.includes(uid)) beside.push(uid);
        if (beside !== roots) children.set(parent, beside);
      }
    }
    const rows = [];
    const waiting = roots.reverse().map((uid) => ({ uid, depth: 0 }));
    while (waiting.length) {
      const { uid, depth } = waiting.pop();
      const panels = [this.panels.get(uid)];
      let after = children.get(uid) ?? [];
      while (after.length === 1) {
        panels.push(this.panels.get(after[0]));
        after = children.get(after[0]) ?? [];
      }
      rows.push({ depth, panels });
      const deeper = after.map((next) => ({ uid: next, depth: depth + 1 }));
      waiting.push(...deeper.reverse());
    }
    return rows;
  }
}

// A tree as it came, with what can be drawn of it.
export function soundTree(tree) {
  const branches = listOf(tree?.branches).map((branch) => ({
    tip: textOf(branch?.tip),
    folder: textOf(branch?.folder),
    closing: textOf(branch?.closing),
  }));
  return { panels: panelsOf(tree?.panels).filter(({ uid }) => uid), branches };
}

// `tree` of one story, as far as its first `count` panels.
export function firstPanels(tree, count) {
  const [branch] = tree.branches;
  const line = branch ? new Tree(tree).path(branch.tip) : [];
  if (line.length <= count) return tree;
  const panels = line.slice(0, count);
  const tip = panels[count - 1]?.uid ?? "";
  return { panels, branches: [{ ...branch, tip, closing: "" }] };
}

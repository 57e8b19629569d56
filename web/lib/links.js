// Where nodes lie to each other: which telling concerns which view.
import { pathTo } from "./nodes.js";

// Whether the graph, or a subgraph in it, holds the node.
function holds(graph, node, seen = new Set()) {
  if (!graph || seen.has(graph)) return false;
  seen.add(graph);
  return node.graph === graph || graph._nodes.some((one) => holds(one.subgraph, node, seen));
}

// Whether something flows from one node to one of the others, all in one graph.
function flows(from, targets) {
  const seen = new Set([from]);
  for (const node of seen) {
    if (targets.includes(node)) return true;
    const slots = node.graph ? (node.outputs ?? []) : [];
    slots.forEach((_, slot) => {
      for (const next of node.getOutputNodes(slot) ?? []) seen.add(next);
    });
  }
  return false;
}

// "before" where the node with this id (as "12:5" in subgraphs) leads to `view`, "after" where
// `view` leads to it. A view that is alone is led to by all: links may be hidden in other packs'
// Set and Get nodes.
export function relation(view, id, alone) {
  const path = pathTo(id);
  if (!view.graph || !path?.at(-1).comfyClass?.startsWith("SeedStory_")) return null;
  const there = path.findLast((node) => holds(node.graph, view)); // in the innermost common graph
  if (!there) return null;
  const here = there.graph._nodes.filter((node) => node === view || holds(node.subgraph, view));
  if (flows(there, here)) return "before";
  if (here.some((node) => flows(node, [there]))) return "after";
  return alone ? "before" : null;
}

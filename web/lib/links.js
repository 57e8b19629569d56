// Where nodes lie to each other: which telling concerns which view.
import { app } from "../../../scripts/app.js";

// All nodes, each with the nodes of the subgraphs around it: [outermost, ..., the node itself].
function* places(graph = app.rootGraph ?? app.graph, around = []) {
  for (const node of graph?._nodes ?? graph?.nodes ?? []) {
    yield [...around, node];
    if (node.subgraph) yield* places(node.subgraph, [...around, node]);
  }
}

export function nodesOf(kind) {
  return [...places()].map((place) => place.at(-1)).filter((node) => node.comfyClass === kind);
}

function target(graph, id) {
  const link = graph.getLink?.(id) ?? graph.links?.get?.(id) ?? graph.links?.[id];
  return link ? graph.getNodeById(link.target_id) : null;
}

// Whether something flows from one node to the other, both in one graph.
function flows(from, to) {
  const seen = new Set([from.id]);
  const waiting = [from];
  while (waiting.length) {
    const node = waiting.pop();
    if (node.id === to.id) return true;
    for (const output of node.outputs ?? []) {
      for (const id of output.links ?? []) {
        const next = target(node.graph, id);
        if (next && !seen.has(next.id)) {
          seen.add(next.id);
          waiting.push(next);
        }
      }
    }
  }
  return false;
}

// "before" where the node with this id (as "12:5" in subgraphs) leads to `view`, "after" where
// `view` leads to it. A view that is alone is led to by all: links may be hidden in other packs'
// Set and Get nodes.
export function relation(view, id, alone) {
  const all = [...places()];
  const mine = all.find((place) => place.at(-1) === view);
  const other = all.find((place) => place.map((node) => node.id).join(":") === String(id));
  if (!mine || !other?.at(-1).comfyClass?.startsWith("SeedStory_")) return null;
  let depth = 0;
  while (mine[depth] === other[depth] && depth < mine.length - 1) depth += 1;
  const [here, there] = [mine[depth], other[depth]];
  if (!here || !there) return null;
  if (flows(there, here)) return "before";
  if (flows(here, there)) return "after";
  return alone ? "before" : null;
}

// Small helpers around ComfyUI's nodes, wherever they lie: subgraphs may be in subgraphs, and one
// subgraph may be used in several places.
import { app } from "../../../scripts/app.js";

const root = () => app.rootGraph ?? app.graph;

// Call `after(node, ...args)` whenever the node's own method has run.
export function hook(nodeType, method, after) {
  const own = nodeType.prototype[method];
  nodeType.prototype[method] = function (...args) {
    const result = own?.apply(this, args);
    after(this, ...args);
    return result;
  };
}

// All graphs: the root, and each subgraph that is used once, however often it is.
function graphs() {
  const found = new Set([root()]);
  for (const graph of found) {
    for (const { subgraph } of graph?._nodes ?? []) if (subgraph) found.add(subgraph);
  }
  return [...found].filter(Boolean);
}

export function nodesOf(...kinds) {
  const all = graphs().flatMap((graph) => graph._nodes ?? []);
  return all.filter((node) => kinds.includes(node.comfyClass));
}

// The nodes that the parts of an id name: "12:5" is node 5 in the subgraph of node 12. Null where
// one of them is gone.
export function pathTo(id) {
  const found = [];
  let graph = root();
  for (const part of String(id).split(":")) {
    const node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part));
    if (!node) return null;
    found.push(node);
    graph = node.subgraph;
  }
  return found;
}

export const nodeAt = (id) => pathTo(id)?.at(-1) ?? null;

// What ComfyUI keeps of what a node has shown. Its key is the id of the node, and in a subgraph the
// id of the subgraph before it.
function shown(node, outputs) {
  const inside = node.graph && node.graph !== root();
  return outputs?.[inside ? `${node.graph.id}:${node.id}` : node.id];
}

// Show again what the node has shown in this session, as after an undo.
export function restore(node, outputs = app.nodeOutputs) {
  const output = shown(node, outputs);
  if (output) node.onExecuted?.(output);
}

// The same for all nodes of these kinds, as after switching workflows: ComfyUI has the outputs
// only after the nodes are there.
export const restoreAll = (kinds) => (outputs) => {
  for (const node of nodesOf(...kinds)) restore(node, outputs);
};

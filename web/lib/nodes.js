// Small helpers around ComfyUI's nodes that both extensions use.
import { app } from "../../../scripts/app.js";

// Call `after(node, ...args)` whenever the node's own method has run.
export function hook(nodeType, method, after) {
  const own = nodeType.prototype[method];
  nodeType.prototype[method] = function (...args) {
    const result = own?.apply(this, args);
    after(this, ...args);
    return result;
  };
}

// The node with this id; inside subgraphs ids are paths such as "12:5".
export function nodeAt(id) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part)) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

// Show again what the node has shown in this session, as after switching workflows.
export function restore(node) {
  const output = app.nodeOutputs?.[node.id];
  if (output) node.onExecuted?.(output);
}

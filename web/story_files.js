/**
 * Story files in the front end.
 *
 * On Load Story File: a button that uploads a file, and a file dropped on the node. (ComfyUI's own
 * upload widget takes pictures, sounds and videos only; its route takes any file.)
 *
 * On the canvas: a story file or a book that is dropped there opens the workflow that made it, as a
 * picture does by ComfyUI itself. A story without one comes in a new Load Story File.
 */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "SeedStory_LoadStoryFile";
const BOOKS = [".seedstory", ".pdf", ".epub", ".cbz", ".html"];
const ENDINGS = [...BOOKS, ".png"];
const FORMAT = "seedstory-story";
const MANIFEST = "story.json";
const LINK = "data:application/vnd.seedstory+zip;base64,";
const CARRIED = "story.seedstory"; // name of a story file within a book that is a zip
const MAX_FILE = 2 ** 31 - 1; // bytes that a browser reads at once
const MAX_MANIFEST = 64 * 2 ** 20; // bytes, as the server has it
const END = 0x06054b50; // "PK\5\6": where a zip ends, in END_SIZE bytes and a comment
const END_SIZE = 22;
const LOCATOR = 0x07064b50; // "PK\6\7": before it in a zip of very many members
const LOCATOR_SIZE = 20;
const LARGE_SIZE = 76; // of both records that such a zip has between its directory and its end
const ENTRY = 0x02014b50; // "PK\1\2": a line of the directory, ENTRY_SIZE bytes and names
const ENTRY_SIZE = 46;
const MEMBER = 0x04034b50; // "PK\3\4": a member, HEAD bytes before its name
const HEAD = 30;

const ends = (file, endings) => endings.some((one) => file.name.toLowerCase().endsWith(one));

function complain(file, error) {
  if (error.cause) console.warn(error.cause);
  app.extensionManager.toast.add({
    severity: "error",
    summary: `${file.name} was not opened`,
    detail: error.message,
    life: 8000,
  });
}

// ---- onto the node

/** Uploads to the input folder; the name it got there, which differs where one was taken. */
async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  // Without a limit: a large book over a slow line takes minutes, and ComfyUI gives up after one.
  const asked = { method: "POST", body, timeoutMs: null };
  const answer = await api.fetchApi("/upload/image", asked).catch(() => {
    throw new Error("the connection to the server broke off");
  });
  if (answer.status === 413) throw new Error("it is larger than --max-upload-size allows");
  if (answer.status !== 200) throw new Error(`the server answered ${answer.status}`);
  return (await answer.json()).name;
}

async function take(node, file) {
  const widget = node.widgets?.find((one) => one.name === "file");
  if (!widget) return;
  try {
    const name = await upload(file);
    const { values } = widget.options;
    if (Array.isArray(values) && !values.includes(name)) values.unshift(name);
    widget.value = name;
    widget.callback?.(name);
    node.setDirtyCanvas(true, true);
  } catch (error) {
    complain(file, error);
  }
}

function chooseFile(node) {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = ENDINGS.join(",");
  input.addEventListener("change", () => input.files[0] && take(node, input.files[0]));
  input.click();
}

// ---- onto the canvas

/** The bytes of a file in which a story lies as it is; an HTML page has it in a link. */
async function bytesOf(file) {
  if (file.size > MAX_FILE) {
    throw new Error("it is larger than 2 GB; put it into the input folder for Load Story File");
  }
  let text;
  try {
    if (!ends(file, [".html"])) return new Uint8Array(await file.arrayBuffer());
    text = await file.text();
  } catch (error) {
    throw new Error("the browser could not read it; is it still there?", { cause: error });
  }
  return bytesInLink(text);
}

/** The bytes in the link of an HTML page; none where it has no such link. */
function bytesInLink(text) {
  const at = text.indexOf(LINK);
  if (at < 0) return new Uint8Array();
  const from = at + LINK.length;
  const end = text.indexOf('"', from);
  let data;
  try {
    data = atob(text.slice(from, end < 0 ? text.length : end));
  } catch (error) {
    throw new Error("the story in its link is damaged; get another copy", { cause: error });
  }
  const bytes = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 1) bytes[i] = data.charCodeAt(i);
  return bytes;
}

/**
 * Where the last zip in the bytes of a file has its directory, null where there is none: {base, at,
 * end}, the place from which it counts and the directory's first and last byte. The zip may be the
 * whole file, or lie in it as it is, as in a PDF. Only the last one is looked at, so that the time
 * grows with the file.
 */
function directoryIn(bytes, view) {
  for (let at = bytes.length - END_SIZE; at >= 0; at -= 1) {
    if (bytes[at] !== 0x50 || view.getUint32(at, true) !== END) continue;
    const large = at >= LARGE_SIZE && view.getUint32(at - LOCATOR_SIZE, true) === LOCATOR;
    const end = at - (large ? LARGE_SIZE : 0);
    const first = end - view.getUint32(at + 12, true);
    const base = first - view.getUint32(at + 16, true);
    if (base < 0 || first + 4 > end || view.getUint32(first, true) !== ENTRY) continue;
    return { base, at: first, end };
  }
  return null;
}

/** The member of a zip with the name, in whatever folder if it may: {packing, data}, or null. */
function memberIn(bytes, wanted, anyFolder = false) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = directoryIn(bytes, view);
  if (!found) return null;
  const decoder = new TextDecoder();
  let { at } = found;
  while (at + ENTRY_SIZE <= found.end && view.getUint32(at, true) === ENTRY) {
    const [packing, length, extra, comment] = [10, 28, 30, 32].map((n) => view.getUint16(at + n, true));
    const name = decoder.decode(bytes.subarray(at + ENTRY_SIZE, at + ENTRY_SIZE + length));
    if (name === wanted || (anyFolder && name.endsWith(`/${wanted}`))) {
      const head = found.base + view.getUint32(at + 42, true);
      if (head + HEAD > found.at || view.getUint32(head, true) !== MEMBER) break;
      const from = head + HEAD + view.getUint16(head + 26, true) + view.getUint16(head + 28, true);
      const to = from + view.getUint32(at + 20, true);
      if (to > found.at) break;
      return { packing, data: bytes.subarray(from, to) };
    }
    at += ENTRY_SIZE + length + extra + comment;
  }
  return null;
}

/**
 * The manifest of the story that lies in the bytes of a file, null where none does. Books hold the
 * story file as it is: a PDF somewhere, an EPUB or CBZ as a member.
 */
function manifestIn(bytes) {
  const book = memberIn(bytes, CARRIED, true);
  if (book && book.packing !== 0) return null;
  const member = memberIn(book ? book.data : bytes, MANIFEST);
  if (!member) return null;
  // Packed by another program: the server can read it, so it comes in a Load Story File.
  if (member.packing !== 0) return { format: FORMAT, panels: [] };
  if (member.data.length > MAX_MANIFEST) throw new Error(`its ${MANIFEST} is larger than 64 MB`);
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder().decode(member.data));
  } catch (error) {
    throw new Error(`its ${MANIFEST} is not valid JSON; get another copy`, { cause: error });
  }
  return isObject(manifest) && manifest.format === FORMAT ? manifest : null;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** ``value`` if it is an object or left out; else says which part of the manifest is none. */
function objectOf(value, part) {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new Error(`its ${MANIFEST} misshapes ${part}: expected an object`);
  return value;
}

/** ``{workflow, prompt}`` of the newest panel that has them, as far as they can be opened. */
function made(manifest) {
  const { panels } = manifest;
  if (!Array.isArray(panels)) throw new Error(`its ${MANIFEST} has no list of panels`);
  const workflows = objectOf(manifest.workflows, "workflows");
  for (let at = panels.length - 1; at >= 0; at -= 1) {
    const panel = objectOf(panels[at], `panel ${at}`);
    const { workflow: mark } = objectOf(panel.provenance, `the provenance of panel ${at}`);
    if (!mark) continue;
    const named = typeof mark === "string";
    const known = named && Object.hasOwn(workflows, mark) ? workflows[mark] : undefined;
    const found = objectOf(named ? known : mark, `the workflow of panel ${at}`);
    return { workflow: graphOf(found.workflow), prompt: promptOf(found.prompt) };
  }
  return {};
}

/** A workflow that ComfyUI can draw, or nothing. */
function graphOf(workflow) {
  const { nodes, links = [] } = objectOf(workflow, "a workflow");
  if (nodes === undefined) return undefined;
  const drawn = Array.isArray(nodes) && nodes.every((node) => isObject(node) && typeof node.type === "string");
  if (!drawn) throw new Error(`its ${MANIFEST} has a workflow whose nodes are no list of nodes`);
  if (!Array.isArray(links)) throw new Error(`its ${MANIFEST} has a workflow whose links are no list`);
  return workflow;
}

/** A prompt that ComfyUI can draw, or nothing. */
function promptOf(prompt) {
  const nodes = Object.values(objectOf(prompt, "a prompt"));
  if (!nodes.length) return undefined;
  if (!nodes.every((node) => isObject(node) && typeof node.class_type === "string" && isObject(node.inputs))) {
    throw new Error(`its ${MANIFEST} has a prompt that is no list of nodes`);
  }
  return prompt;
}

/** Opens what a file carries; false where it carries no story. */
async function open(file) {
  const manifest = manifestIn(await bytesOf(file));
  if (!manifest) return false;
  const { workflow, prompt } = made(manifest);
  const name = file.name.replace(/\.\w+$/, "");
  if (!workflow && !prompt) {
    const node = LiteGraph.createNode(NODE);
    node.pos = [...app.canvas.graph_mouse];
    (app.canvas.graph ?? app.graph).add(node); // the graph on the screen, which may be a subgraph
    await take(node, file);
    return true;
  }
  try {
    if (workflow) await app.loadGraphData(workflow, true, true, name);
    else await app.loadApiJson(prompt, name);
  } catch (error) {
    throw new Error("ComfyUI could not draw the workflow it carries", { cause: error });
  }
  return true;
}

/** Whether a node lies under the pointer; what is dropped on a node is the node's. */
function overNode(event) {
  if (event.target.closest?.("[data-node-id]")) return true;
  const [x, y] = app.canvas.convertEventToCanvasOffset(event);
  return Boolean(app.canvas.graph?.getNodeOnPos(x, y)?.onDragDrop);
}

function onDrop(event) {
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length !== 1 || !ends(files[0], BOOKS) || overNode(event)) return;
  const typing = event.target.closest?.("input, textarea, [contenteditable]");
  if (typing) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const [file] = files;
  open(file)
    .then((found) => {
      if (!found) complain(file, new Error("it carries no story"));
    })
    .catch((error) => complain(file, error));
}

app.registerExtension({
  name: "seedstory.storyFiles",
  setup() {
    // Before ComfyUI's own listener, which cannot read these files and would say so.
    window.addEventListener("drop", onDrop, true);
  },
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const button = node.addWidget("button", "choose story file", null, () => chooseFile(node));
    button.serialize = false;
    node.onDragOver = (event) => [...(event.dataTransfer?.items ?? [])].some((i) => i.kind === "file");
    node.onDragDrop = (event) => {
      const file = [...(event.dataTransfer?.files ?? [])].find((one) => ends(one, ENDINGS));
      if (file) take(node, file);
      return Boolean(file);
    };
  },
});

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
const MEMBER = 0x04034b50; // "PK\3\4": a member of a zip begins
const HEAD = 30; // bytes before its name

const ends = (file, endings) => endings.some((one) => file.name.toLowerCase().endsWith(one));

function complain(file, error) {
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
  if (!ends(file, [".html"])) return new Uint8Array(await file.arrayBuffer());
  const text = await file.text();
  const at = text.indexOf(LINK);
  if (at < 0) return new Uint8Array();
  const [data] = /^[A-Za-z0-9+/=\s]*/.exec(text.slice(at + LINK.length));
  return Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
}

/**
 * The manifest of the story that lies in the bytes of a file, null where none does. Books hold the
 * story file as it is, and that holds its manifest as it is, last: so it is looked for from behind.
 */
function manifestIn(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (from, length) => new TextDecoder().decode(bytes.subarray(from, from + length));
  for (let at = bytes.length - HEAD - MANIFEST.length; at >= 0; at -= 1) {
    if (bytes[at] !== 0x50 || view.getUint32(at, true) !== MEMBER) continue;
    const [packing, length, extra] = [8, 26, 28].map((place) => view.getUint16(at + place, true));
    if (packing !== 0 || text(at + HEAD, length) !== MANIFEST) continue;
    const manifest = JSON.parse(text(at + HEAD + length + extra, view.getUint32(at + 18, true)));
    return manifest?.format === FORMAT ? manifest : null;
  }
  return null;
}

/** ``{workflow, prompt}`` of the newest panel that has them. */
function made(manifest) {
  const marks = manifest.panels.map((panel) => panel.provenance?.workflow);
  const mark = marks.filter(Boolean).at(-1);
  return (typeof mark === "string" ? manifest.workflows?.[mark] : mark) ?? {};
}

/** Opens what a file carries; false where it carries no story. */
async function open(file) {
  const manifest = manifestIn(await bytesOf(file));
  if (!manifest) return false;
  const { workflow, prompt } = made(manifest);
  const name = file.name.replace(/\.\w+$/, "");
  if (workflow) {
    await app.loadGraphData(workflow, true, true, name);
  } else if (prompt) {
    await app.loadApiJson(prompt, name);
  } else {
    const node = LiteGraph.createNode(NODE);
    node.pos = [...app.canvas.graph_mouse];
    (app.canvas.graph ?? app.graph).add(node); // the graph on the screen, which may be a subgraph
    await take(node, file);
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

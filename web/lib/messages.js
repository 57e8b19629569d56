// Messages that the pack's nodes send while they run, and what a run leaves for a node to show.
// They are shown only as far as they are what they should be: a server of another version may say
// anything.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const MOST_PANELS = 10_000; // of one story or tree
const MOST_LETTERS = 20_000; // of one text

export const listOf = (value) => (Array.isArray(value) ? value : []);

export function textOf(value) {
  const text = typeof value === "string" ? value : "";
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}…` : text;
}

export const countOf = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : 0);

// A panel that a view can draw, whatever came.
function panelOf(value) {
  const { uid, parent, number, caption, image } = value ?? {};
  const shown = typeof image?.filename === "string" ? image : null;
  const ids = { uid: textOf(uid), parent: textOf(parent) };
  return { ...ids, number: countOf(number), caption: textOf(caption), image: shown };
}

export const panelsOf = (value) => listOf(value).slice(0, MOST_PANELS).map(panelOf);

// Whether the message concerns a node of the workflow on the screen; others may be open in further
// tabs of ComfyUI, and their nodes have the same ids.
export function concerns(message) {
  if (!["string", "number"].includes(typeof message?.node)) return false;
  const open = (app.rootGraph ?? app.graph)?.id;
  return !message.workflow || !open || message.workflow === open;
}

// Calls `act(message)` for each message of this kind that concerns the workflow on the screen.
export function onMessage(kind, act) {
  api.addEventListener(kind, ({ detail }) => concerns(detail) && act(detail));
}

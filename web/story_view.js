// Show Story: the panels with their captions inside the node. Captions are set as text, never HTML.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { hook, restore } from "./lib/nodes.js";

const NODE = "SeedStory_ShowStory";
const WIDGET = "seedstory_view";
const SIZE = [360, 480];
const MIN_HEIGHT = 240;
// The view lives in a shadow root: these rules reach nothing else on the page.
const STYLE = `
:host { display: block; position: relative; width: 100%; height: 100%; min-height: ${MIN_HEIGHT}px; }
.view { box-sizing: border-box; position: absolute; inset: 0; overflow-y: auto; padding: 6px;
  display: grid; gap: 10px; align-content: start; color: var(--input-text, #ddd);
  grid-template-columns: repeat(auto-fill, minmax(min(200px, 100%), 1fr));
  background: var(--comfy-input-bg, #222); border-radius: 6px; font: 13px/1.45 sans-serif; }
figure { margin: 0; display: grid; gap: 4px; }
img { width: 100%; border-radius: 4px; display: block; cursor: zoom-in; }
img.pixels { image-rendering: pixelated; margin: 0 auto;
  width: max(round(down, 100%, var(--own)), min(100%, var(--own))); }
.blank { padding: 24px 8px; text-align: center; opacity: 0.6; border-radius: 4px;
  border: 1px dashed var(--border-color, #555); }
p { grid-column: 1 / -1; font-style: italic; }
figcaption, p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
dialog { border: 0; padding: 0; background: transparent; }
dialog img { width: auto; max-width: 92vw; max-height: 92vh; min-width: min(512px, 92vw);
  cursor: zoom-out; }
dialog img.pixels { min-width: 0; max-width: none; max-height: none;
  width: max(round(down, min(92vw, 92vh * var(--shape)), var(--own)), var(--own)); }
dialog::backdrop { background: rgb(0 0 0 / 75%); }
`;
const SMALL = 256; // pixels; smaller pictures are mostly pixel art

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function pictureUrl({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

// Pixel art, small or an exact enlargement by `square`, is shown at whole multiples of its own size.
function pixelate(picture, square) {
  const { naturalWidth, naturalHeight } = picture;
  if (square === 1 && Math.max(naturalWidth, naturalHeight) > SMALL) return;
  picture.classList.add("pixels");
  picture.style.setProperty("--own", `${naturalWidth / square}px`);
  picture.style.setProperty("--shape", naturalWidth / naturalHeight);
}

function enlarge(picture) {
  const dialog = element("dialog");
  const large = picture.cloneNode();
  large.loading = "eager";
  dialog.append(large);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  picture.after(dialog);
  dialog.showModal();
}

function figure({ number, caption, image }) {
  const made = element("figure");
  if (image) {
    const picture = element("img");
    picture.src = pictureUrl(image);
    picture.alt = caption;
    picture.loading = "lazy";
    picture.addEventListener("load", () => pixelate(picture, image.square ?? 1));
    picture.addEventListener("click", () => enlarge(picture));
    made.append(picture);
  } else {
    made.append(element("div", "blank", "–"));
  }
  made.append(element("figcaption", "", `${number}. ${caption}`));
  return made;
}

function addView(node) {
  const host = element("div");
  const view = element("div", "view");
  host.attachShadow({ mode: "open" }).append(element("style", "", STYLE), view);
  host.addEventListener("wheel", (event) => event.stopPropagation(), { passive: true });
  const widget = node.addDOMWidget(WIDGET, "seedstory_panels", host, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
  });
  widget.serialize = false; // a result, not a setting: workflows do not carry it
  node.setSize([Math.max(node.size[0], SIZE[0]), Math.max(node.size[1], SIZE[1])]);
}

function showPanels(node, output) {
  const host = node.widgets?.find((widget) => widget.name === WIDGET)?.element;
  const view = host?.shadowRoot?.querySelector(".view");
  if (!view || !output?.seedstory_panels) return;
  const closing = output.seedstory_closing?.[0];
  view.replaceChildren(...output.seedstory_panels.map(figure));
  if (closing) view.append(element("p", "", closing));
}

app.registerExtension({
  name: "seedstory.StoryView",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    hook(nodeType, "onNodeCreated", addView);
    hook(nodeType, "onExecuted", showPanels);
  },
  loadedGraphNode(node) {
    if (node.comfyClass === NODE) restore(node);
  },
});

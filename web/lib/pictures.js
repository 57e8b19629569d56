// Elements, and pictures of panels. Text is set as text and never read as HTML: captions are anybody's.
import { api } from "../../../scripts/api.js";

const SMALL = 256; // pixels; smaller pictures are mostly pixel art

// An element with these properties; `attributes` that are no properties are set as attributes.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function pictureUrl({ filename, subfolder, type, version }) {
  const query = new URLSearchParams({ filename, subfolder, type });
  if (version) query.set("v", version); // a picture painted anew has the name of the one before
  return api.apiURL(`/view?${query}`);
}

// The picture of a panel; pixel art, small or an exact enlargement by `square`, stays unblurred.
export function picture({ image, caption, number }, alt, loading = "lazy") {
  const made = element("img", { loading, alt: alt ?? `${number}. ${caption}`, draggable: false });
  made.addEventListener("load", () => pixelate(made, image.square ?? 1));
  made.src = pictureUrl(image);
  return made;
}

// Pixel art is shown at whole multiples of its own size.
function pixelate(shown, square) {
  const { naturalWidth, naturalHeight } = shown;
  if (square === 1 && Math.max(naturalWidth, naturalHeight) > SMALL) return;
  shown.classList.add("pixels");
  shown.style.setProperty("--own", `${naturalWidth / square}px`);
  shown.style.setProperty("--shape", naturalWidth / naturalHeight);
}

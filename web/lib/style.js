// How the views look. They live in shadow roots: these rules reach nothing else on the page, and
// the colours are those of ComfyUI's palette, dark or light.

export const MIN_HEIGHT = 240;

export const STYLE = `
:host { display: block; position: relative; width: 100%; height: 100%; min-height: ${MIN_HEIGHT}px;
  --accent: var(--color-datatype-SEEDSTORY_STORY, #e8a33d); --line: var(--border-color, #555); }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.view { position: absolute; inset: 0; overflow-y: auto; padding: 6px; display: grid; gap: 8px;
  align-content: start; grid-auto-rows: max-content; color: var(--input-text, #ddd);
  background: var(--comfy-input-bg, #222);
  border-radius: 6px; font: 13px/1.45 sans-serif; overscroll-behavior: contain; }
ol, ul { list-style: none; margin: 0; padding: 0; }
figure { margin: 0; display: grid; gap: 4px; }
figcaption, .closing { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.closing { font-style: italic; }
img { width: 100%; display: block; border-radius: 4px; }
img.pixels { image-rendering: pixelated; margin: 0 auto;
  width: max(round(down, 100%, var(--own)), min(100%, var(--own))); }
.blank { padding: 24px 8px; text-align: center; border-radius: 4px; border: 1px dashed var(--line);
  opacity: 0.75; }

button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line);
  border-radius: 4px; padding: 1px 8px; cursor: pointer; }
button:hover { border-color: var(--accent); }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
button[aria-pressed="true"] { background: var(--accent); border-color: var(--accent);
  color: #1d1400; }
button.picture { display: block; width: 100%; padding: 0; border: 0; cursor: zoom-in; }

.head { position: sticky; top: -6px; z-index: 1; margin: -6px -6px 0; padding: 6px; display: flex;
  flex-wrap: wrap; gap: 2px 10px; align-items: baseline; background: inherit; }
.status { margin: 0; flex: 1; }
.panels { display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(min(180px, 100%), 1fr)); }
.panel { display: grid; gap: 4px; align-content: start; padding: 4px; border-radius: 6px;
  content-visibility: auto; contain-intrinsic-size: auto 240px; }
.panel.picked { outline: 2px solid var(--accent); }
.panel.later { opacity: 0.6; }
.acts { display: flex; gap: 6px; }
.making figcaption { opacity: 0.8; font-style: italic; }

.tree { display: grid; gap: 4px; padding-bottom: 6px; border-bottom: 1px solid var(--line);
  max-height: 190px; overflow: auto; }
.tree li { display: flex; gap: 3px; align-items: center;
  padding-inline-start: calc(var(--depth) * 18px); }
.tree li.deeper::before { content: "└"; opacity: 0.6; width: 14px; flex: none; }
.tree button { padding: 0; width: 34px; height: 34px; flex: none; overflow: hidden; font-size: 11px; }
.tree button[aria-current] { border: 2px solid var(--input-text, #ddd); }
.tree button.picked { border: 2px solid var(--accent); }
.tree img { height: 100%; object-fit: cover; border-radius: 0; }
.tree .skipped { opacity: 0.75; white-space: nowrap; padding: 0 4px; }

dialog { border: 0; padding: 0; background: transparent; max-width: none; max-height: none; }
dialog.lightbox[open] { display: grid; grid-template-columns: auto minmax(0, auto) auto; gap: 12px;
  align-items: center; color: #eee; font: 16px/1.5 sans-serif; }
dialog figure { outline: none; justify-items: center; }
dialog img { width: auto; max-width: 80vw; max-height: 80vh; min-width: min(512px, 80vw);
  cursor: zoom-out; }
dialog img.pixels { min-width: 0; max-width: none; max-height: none;
  width: max(round(down, min(80vw, 80vh * var(--shape)), var(--own)), var(--own)); }
dialog .blank { width: min(512px, 80vw); cursor: zoom-out; }
dialog figcaption { max-width: min(80vw, 60em); max-height: 16vh; overflow-y: auto;
  text-align: center; }
dialog button { font-size: 28px; line-height: 1; padding: 8px 14px; border-color: #777; }
dialog button:disabled { opacity: 0.3; cursor: default; }
dialog .close { position: fixed; top: 12px; right: 12px; }
dialog::backdrop { background: rgb(0 0 0 / 85%); }
@media (prefers-reduced-motion: no-preference) {
  .making .blank { animation: breathe 1.6s ease-in-out infinite alternate; }
  @keyframes breathe { to { opacity: 0.35; } }
}
`;

// One panel as large as the window. Arrow keys, Home and End turn the pages, Esc closes.
import { element, picture } from "./pictures.js";

// Opens over the page; `panels()` are those to turn through, so that a story may grow meanwhile.
export function enlarge(root, panels, uid, words, closed = () => {}) {
  const body = element("figure");
  const dialog = element("dialog", { className: "lightbox", "aria-label": words.enlarge });
  let at = panels().findIndex((panel) => panel.uid === uid);

  function turn(to) {
    const all = panels();
    at = Math.max(0, Math.min(to, all.length - 1));
    const panel = all[at];
    const caption = element("figcaption", { dir: "auto" }, `${panel.number}. ${panel.caption}`);
    const shown = panel.image
      ? picture(panel, undefined, "eager")
      : element("div", { className: "blank" }, words.unpainted);
    shown.addEventListener("click", () => dialog.close());
    body.replaceChildren(shown, caption);
    back.disabled = at === 0;
    on.disabled = at === all.length - 1;
  }

  function button(sign, label, action) {
    const made = element("button", { type: "button", title: label, "aria-label": label }, sign);
    made.addEventListener("click", action);
    return made;
  }

  const back = button("‹", words.before, () => turn(at - 1));
  const on = button("›", words.next, () => turn(at + 1));
  const close = button("×", words.close, () => dialog.close());
  close.className = "close";
  const keys = {
    ArrowLeft: () => turn(at - 1),
    ArrowRight: () => turn(at + 1),
    Home: () => turn(0),
    End: () => turn(panels().length - 1),
  };
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the graph behind has its own keys
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const kind of ["pointerdown", "dblclick", "wheel"]) {
    dialog.addEventListener(kind, (event) => event.stopPropagation(), { passive: true });
  }
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed(panels()[at]?.uid);
  });
  dialog.append(back, body, on, close);
  root.append(dialog);
  turn(at);
  dialog.showModal();
  body.tabIndex = -1;
  body.focus();
}

"""The style and the script of the HTML reader. The script only turns pages."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --paper: #faf6ee; --ink: #2b2622; --soft: #756c63;
  --card: #fffdf8; --line: #e2d9c8; --note: #fff1c9; }
@media (prefers-color-scheme: dark) { :root { --paper: #171513; --ink: #ece5da; --soft: #a39a8f;
  --card: #211e1b; --line: #3a352f; --note: #43391d; } img { filter: brightness(.92); } }
* { box-sizing: border-box; }
html, body { margin: 0; background: var(--paper); color: var(--ink); }
body { font: 1.15rem/1.55 var(--letters); -webkit-text-size-adjust: 100%; }
main { max-width: 44rem; margin: 0 auto; padding: 1rem 1rem 5rem; }
.panel { margin: 0 0 2rem; outline: none; }
figure { margin: 0; }
.picture { position: relative; margin: 0 auto; width: min(100%, calc(68vh * var(--wide)));
  border-radius: .5rem; overflow: hidden; border: 1px solid var(--line); }
.picture img { display: block; width: 100%; height: auto; }
.picture img.pixels { image-rendering: pixelated; }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.blank { aspect-ratio: 1; max-height: 40vh; margin: 0 auto; border: 1px dashed var(--soft);
  border-radius: .5rem; }
figcaption { padding: .8rem .2rem 0; max-width: 38rem; margin: 0 auto; white-space: pre-line;
  overflow-wrap: anywhere; }
.cover { min-height: 50vh; display: flex; flex-direction: column; justify-content: center;
  text-align: center; }
h1 { font-size: clamp(1.6rem, 7vw, 3rem); font-weight: normal; line-height: 1.2; margin: 0 0 .5rem;
  text-wrap: balance; overflow-wrap: anywhere; }
.by { color: var(--soft); margin: 0; }
.note { background: var(--note); border-radius: .6rem; padding: .7rem 1rem; font-size: .95rem; }
.closing { font-style: italic; text-align: center; white-space: pre-line; overflow-wrap: anywhere; }
.end { text-align: center; }
a { color: inherit; }
nav { position: fixed; inset: auto 0 0 0; display: flex; gap: .5rem; align-items: center;
  justify-content: center; padding: .4rem; background: var(--card);
  border-top: 1px solid var(--line); }
nav[hidden] { display: none; }
button { min-width: 3rem; min-height: 2.75rem; font: inherit; font-size: 1.4rem; color: inherit;
  background: none; border: 1px solid var(--line); border-radius: .6rem; cursor: pointer; }
button:disabled { opacity: .35; cursor: default; }
output { min-width: 5rem; text-align: center; color: var(--soft); font-size: 1rem;
  font-variant-numeric: tabular-nums; }
.paged .panel { display: none; }
.paged .panel.now { display: block; margin: 0; }
.paged .cover.now { display: flex; }
@media print { nav { display: none; } .panel, .paged .panel { display: block !important;
  break-inside: avoid; } body { background: white; color: black; } }
"""

SCRIPT = """
(() => {
  "use strict";
  const panels = [...document.querySelectorAll(".panel")];
  const rtl = document.body.dataset.way === "rtl";
  const ids = ["back", "on", "all", "place"];
  const [back, on, all, place] = ids.map((id) => document.getElementById(id));
  let at = Math.max(0, panels.findIndex((panel) => "#" + panel.id === location.hash));
  let paged = true;
  function show(next, focus) {
    at = Math.min(panels.length - 1, Math.max(0, next));
    panels.forEach((panel, index) => panel.classList.toggle("now", index === at));
    place.textContent = `${at + 1} / ${panels.length}`;
    back.disabled = at === 0;
    on.disabled = at === panels.length - 1;
    if (paged) window.scrollTo(0, 0);
    else panels[at].scrollIntoView({ block: "start" });
    if (focus) panels[at].focus({ preventScroll: true });
    history.replaceState(null, "", "#" + panels[at].id);
  }
  function mode(value) {
    paged = value;
    document.body.classList.toggle("paged", paged);
    all.setAttribute("aria-pressed", String(!paged));
    show(at);
  }
  back.addEventListener("click", () => show(at - 1));
  on.addEventListener("click", () => show(at + 1));
  all.addEventListener("click", () => mode(!paged));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("a")) return;
    const right = rtl ? -1 : 1;
    const steps = { ArrowRight: right, ArrowLeft: -right, PageDown: 1, PageUp: -1 };
    const step = steps[event.key];
    const space = event.key === " " && event.target.tagName !== "BUTTON";
    if (step || space) show(at + (step || (event.shiftKey ? -1 : 1)), true);
    else if (event.key === "Home") show(0, true);
    else if (event.key === "End") show(panels.length - 1, true);
    else return;
    event.preventDefault();
  });
  let start = null;
  document.addEventListener("touchstart", (event) => {
    start = event.touches.length === 1 ? event.touches[0] : null;
  }, { passive: true });
  document.addEventListener("touchend", (event) => {
    if (!start || !paged) return;
    const x = event.changedTouches[0].clientX - start.clientX;
    const y = event.changedTouches[0].clientY - start.clientY;
    if (Math.abs(x) > 50 && Math.abs(x) > 2 * Math.abs(y)) show(at + ((x < 0) !== rtl ? 1 : -1));
    start = null;
  }, { passive: true });
  document.querySelector("nav").hidden = false;
  mode(true);
})();
"""

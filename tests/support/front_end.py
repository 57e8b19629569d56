"""ComfyUI's real front end in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

from .server import PACK, ComfyServer

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
PATIENCE = 300_000  # ms; a few seconds as a rule, minutes beside other work
READY = """() => window.app?.graph && window.LiteGraph
    && 'SeedStory_LoadWorld' in LiteGraph.registered_node_types"""
LISTEN = """() => {
    window.seen = {};
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
        app.api.addEventListener(kind, (event) => { window.seen[kind] = event.detail ?? {}; });
}"""
RED = """() => app.graph._nodes.filter((node) => node.has_errors
    || (!LiteGraph.registered_node_types[node.type] && !node.isVirtualNode))
    .map((node) => `${node.id} ${node.type}`)"""
FIT = """([margin, notes]) => {
    const nodes = app.graph._nodes.filter((node) => notes || node.type !== 'MarkdownNote');
    const boxes = nodes.map((node) => node.getBounding());
    const left = Math.min(...boxes.map((b) => b[0])), top = Math.min(...boxes.map((b) => b[1]));
    const right = Math.max(...boxes.map((b) => b[0] + b[2]));
    const bottom = Math.max(...boxes.map((b) => b[1] + b[3]));
    const view = app.canvas.canvas.getBoundingClientRect(), ds = app.canvas.ds;
    ds.scale = Math.min((view.width - 2 * margin) / (right - left),
        (view.height - 2 * margin) / (bottom - top), 1);
    ds.offset[0] = (view.width / ds.scale - (right - left)) / 2 - left;
    ds.offset[1] = (view.height / ds.scale - (bottom - top)) / 2 - top;
    app.canvas.setDirty(true, true);
    return { x: view.x + (left + ds.offset[0]) * ds.scale,
        y: view.y + (top + ds.offset[1]) * ds.scale,
        width: (right - left) * ds.scale, height: (bottom - top) * ds.scale };
}"""
STORY = """async () => {
    const node = app.graph._nodes.find((node) => node.type === 'SeedStory_ShowStory');
    const view = node.widgets.find((widget) => widget.name === 'seedstory_view').element.shadowRoot;
    const pictures = [...view.querySelectorAll('.panels img')];
    for (const picture of pictures) { picture.loading = 'eager'; await picture.decode(); }
    const captions = [...view.querySelectorAll('.panels figcaption')];
    return { captions: captions.map((text) => text.textContent),
        widths: pictures.map((picture) => picture.naturalWidth),
        pixelated: pictures.map((picture) => getComputedStyle(picture).imageRendering),
        shown: view.host.getBoundingClientRect().height };
}"""
TOLD = """(id) => app.graph.getNodeById(id).widgets
    .find((widget) => widget.name === 'seedstory_told').element.value"""
BOXES = """() => app.graph._nodes.map((node) => ({
    id: node.id, type: node.type, box: Array.from(node.getBounding()) }))"""


class FrontEnd:
    """One browser page with ComfyUI open and the pack's nodes registered.

    Attributes:
        complaints: console errors and uncaught errors that name the pack.
    """

    def __init__(self, page: Page, server: ComfyServer) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", self._stumble)
        page.goto(server.url, timeout=PATIENCE)
        page.wait_for_function(READY, timeout=PATIENCE)
        page.keyboard.press("Escape")  # the first-run dialog blocks clicks
        page.evaluate(LISTEN)

    def _hear(self, message: ConsoleMessage) -> None:
        where = str(message.location.get("url", ""))
        if message.type == "error" and (PACK in where or PACK in message.text):
            self.complaints.append(message.text)

    def _stumble(self, error: Error) -> None:
        if PACK in (error.stack or ""):
            self.complaints.append(f"{error}\n{error.stack}")

    def load(self, workflow: Mapping[str, Any]) -> None:
        """Open a UI-form workflow."""
        self.page.evaluate("(graph) => app.loadGraphData(graph)", workflow)
        wanted = len(workflow["nodes"])
        self.page.wait_for_function(f"() => app.graph._nodes.length === {wanted}")
        self.page.wait_for_timeout(500)

    def prompt(self) -> dict[str, Any]:
        """What the front end would send."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def red_nodes(self) -> list[str]:
        """Nodes that are unknown or marked as wrong."""
        return self.page.evaluate(RED)

    def run(self, timeout: float = 900.0) -> str:
        """Press Run and wait; "" when it went well, else what went wrong."""
        self.page.evaluate("() => { window.seen = {}; return app.queuePrompt(0, 1); }")
        self.page.wait_for_function(
            "() => Object.keys(window.seen).length > 0 || app.lastNodeErrors"
            " && Object.keys(app.lastNodeErrors).length > 0",
            timeout=timeout * 1000,
        )
        seen = self.page.evaluate("() => window.seen")
        if "execution_success" in seen:
            self.page.wait_for_timeout(1500)  # pictures load and nodes are drawn again
            return ""
        return json.dumps(seen or self.page.evaluate("() => app.lastNodeErrors"))[:3000]

    def boxes(self) -> list[dict[str, Any]]:
        """``{id, type, box: [x, y, width, height]}`` of every node as it is drawn."""
        return self.page.evaluate(BOXES)

    def story(self) -> dict[str, Any]:
        """What Show Story shows: ``captions``, its own height ``shown``, and of each picture its
        ``widths`` and how it is ``pixelated``."""
        return self.page.evaluate(STORY)

    def told(self, node_id: int) -> str:
        """The text in a telling node."""
        return self.page.evaluate(TOLD, node_id)

    def shoot(self, path: Path, margin: int = 60) -> None:
        """The window with the whole graph in it, as a picture."""
        self.page.evaluate(FIT, [margin, True])
        self.page.wait_for_timeout(800)
        self.page.screenshot(path=path)

    def shoot_graph(self, path: Path, margin: int = 90) -> None:
        """The graph alone, without its note and without the window around it."""
        box = self.page.evaluate(FIT, [margin, False])
        self.page.wait_for_timeout(800)
        clip = {"x": box["x"] - 12, "y": box["y"] - 40}
        clip |= {"width": box["width"] + 24, "height": box["height"] + 52}
        self.page.screenshot(path=path, clip=clip)


@contextmanager
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium; one at a time in a process."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS, headless=True)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def front_end(
    chrome: Browser, server: ComfyServer, modern: bool = False, size: tuple[int, int] = (1800, 1000)
) -> Iterator[FrontEnd]:
    """A page of its own; ``modern`` turns on Nodes 2.0, which draws nodes as HTML."""
    server.post("/settings/Comfy.VueNodes.Enabled", modern)
    server.post("/settings/Comfy.TutorialCompleted", True)
    server.post("/settings/Comfy.Minimap.Visible", False)
    server.post("/settings/LiteGraph.Canvas.MinFontSizeForLOD", 0)  # text at any zoom
    width, height = size
    context = chrome.new_context(viewport={"width": width, "height": height})
    try:
        yield FrontEnd(context.new_page(), server)
    finally:
        context.close()

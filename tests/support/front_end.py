"""ComfyUI's real front end in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from .console import Console
from .far import HOST
from .server import ComfyServer

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
FLAGS += [f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
PATIENCE = 300_000  # ms; a few seconds as a rule, minutes beside other work
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # text at any zoom
}
READY = """() => window.app?.extensionManager?.workflow?.activeWorkflow && window.LiteGraph
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
    const nodes = app.canvas.graph._nodes
        .filter((node) => notes || node.type !== 'MarkdownNote');
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
    const node = app.canvas.graph._nodes.find((node) => node.type === 'SeedStory_ShowStory');
    const view = node.widgets.find((widget) => widget.name === 'seedstory_view').element.shadowRoot;
    const pictures = [...view.querySelectorAll('.panels img')];
    for (const picture of pictures) { picture.loading = 'eager'; await picture.decode(); }
    const captions = [...view.querySelectorAll('.panels figcaption')];
    return { captions: captions.map((text) => text.textContent),
        widths: pictures.map((picture) => picture.naturalWidth),
        pixelated: pictures.map((picture) => getComputedStyle(picture).imageRendering),
        shown: view.host.getBoundingClientRect().height };
}"""
#: Puts the nodes of these types on the screen into a subgraph; the id of its node.
CONVERT = """(types) => {
    const { graph } = app.canvas;
    const items = graph._nodes.filter((node) => types.includes(node.type));
    return String(graph.convertToSubgraph(new Set(items)).node.id);
}"""
ENTER = """(id) => {
    app.canvas.setGraph(id === null ? app.rootGraph ?? app.graph
        : app.canvas.graph._nodes.find((node) => String(node.id) === id).subgraph);
}"""
OPEN = "() => app.extensionManager.workflow.activeWorkflow.path"
BACK = """async (path) => {
    const { workflow, command } = app.extensionManager;
    for (let left = 9; left && workflow.activeWorkflow.path !== path; left -= 1)
        await command.execute('Workspace.PreviousOpenedWorkflow');
}"""
TOLD = """(id) => app.graph.getNodeById(id).widgets
    .find((widget) => widget.name === 'seedstory_told').element.value"""
BOXES = """() => app.graph._nodes.map((node) => ({
    id: node.id, type: node.type, box: Array.from(node.getBounding()) }))"""


class FrontEnd:
    """One browser page with ComfyUI open and the pack's nodes registered."""

    def __init__(self, page: Page, server: ComfyServer, modern: bool = False, at: str = "") -> None:
        self.page, self.server, self.modern = page, server, modern
        self._settings()
        page.goto(at or server.url, timeout=PATIENCE)
        self._begin()

    def reload(self) -> None:
        """Load the page anew, as F5 does; the front end opens again what was open."""
        self._settings()
        self.page.reload()
        self._begin()

    def _settings(self) -> None:
        """Those of this page: the server has one set for all, and pages read it as they load."""
        self.server.post("/settings/Comfy.VueNodes.Enabled", self.modern)
        for name, value in SETTINGS.items():
            self.server.post(f"/settings/{name}", value)

    def _begin(self) -> None:
        self.page.wait_for_function(READY, timeout=PATIENCE)
        self.page.keyboard.press("Escape")  # the first-run dialog blocks clicks
        self.page.evaluate(LISTEN)

    def load(self, workflow: Mapping[str, Any]) -> None:
        """Open a UI-form workflow."""
        self.page.evaluate("(graph) => app.loadGraphData(graph)", workflow)
        wanted = len(workflow["nodes"])
        self.page.wait_for_function(f"() => app.graph._nodes.length === {wanted}")
        self.page.wait_for_timeout(500)

    def into_subgraph(self, *types: str) -> str:
        """Put all nodes of these types on the screen into a subgraph; the id of its node."""
        made = self.page.evaluate(CONVERT, list(types))
        self.page.wait_for_timeout(500)
        return made

    def enter(self, node_id: str | None) -> None:
        """Show the subgraph of this node on the screen, None: the outermost graph."""
        self.page.evaluate(ENTER, node_id)
        self.page.wait_for_timeout(500)

    def visit_another(self, workflow: Mapping[str, Any]) -> None:
        """Open another workflow in a further tab of ComfyUI's, and come back."""
        mine = self.page.evaluate(OPEN)
        self.load(workflow)
        self.page.evaluate(BACK, mine)
        assert self.page.evaluate(OPEN) == mine
        self.page.wait_for_timeout(1000)

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


class Chrome:
    """A running Chromium.

    Attributes:
        console: hears all pages.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.console = Console()

    @contextmanager
    def page(self, **context: Any) -> Iterator[Page]:
        """A page with storage of its own; ``context``: Playwright's options for it."""
        made = self._browser.new_context(**context)
        try:
            page = made.new_page()
            self.console.listen(page)
            yield page
        finally:
            made.close()


@contextmanager
def browser(chromium: str) -> Iterator[Chrome]:
    """A running Chromium; one at a time in a process."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS, headless=True)
        try:
            yield Chrome(started)
        finally:
            started.close()


@contextmanager
def front_end(
    chrome: Chrome,
    server: ComfyServer,
    modern: bool = False,
    size: tuple[int, int] = (1800, 1000),
    at: str = "",
) -> Iterator[FrontEnd]:
    """A page of its own; ``modern`` turns on Nodes 2.0, which draws nodes as HTML. ``at``: another
    address of the server."""
    width, height = size
    with chrome.page(viewport={"width": width, "height": height}) as page:
        yield FrontEnd(page, server, modern, at)

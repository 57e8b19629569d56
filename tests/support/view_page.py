"""Story View in a real browser: graphs around it, stories for it, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from seedstory_core.images import read_picture
from seedstory_core.story import append
from seedstory_core.story_store import keep
from seedstory_core.types import Panel, Story, WorldRef, replace

from .front_end import PATIENCE, FrontEnd
from .graphs.ui_graph import Graph, Link, Node, ui_form
from .server import ROOT, ComfyServer

VIEW = "SeedStory_StoryView"
PICTURES = sorted((ROOT / "worlds" / "picture-world" / "openings").glob("*.png"))
WATCH = """() => {
    const view = app.canvas.graph._nodes.find((node) => node.type === 'SeedStory_StoryView');
    const root = view.seedstoryView.board.host.shadowRoot;
    window.grown = []; window.words = [];
    const look = () => {
        const panels = root.querySelectorAll('.panel:not(.making)').length;
        if (window.grown.at(-1) !== panels) window.grown.push(panels);
        const text = root.querySelector('.making figcaption')?.textContent;
        if (text && window.words.at(-1) !== text) window.words.push(text);
    };
    new MutationObserver(look).observe(root,
        { childList: true, subtree: true, characterData: true });
    const mark = (kind, detail) => {
        const id = String(detail.node).split(':').at(-1);
        if (kind !== 'executed' || id === String(view.id)) window.grown.push(kind);
    };
    for (const kind of ['executed', 'execution_success'])
        app.api.addEventListener(kind, ({ detail }) => mark(kind, detail));
}"""


def made_story(captions: Sequence[str], run: str, before: Story | None = None) -> Story:
    """A story by hand with the openings of the picture world as its pictures."""
    story = before or Story((), "seed_story", WorldRef("picture-world", "0"), run)
    for caption in captions:
        picture = read_picture(PICTURES[len(story) % len(PICTURES)])
        origin = "told" if story.panels else "opening"
        story = append(story, Panel(caption, caption, origin, image=picture))
    return story


def back(story: Story, panels: int) -> Story:
    """Its first panels."""
    return replace(story, panels=story.panels[:panels], closing=None)


def put(server: ComfyServer, *stories: Story) -> list[str]:
    """Keep stories among the server's; the names of their folders."""
    return [keep(server.base / "output" / "seedstory", story).name for story in stories]


def looking(server: ComfyServer, run: str, other: str = "") -> dict[str, Any]:
    """Load Story -> Story View, with another story as a branch where one is named."""
    nodes = [Node("load", "SeedStory_LoadStory", 0, {"run": run})]
    wires: dict[str, Any] = {"story": Link("load")}
    if other:
        nodes.append(Node("other", "SeedStory_LoadStory", 0, {"run": other}))
        wires["stories"] = Link("other")
    nodes.append(Node("view", VIEW, 1, wires, wide=560))
    return ui_form(Graph("looking", "", "", tuple(nodes)), server.object_info())


def showing(server: ComfyServer, run: str) -> dict[str, Any]:
    """Load Story -> Story View -> Show Story."""
    nodes = (
        Node("load", "SeedStory_LoadStory", 0, {"run": run}),
        Node("view", VIEW, 1, {"story": Link("load")}, wide=560),
        Node("show", "SeedStory_ShowStory", 2, {"story": Link("view")}),
    )
    return ui_form(Graph("showing", "", "", nodes), server.object_info())


def telling(
    server: ComfyServer, run: str, panels: int, world: str, captions: Sequence[str] = ()
) -> dict[str, Any]:
    """A story told and looked at, then told on from the pick and shown.

    Args:
        panels: told by the model; ``captions``: illustrated behind them.
    """
    given = {"story": Link("tell"), "llm": Link("world"), "captions": "\n".join(captions)}
    more = (Node("more", "SeedStory_TellStory", 1, given),) if captions else ()
    nodes = (
        Node("world", "SeedStory_LoadWorld", 0, {"world": world}),
        Node("first", "SeedStory_WorldOpening", 0, {"world": world, "number": 1}),
        Node(
            "start",
            "SeedStory_StartStory",
            1,
            {
                "vision": Link("world", 1),
                "image": Link("first"),
                "text": "It is a golden evening, and Mila stands in the meadow and waves.",
                "run": run,
            },
        ),
        Node(
            "tell",
            "SeedStory_TellStory",
            1,
            {
                "story": Link("start"),
                "llm": Link("world"),
                "panels": panels,
            },
        ),
        *more,
        Node("view", VIEW, 2, {"story": Link("more" if more else "tell")}, wide=560),
        Node("on", "SeedStory_TellPanel", 3, {"story": Link("view"), "llm": Link("world")}),
        Node("show", "SeedStory_ShowStory", 3, {"story": Link("on")}),
    )
    return ui_form(Graph("telling", "", "", nodes), server.object_info())


class ViewPage:
    """The one Story View of a page."""

    def __init__(self, front: FrontEnd) -> None:
        self.front, self.page = front, front.page
        self.page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)

    def open(self, workflow: dict[str, Any]) -> None:
        """Open a workflow and put the view where the mouse reaches it."""
        self.front.load(workflow)
        assert self.front.red_nodes() == []
        self.centre()

    def reload(self) -> None:
        """Load the page anew and wait until the view is there."""
        self.front.reload()
        there = f"""() => [app.graph, ...(app.graph.subgraphs?.values() ?? [])].some((graph) =>
            graph._nodes.some((node) => node.type === '{VIEW}'))"""
        self.page.wait_for_function(there, timeout=PATIENCE)

    def centre(self) -> None:
        """The node in the middle of the window, unscaled."""
        self.page.evaluate(
            """() => {
            const nodes = app.canvas.graph._nodes;
            const node = nodes.find((node) => node.type === 'SeedStory_StoryView');
            const view = app.canvas.canvas.getBoundingClientRect(), ds = app.canvas.ds;
            ds.scale = 1;
            ds.offset[0] = view.width / 2 - node.pos[0] - node.size[0] / 2;
            ds.offset[1] = view.height / 2 - node.pos[1] - node.size[1] / 2;
            app.canvas.setDirty(true, true);
        }"""
        )
        self.page.wait_for_timeout(500)

    @property
    def root(self) -> Locator:
        return self.page.locator(".seedstory-view:visible").first

    def panels(self) -> list[str]:
        """Captions of the branch that is shown."""
        return self.root.locator(".panel:not(.making) figcaption").all_text_contents()

    def wait(self, count: int, timeout: float = PATIENCE) -> None:
        """Until so many panels are shown."""
        shown = self.root.locator(".panel:not(.making)")
        shown.nth(count - 1).wait_for(state="attached", timeout=timeout)

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def picked(self) -> list[str]:
        """Names of the pressed buttons."""
        pressed = self.root.locator('.panels button[aria-pressed="true"]')
        return [str(one.get_attribute("aria-label")) for one in pressed.all()]

    def widgets(self) -> dict[str, Any]:
        """``pick``, ``action`` and ``branch`` as the front end would send them."""
        inputs = next(n["inputs"] for n in self.front.prompt().values() if n["class_type"] == VIEW)
        return {name: inputs[name] for name in ("pick", "action", "branch")}

    def status(self) -> str:
        return self.root.get_by_role("status").inner_text()

    def shoot(self, path: Path) -> None:
        self.page.screenshot(path=path)


def tale(run: str, count: int = 5) -> list[str]:
    return [f"{run}: Mila sees thing {number}." for number in range(count)]


def numbered(captions: list[str]) -> list[str]:
    return [f"{number}. {caption}" for number, caption in enumerate(captions)]


def check_picking(view: ViewPage, comfy: ComfyServer, run: str, shots: Path) -> None:
    """Shown, enlarged by mouse and by keys, picked; the pick is sent and outlives a reload."""
    captions = tale(run)
    put(comfy, made_story(captions, run))
    view.open(looking(comfy, run))
    assert view.front.run() == ""
    assert view.panels() == numbered(captions)
    check_enlarging(view, captions)
    view.button("Go on from panel 3").click()
    assert view.widgets() == {"pick": 3, "action": "go on", "branch": ""}
    view.button("Tell panel 2 anew").click()
    assert view.widgets() == {"pick": 2, "action": "re-roll", "branch": ""}
    assert view.picked() == ["Tell panel 2 anew"]
    assert view.status() == "Next run: panel 2 is told anew."
    view.shoot(shots / f"{run}.png")
    workflow = view.page.evaluate("() => JSON.stringify(app.graph.serialize())")
    assert len(workflow) < 8000 and "data:" not in workflow, "no pictures in the workflow"
    view.open(json.loads(workflow))  # as from a file, in a page that has run nothing
    view.page.evaluate("() => { app.nodeOutputs = {}; }")
    view.reload()
    view.wait(len(captions))
    assert view.panels() == numbered(captions)
    assert view.widgets() == {"pick": 2, "action": "re-roll", "branch": ""}
    assert view.picked() == ["Tell panel 2 anew"]
    view.centre()
    view.button("Tell panel 2 anew").click()  # pressed again, it is taken back
    assert view.widgets() == {"pick": -1, "action": "go on", "branch": ""}
    assert view.picked() == []


def check_enlarging(view: ViewPage, captions: list[str]) -> None:
    dialog = view.root.locator("dialog.lightbox")
    first = view.root.get_by_role("button", name=f"1. {captions[1]}", exact=True)
    first.click()
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("img", name=f"1. {captions[1]}")).to_be_visible()
    keys = [("ArrowRight", 2), ("End", 4), ("ArrowRight", 4), ("Home", 0), ("ArrowLeft", 0)]
    for key, number in keys:
        view.page.keyboard.press(key)
        expect(dialog.locator("figcaption")).to_have_text(f"{number}. {captions[number]}")
    view.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    first.focus()
    view.page.keyboard.press("ArrowRight")
    view.page.keyboard.press("Enter")
    expect(dialog.locator("figcaption")).to_have_text(f"2. {captions[2]}")
    view.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    nodes = view.page.evaluate("() => app.graph._nodes.length")
    assert nodes == 2, "keys of the view are not keys of the graph"

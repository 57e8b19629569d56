"""Story files dropped on their node, and pictures with a workflow dropped on the canvas."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
import torch
from support.front_end import FrontEnd, browser, front_end
from support.server import ComfyServer

from seedstory_core.images import encode_png
from seedstory_core.story import append
from seedstory_core.story_file import embed_in_png, pack_story
from seedstory_core.types import Panel, Story, WorldRef

pytestmark = [pytest.mark.comfyui, pytest.mark.browser]

MAKE = """(type) => { app.graph.clear(); const node = LiteGraph.createNode(type);
    app.graph.add(node); window.dropped = node;
    return node.widgets.map((widget) => widget.name); }"""
DROP = """async ([name, text]) => {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const event = { dataTransfer: new DataTransfer() };
    event.dataTransfer.items.add(new File([bytes], name));
    const over = window.dropped.onDragOver(event);
    return [over, window.dropped.onDragDrop(event)];
}"""
VALUE = "() => window.dropped.widgets.find((widget) => widget.name === 'file').value"
OPEN = """async (text) => {
    app.graph.clear();
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    await app.handleFile(new File([bytes], 'page.png', { type: 'image/png' }));
}"""
TYPES = "() => app.graph._nodes.map((node) => node.type)"
GRAPH = "() => JSON.parse(JSON.stringify(app.graph.serialize()))"


@pytest.fixture(scope="module")
def page(comfy: ComfyServer, chromium: str) -> Iterator[FrontEnd]:
    with browser(chromium) as chrome, front_end(chrome, comfy) as opened:
        yield opened
        assert opened.complaints == []


def tale() -> Story:
    story = Story((), "toy", WorldRef("w", "d" * 64), "tale")
    picture = torch.full((8, 8, 3), 99, dtype=torch.uint8)
    return append(story, Panel("A fox.", "A fox.", "opening", image=picture))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_file_is_dropped_on_its_node(page: FrontEnd) -> None:
    names = page.page.evaluate(MAKE, "SeedStory_LoadStoryFile")
    assert names == ["file", "choose story file"]
    assert page.page.evaluate(DROP, ["notes.txt", text(b"x")]) == [True, False]
    assert page.page.evaluate(DROP, ["fox.seedstory", text(pack_story(tale()))]) == [True, True]
    page.page.wait_for_function(f"({VALUE})() === 'fox.seedstory'")


def test_a_picture_brings_its_workflow_back(page: FrontEnd) -> None:
    page.page.evaluate(MAKE, "SeedStory_ShowStory")
    workflow = page.page.evaluate(GRAPH)
    picture = encode_png(torch.full((8, 8, 3), 99, dtype=torch.uint8))
    png = embed_in_png(picture, pack_story(tale()), {"workflow": workflow})
    page.page.evaluate(OPEN, text(png))
    page.page.wait_for_function(f"({TYPES})().includes('SeedStory_ShowStory')")

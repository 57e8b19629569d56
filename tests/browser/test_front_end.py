"""The shipped workflows in ComfyUI's real front end: opened, sent, run, and seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from support.front_end import FrontEnd, browser, front_end
from support.prompts import NAMES, api_prompt, ids, ui_graph
from support.server import ComfyServer

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.browser,
]

PANELS = {"01-one-panel": 2, "02-step-by-step": 4, "03-whole-story": 11, "05-given-captions": 6}
PANELS |= {"04-loop-lora-controlnet": 4, "10-faster-painting": 5, "11-few-step-lora": 5}
TELLING = ("SeedStory_TellPanel", "SeedStory_TellStory", "SeedStory_IllustrateCaption")
TELLING += ("SeedStory_TellFutures",)


@pytest.fixture(scope="module")
def chrome(chromium: str) -> Iterator[Browser]:
    with browser(chromium) as started:
        yield started


@pytest.fixture(scope="module")
def classic(comfy: ComfyServer, chrome: Browser) -> Iterator[FrontEnd]:
    with front_end(chrome, comfy) as page:
        yield page


@pytest.fixture(scope="module")
def modern(comfy: ComfyServer, chrome: Browser) -> Iterator[FrontEnd]:
    with front_end(chrome, comfy, modern=True) as page:
        yield page
    comfy.post("/settings/Comfy.VueNodes.Enabled", False)


def check_example(page: FrontEnd, name: str, shot: Path) -> None:
    """Open, compare with the twin, run, look."""
    page.load(ui_graph(name))
    assert page.red_nodes() == []
    assert page.prompt() == api_prompt(name), "the front end sends what the API twin says"
    assert page.run() == ""
    if name in PANELS:
        story = page.story()
        assert len(story["captions"]) == len(story["widths"]) == PANELS[name]
        assert all(story["captions"]) and all(story["widths"])
        assert story["shown"] > 50, "the story has room on the screen"
        assert set(story["pixelated"]) == {"pixelated"}, "pixel art is not blurred"
    for node_class in TELLING:
        for key in ids(api_prompt(name), node_class):
            assert page.told(int(key)), f"node {key} shows what it told"
    assert overlapping(page) == []
    page.shoot(shot)
    with Image.open(shot) as picture:
        assert np.asarray(picture.convert("L")).std() > 5, "something is drawn"
    assert page.complaints == []


def overlapping(page: FrontEnd) -> list[str]:
    """Pairs of nodes that cover each other as drawn."""
    boxes = page.boxes()
    return [
        f"{one['type']} and {other['type']}"
        for at, one in enumerate(boxes)
        for other in boxes[at + 1 :]
        if _overlap(one["box"], other["box"])
    ]


def _overlap(one: list[float], other: list[float]) -> bool:
    across = one[0] < other[0] + other[2] and other[0] < one[0] + one[2]
    return across and one[1] < other[1] + other[3] and other[1] < one[1] + one[3]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_in_the_classic_renderer(classic: FrontEnd, name: str, tmp_path: Path) -> None:
    check_example(classic, name, tmp_path / f"{name}.png")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_in_nodes_2(modern: FrontEnd, name: str, tmp_path: Path) -> None:
    check_example(modern, name, tmp_path / f"{name}-modern.png")


def test_the_template_dialog_shows_the_pack(classic: FrontEnd) -> None:
    classic.page.keyboard.press("Escape")
    classic.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    found = classic.page.get_by_text("comfyui-seedstory", exact=False).first
    found.wait_for(timeout=20_000)
    classic.page.keyboard.press("Escape")

"""The shipped workflows in ComfyUI's real front end: opened, sent, run, and seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.front_end import Chrome, FrontEnd
from support.prompts import NAMES, api_prompt, ids, ui_graph

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.browser,
]

PANELS = {"01-one-panel": 2, "02-step-by-step": 4, "03-whole-story": 11, "05-given-captions": 6}
PANELS |= {"04-loop-lora-controlnet": 4, "10-faster-painting": 5, "11-few-step-lora": 5}
TELLING = ("SeedStory_TellPanel", "SeedStory_TellStory", "SeedStory_IllustrateCaption")
TELLING += ("SeedStory_TellFutures",)


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


@pytest.mark.parametrize("renderer", ["classic", "modern"])
@pytest.mark.parametrize("name", NAMES)
def test_an_example(
    classic: FrontEnd, modern: FrontEnd, name: str, renderer: str, tmp_path: Path
) -> None:
    """The second renderer follows at once, while the server still has what the first had run."""
    page = modern if renderer == "modern" else classic
    check_example(page, name, tmp_path / f"{name}-{renderer}.png")


def test_the_template_dialog_shows_the_pack(classic: FrontEnd) -> None:
    classic.page.keyboard.press("Escape")
    classic.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    found = classic.page.get_by_text("comfyui-seedstory", exact=False).first
    found.wait_for(timeout=20_000)
    classic.page.keyboard.press("Escape")


def test_the_console_is_heard(classic: FrontEnd, chrome: Chrome) -> None:
    """Errors of anybody, and warnings that a file of the pack has caused, however deep."""
    said = "console.%s('%s') //# sourceURL=http://far.test/%s.js"
    ours = "extensions/comfyui-seedstory/made-up"
    for kind, text, file in (
        ("error", "anybody", "other"),
        ("warn", "output.links is deprecated", ours),
        ("warn", "of others", "other"),
        ("log", "no complaint", ours),
    ):
        classic.page.evaluate("(code) => { (0, eval)(code); }", said % (kind, text, file))
    classic.page.evaluate("() => { setTimeout(() => { throw new Error('thrown'); }); }")
    classic.page.wait_for_timeout(300)
    heard = [text.splitlines()[0] for text in chrome.console.take()]
    assert heard[:2] == ["error: anybody", "warning: output.links is deprecated"]
    assert len(heard) == 3 and "thrown" in heard[2]

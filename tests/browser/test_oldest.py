"""The same workflow files in the front end of the oldest supported ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.front_end import Chrome, FrontEnd, front_end
from support.prompts import NAMES, api_prompt, ui_graph
from support.server import ComfyServer
from support.view_page import ViewPage, check_picking

pytestmark = [pytest.mark.comfyui, pytest.mark.browser]


@pytest.fixture(scope="module")
def page(comfy_oldest: ComfyServer, chrome: Chrome) -> Iterator[FrontEnd]:
    with front_end(chrome, comfy_oldest) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_without_a_red_node_and_says_the_same(page: FrontEnd, name: str) -> None:
    page.load(ui_graph(name))
    assert page.red_nodes() == []
    sent, twin = page.prompt(), api_prompt(name)
    assert {key: node["class_type"] for key, node in sent.items()} == {
        key: node["class_type"] for key, node in twin.items()
    }
    for key, node in twin.items():
        if node["class_type"].startswith("SeedStory_"):
            assert sent[key]["inputs"] == node["inputs"]


def test_a_story_is_told_and_seen(page: FrontEnd) -> None:
    page.load(ui_graph("03-whole-story"))
    assert page.run() == ""
    story = page.story()
    assert len(story["captions"]) == len(story["widths"]) == 11
    assert all(story["captions"]) and all(story["widths"])


def test_a_story_is_viewed_and_a_panel_picked(
    page: FrontEnd, comfy_oldest: ComfyServer, tmp_path: Path
) -> None:
    check_picking(ViewPage(page), comfy_oldest, "oldest", tmp_path)

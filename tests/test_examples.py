"""What the example workflows say is told in words that Picture World understands."""

from __future__ import annotations

from typing import Any

import pytest
from support.prompts import NAMES, api_prompt
from support.server import ROOT

from seedstory_core.author import read_script
from seedstory_core.cli.tell import PANELS
from seedstory_core.picture_world.reading import CaptionReader
from seedstory_core.world import load_world

WORLD = "picture-world"
PRESETS = ("10-faster-painting", "11-few-step-lora")  # of other ways to paint: that is their point


def nodes(name: str, *classes: str) -> list[dict[str, Any]]:
    """Inputs of all nodes of these classes, in the order of their ids."""
    found = sorted(api_prompt(name).items(), key=lambda item: int(item[0]))
    return [node["inputs"] for _, node in found if node["class_type"] in classes]


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_the_shipped_world(name: str) -> None:
    loaders = ("SeedStory_LoadWorld", "SeedStory_LoadWorldPainter", "SeedStory_WorldOpening")
    worlds = [inputs["world"] for inputs in nodes(name, *loaders)]
    assert len(worlds) == 3 and set(worlds) == {WORLD}


@pytest.mark.parametrize("name", NAMES)
def test_its_captions_make_a_story(name: str) -> None:
    reader = CaptionReader()
    texts = [inputs["text"] for inputs in nodes(name, "SeedStory_StartStory")]
    texts += [inputs["captions"] for inputs in nodes(name, "SeedStory_TellStory")]
    given = ("SeedStory_IllustrateCaption", "SeedStory_EditCaption")
    texts += [inputs["caption"] for inputs in nodes(name, *given)]
    captions = [line for text in texts if isinstance(text, str) for line in text.splitlines()]
    for inputs in nodes(name, "SeedStory_ReadScript"):
        captions += read_script(inputs["text"]).captions
    for caption in captions:
        reading = reader.read(caption)
        assert reading.grammatical and reading.scene and not reading.problems, (caption, reading)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PRESETS])
def test_it_paints_as_the_world_says(name: str) -> None:
    paint = load_world(ROOT / "worlds" / WORLD).defaults["paint"]
    for inputs in nodes(name, "KSampler", "SeedStory_PaintStory"):
        assert (inputs["steps"], inputs["cfg"]) == (paint["steps"], paint["guidance"])
        assert inputs["scheduler"] == "simple"


def test_ten_openings_are_scenes_of_this_world() -> None:
    openings = load_world(ROOT / "worlds" / WORLD).openings
    assert len(openings) == 10
    for opening in openings:
        reading = CaptionReader().read(opening["text"])
        assert reading.grammatical and reading.scene and not reading.problems, opening


def test_the_library_tells_the_example_by_default() -> None:
    """Both begin with the first opening and tell as many panels."""
    (start,) = nodes("03-whole-story", "SeedStory_StartStory")
    (tell,) = nodes("03-whole-story", "SeedStory_TellStory")
    assert start["text"] == load_world(ROOT / "worlds" / WORLD).openings[0]["text"]
    assert (tell["panels"], tell["captions"], tell["seed"]) == (PANELS, "", 0)

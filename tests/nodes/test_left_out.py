"""Characters that no font has are named on the node that makes the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOX = "\U0001f98a"
FORMATS = dict.fromkeys(("pdf", "html", "epub", "cbz", "png", "subtitles"), False)


@pytest.fixture(autouse=True)
def output(comfy_here: Path, tmp_path: Path) -> Iterator[Path]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_output_directory(before)


@pytest.fixture(autouse=True)
def few_fonts(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the shipped font, whatever this system has."""
    monkeypatch.setattr(pack.seedstory_core.book.fonts, "system_folders", list)


def tale(pack: ModuleType, caption: str, run: str = "tale") -> Any:
    core = pack.seedstory_core
    image = torch.zeros(8, 8, 3).byte()
    panel = core.types.Panel(caption, caption, "opening", image=image)
    return core.story.append(core.types.Story((), "toy", core.types.WorldRef("w", "0"), run), panel)


def shown(pack: ModuleType, node: str, story: Any, **changes: Any) -> list[str]:
    nodes = pack.nodes
    if node == "PressBook":
        out = nodes.press.PressBook.execute(story, "b", False, None, **FORMATS | changes)
        return out.ui["seedstory_text"][1:]  # behind the files
    if node == "BookPages":
        out = nodes.press.BookPages.execute(story)
    elif node == "StoryPage":
        out = nodes.book.StoryPage.execute(story, "single", 0, "(automatic)")
    else:
        pytest.importorskip("av", reason="not found: av")
        captions = changes.get("captions", True)
        out = nodes.press.StoryVideo.execute(story, 64, 64, 2, 200.0, captions, False)
    return out.ui["seedstory_text"]


@pytest.mark.parametrize("node", ["PressBook", "BookPages", "StoryPage", "StoryVideo"])
def test_lacking_letters_are_named_on_the_node(pack: ModuleType, node: str) -> None:
    more = {"cbz": True} if node == "PressBook" else {}
    (sentence,) = shown(pack, node, tale(pack, f"A fox {FOX}."), **more)
    assert f"{FOX} (U+1F98A)" in sentence and "fonts" in sentence
    assert shown(pack, node, tale(pack, "A fox."), **more) == []


def test_only_what_is_printed_counts(pack: ModuleType) -> None:
    story = tale(pack, f"A fox {FOX}.")
    assert shown(pack, "StoryVideo", story, captions=False) == []
    assert shown(pack, "PressBook", story, subtitles=True) == []  # players have fonts of their own
    titled = tale(pack, "A fox.", run=f"Reynard {FOX}")
    assert shown(pack, "StoryPage", titled) == []
    assert len(shown(pack, "BookPages", titled)) == 1

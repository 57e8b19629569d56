"""Names mean the same on every system: any text becomes one, and what none can have is refused.

Windows and macOS are simulated by their rules, stated here anew: which names they take, and which
they take for the same.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seedstory_core import names, world
from seedstory_core.author.cards import Card, cards_in, load_card, save_card
from seedstory_core.errors import SeedStoryError
from seedstory_core.story import append
from seedstory_core.story_store import keep, load_story
from seedstory_core.types import Panel, Story, WorldRef

ODD = (
    "con", "CON", "nul.txt", "aux .png", "com1", "LPT\u00b9.x", "conout$", "a.", "a ", " a",
    ".", "..", "...", "~", "a/b", "a\\b", "C:x", "a:b", "a*", "a?", '"', "<a>", "|", "\0",
    "\n", "a\x7f", "", " ",
    "e\u0301", "\u00e9", "\u1e9e", "\u0130", "\u2126", "\ud800", "a\ud800", "\U0001f98a" * 100,
    "\u72d0" * 300, "a" * 500, "\u200b", "\u202e", "a.b.", "~a~", ".hidden", "\u3000",
)  # fmt: skip
TEXTS = st.text(max_size=300) | st.sampled_from(ODD)


def windows_takes(name: str) -> bool:
    """By "Naming Files, Paths, and Namespaces" of Microsoft's documentation."""
    stem = name.split(".")[0].rstrip(" ").upper()
    devices = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    devices |= {f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789\u00b9\u00b2\u00b3"}
    plain = not any(char in '<>:"/\\|?*' or ord(char) < 32 for char in name)
    return bool(name) and plain and name[-1] not in " ." and stem not in devices


def on_windows(name: str) -> str:
    """What NTFS compares: letters without case, one by one."""
    return "".join(char.upper() if len(char.upper()) == 1 else char for char in name)


def on_macos(name: str) -> str:
    """What APFS compares: decomposed letters without case."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def a_story(run: str, text: str) -> Story:
    story = Story((), "toy", WorldRef("w", "d" * 64), run)
    return append(story, Panel(text, text, "opening", (1,), {"toy": torch.ones(2, 2)}))


@given(TEXTS)
def test_every_text_makes_a_name_that_every_system_takes(text: str) -> None:
    name = names.safe_name(text)
    assert names.fault(name) is None and windows_takes(name)
    assert len(os.fsencode(name)) <= names.MAX_MADE
    assert names.safe_name(name) == name, "a name is its own name"
    assert unicodedata.normalize("NFC", name) == name


@given(TEXTS)
def test_a_name_without_fault_is_taken_by_every_system(text: str) -> None:
    if names.fault(text) is None:
        assert windows_takes(text) and len(text.encode()) <= 255


@given(TEXTS, TEXTS)
@example("stra\u00dfe", "STRASSE")
@example("\u00e9", "e\u0301")
@example("Fox", "fOX")
def test_what_is_one_on_some_system_has_one_key(one: str, other: str) -> None:
    one, other = names.safe_name(one), names.safe_name(other)
    if on_windows(one) == on_windows(other) or on_macos(one) == on_macos(other):
        assert names.key(one) == names.key(other)
    assert names.key(one) == names.key(unicodedata.normalize("NFD", one.upper().lower().upper()))


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_stories_of_any_names_lie_apart_also_on_windows_and_are_found_by_them(
    tmp_path_factory: pytest.TempPathFactory, runs: list[str]
) -> None:
    root = tmp_path_factory.mktemp("stories")
    for number, run in enumerate(runs):
        story = a_story(run, f"Beginning {number}.")
        folder = keep(root, story)
        assert folder.parent == root and folder.name in {path.name for path in root.iterdir()}
        assert load_story(folder).panels[0].caption == story.panels[0].caption
        assert keep(root, story) == folder, "the same story again is no other"
    kept = [path.name for path in root.iterdir() if path.name != ".lock"]
    assert len(kept) == len(runs)
    for same in (on_windows, on_macos, names.key):
        assert len({same(name) for name in kept}) == len(kept)


@pytest.mark.parametrize(
    ("first", "second"), [("Fox", "fox"), ("\u00e9t\u00e9", "e\u0301te\u0301"), ("a", "A.")]
)
def test_cards_whose_names_are_one_elsewhere_are_one_here(
    first: str, second: str, tmp_path: Path
) -> None:
    folder = save_card(tmp_path, Card(first, "a cat"))
    with pytest.raises(SeedStoryError, match="another card"):
        save_card(tmp_path, Card(second, "a dog"))
    assert save_card(tmp_path, Card(second, "a dog"), replace=True) == folder
    assert load_card(folder).name == second and list(cards_in(tmp_path)) == [folder.name]


@settings(max_examples=25, deadline=None)
@given(TEXTS)
def test_a_card_of_any_name_is_listed_under_its_folder_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    library = tmp_path_factory.mktemp("cards")
    try:
        card = Card(name, "a cat")
    except SeedStoryError:
        return
    folder = save_card(library, card)
    assert cards_in(library) == {folder.name: folder} and load_card(folder).name == card.name


def test_a_folder_from_a_mac_is_the_same_story(tmp_path: Path) -> None:
    """Zips from macOS have decomposed names; elsewhere those are other names."""
    story = a_story("\u00e9t\u00e9", "A beginning.")
    folder = keep(tmp_path, story)
    folder.rename(tmp_path / unicodedata.normalize("NFD", folder.name))
    grown = append(story, Panel("More.", "More.", "told", (1,), {"toy": torch.ones(2, 2)}))
    assert keep(tmp_path, replace(grown, run=story.run)).name == "e\u0301te\u0301"
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize(
    "name",
    ["con", "AUX.png", "panels/nul", "com1/a.png", "a.", "b /c", "a?b", "a\tb", "a|b", "x" * 256],
)
def test_paths_of_strangers_that_mean_something_else_elsewhere_are_refused(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(SeedStoryError, match="refusing it"):
        world.inside(tmp_path, name)


@given(st.text(max_size=40) | st.sampled_from(ODD))
def test_a_path_of_a_stranger_is_a_file_inside_or_refused(text: str) -> None:
    root = Path("/somewhere/else")
    try:
        path = world.inside(root, text)
    except SeedStoryError:
        return
    assert path == root or root in path.parents
    assert all(windows_takes(part) for part in path.relative_to(root).parts)

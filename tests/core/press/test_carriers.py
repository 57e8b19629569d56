"""The story goes into a book and comes out again, whatever the format."""

from __future__ import annotations

import argparse
import html
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seedstory_core.babble import make_world
from seedstory_core.cli.story_export import add_options, export
from seedstory_core.errors import SeedStoryError
from seedstory_core.story import append
from seedstory_core.story_file import read_embedded
from seedstory_core.types import Panel, Story, WorldRef

for needed in ("fpdf", "uharfbuzz", "fontTools"):
    pytest.importorskip(needed, reason=f"not found: {needed} (the press extra)")

Options = Callable[..., argparse.Namespace]


@pytest.fixture()
def story() -> Story:
    told = Story((), "toy", WorldRef("w", "d"), "tale")
    for number, caption in enumerate(["One.", "Two <b>& three</b>."]):
        panel = Panel(
            caption,
            caption,
            "told" if number else "opening",
            features={"toy.image": torch.full((2, 3), float(number))},
            image=torch.full((8, 8, 3), number, dtype=torch.uint8),
        )
        told = append(told, panel)
    return told


@pytest.fixture()
def options() -> Options:
    def parsed(*words: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_options(parser)
        return parser.parse_args(["--trim", "90 x 120 mm", "--dpi", "40", *words])

    return parsed


@pytest.mark.parametrize("name", ["b.pdf", "b.epub", "b.html", "b.cbz", "pages"])
def test_a_book_opens_as_the_story(
    name: str, story: Story, options: Options, tmp_path: Path
) -> None:
    path = export(story, tmp_path / name, options())
    carrier = path / "001.png" if path.is_dir() else path
    again = read_embedded(carrier)
    assert again is not None
    assert [panel.uid for panel in again.panels] == [panel.uid for panel in story.panels]
    for one, two in zip(again.panels, story.panels, strict=True):
        assert one.image is not None and two.image is not None
        assert torch.equal(one.image, two.image)
        assert torch.equal(one.features["toy.image"], two.features["toy.image"])
    bare = export(story, tmp_path / f"bare-{name}", options("--no-story"))
    assert read_embedded(bare / "001.png" if bare.is_dir() else bare) is None


def test_the_options_reach_the_book(story: Story, options: Options, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"pages": [["ab"]], "reading": "rtl"}')
    (tmp_path / "b.json").write_text('[{"panel": 0, "text": "Hi"}]')
    words = ["--template", str(tmp_path / "t.json"), "--balloons", str(tmp_path / "b.json")]
    words += ["--title", "Fox & Hen", "--no-page-numbers"]
    export(story, tmp_path / "b.epub", options(*words))
    import zipfile

    with zipfile.ZipFile(tmp_path / "b.epub") as file:
        assert b'page-progression-direction="rtl"' in file.read("EPUB/book.opf")
        assert b"Fox &amp; Hen" in file.read("EPUB/book.opf")
        assert b">Hi<" in file.read("EPUB/page0002.xhtml")


def test_a_book_says_what_its_world_says(
    story: Story, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_world(tmp_path / "models" / "seedstory" / "noted", seed=0)
    monkeypatch.setenv("SEEDSTORY_MODELS", str(tmp_path / "models"))
    said = {
        "same": made.ref,
        "babble": WorldRef("babble", "any"),
        "changed": WorldRef("noted", "another"),
        "gone": WorldRef("no-such-world", made.digest),
        "path": WorldRef(str(made.root), made.digest),
    }
    for name, world in said.items():
        path = export(replace(story, world=world), tmp_path / f"{name}.html", options())
        told = html.escape(made.notice) in path.read_text(encoding="utf-8")
        assert made.notice and told is (name in ("same", "babble")), name


@pytest.mark.parametrize(
    "words",
    [
        ["--template", "no such"],
        ["--template", "no-such.json"],
        ["--trim", "x"],
        ["--size", "big"],
        ["--fps", "0"],
        ["--letters", "0"],
        ["--balloons", "no-such.json"],
        ["--font", "no-such.ttf"],
        ["--language", "<b>"],
    ],
    ids=lambda words: words[0],
)
def test_unusable_options_are_named(
    words: list[str], story: Story, options: Options, tmp_path: Path
) -> None:
    with pytest.raises(SeedStoryError):
        export(story, tmp_path / "b.cbz", options(*words))
    assert not (tmp_path / "b.cbz").exists()

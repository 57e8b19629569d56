"""Book Settings, Press Book, Book Pages and Story Video in the real host."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

LOOKS = {"bleed": 0.0, "dpi": 40, "title": "", "author": "", "title_page": True}
LOOKS |= {"page_numbers": True, "quotes": False}
NOTHING = dict.fromkeys(("pdf", "html", "epub", "cbz", "png", "subtitles"), False)


@pytest.fixture()
def story(pack: ModuleType) -> Any:
    """Three panels, the last one without a picture."""
    core = pack.seedstory_core
    tale = core.types.Story((), "toy", core.types.WorldRef("w", "0"), "tale")
    for index, caption in enumerate(['"Hello," <b>said</b> the fox & ran.', "Second.", "Third."]):
        image = None if index == 2 else torch.full((16, 16, 3), 60 * index, dtype=torch.uint8)
        origin = "told" if index else "opening"
        tale = core.story.append(tale, core.types.Panel(caption, caption, origin, image=image))
    return tale


@pytest.fixture()
def output(comfy_here: Path, tmp_path: Path) -> Iterator[Path]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path / "seedstory-books"
    folder_paths.set_output_directory(before)


def settings(pack: ModuleType, **more: Any) -> Any:
    given = {"template": "single", "trim": "(template)", "font": "(automatic)", **LOOKS, **more}
    return pack.nodes.press.MakeBookSettings.execute(**given).args[0]


def test_settings_are_the_librarys(pack: ModuleType) -> None:
    made = settings(pack, template="manga", own_trim="90 x 120 mm", bleed=3.0, quotes=True)
    assert made.template.reading == "rtl" and (made.paper.width, made.paper.bleed) == (90, 3)
    assert settings(pack).paper.width == 148
    own = settings(pack, own_template='{"pages": [["ab"]]}', balloons='[{"panel": 0, "text": "x"}]')
    assert own.template.pages == (("ab",),) and own.balloons[0].text == "x"
    error = pack.seedstory_core.errors.SeedStoryError
    for wrong in (
        {"own_template": "{"},
        {"balloons": "3"},
        {"own_trim": "1 x 1"},
        {"font": "../../etc/passwd"},
    ):
        with pytest.raises(error):
            settings(pack, **wrong)


def test_pages_are_one_batch(pack: ModuleType, story: Any) -> None:
    book = settings(pack, own_trim="90 x 120 mm", bleed=3.0)
    pages = pack.nodes.press.BookPages.execute(story, book).args[0]
    width, height = book.paper.pixels
    assert pages.shape == (4, height, width, 3) and pages.std() > 0.02
    assert 0 <= pages.min() and pages.max() <= 1


def test_each_press_has_a_folder_of_its_own(pack: ModuleType, story: Any, output: Path) -> None:
    press, book = pack.nodes.press.PressBook, settings(pack, own_trim="90 x 120 mm")
    for number in (1, 2):
        wanted = {**NOTHING, "cbz": True, "png": True, "subtitles": True}
        out = press.execute(story, "my/../fox", True, book, **wanted)
        assert out.args[0] is story
        stem = "my_.._fox"
        names = [f"{stem}", f"{stem}.cbz", f"{stem}.srt", f"{stem}.vtt"]
        expected = [f"seedstory-books/{stem}_{number:05d}/{name}" for name in names]
        assert out.args[1].split("\n") == expected
        assert out.ui["seedstory_text"] == [out.args[1]]
        folder = output / f"{stem}_{number:05d}"
        assert len(list((folder / stem).glob("*.png"))) == 4
        with zipfile.ZipFile(folder / f"{stem}.cbz") as file:
            assert file.read("story.seedstory")[:2] == b"PK"


def test_all_formats_at_once(pack: ModuleType, story: Any, output: Path) -> None:
    for name in ("fpdf", "uharfbuzz", "fontTools"):
        pytest.importorskip(name, reason=f"not found: {name} (the press extra)")
    wanted = dict.fromkeys(NOTHING, True)
    book = settings(pack, own_trim="90 x 120 mm", quotes=True)
    files = pack.nodes.press.PressBook.execute(story, "b", True, book, **wanted).args[1].split("\n")
    endings = sorted(Path(name).suffix for name in files)
    assert endings == ["", ".cbz", ".epub", ".html", ".pdf", ".srt", ".vtt"]
    pdf = next(output.parent / name for name in files if name.endswith(".pdf"))
    assert pdf.read_bytes()[:5] == b"%PDF-" and b"story.seedstory" in pdf.read_bytes()


def test_nothing_chosen_and_nothing_left_behind(pack: ModuleType, story: Any, output: Path) -> None:
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match="No format"):
        pack.nodes.press.PressBook.execute(story, "b", False, None, **NOTHING)
    balloons = settings(pack, balloons='[{"panel": 9, "text": "x"}]')
    with pytest.raises(error, match="panels 0 to 2"):
        pack.nodes.press.PressBook.execute(story, "b", False, balloons, **{**NOTHING, "cbz": True})
    assert not output.exists() or not list(output.iterdir())


def test_the_video_goes_on_to_further_nodes(pack: ModuleType, story: Any) -> None:
    pytest.importorskip("av", reason="not found: av")
    out = pack.nodes.press.StoryVideo.execute(story, 96, 64, 4, 100.0, True, True)
    video, subtitles, captions, seconds = out.args
    assert video.get_dimensions() == (96, 64)
    assert video.get_duration() == pytest.approx(sum(seconds), abs=0.3)
    assert captions == [panel.caption for panel in story.panels[:2]] and len(seconds) == 2
    assert subtitles.startswith("1\n00:00:00,000 --> ") and "Third." not in subtitles
    components = video.get_components()
    assert components.images.shape[1:] == (64, 96, 3)

"""Folders of training pictures as other tools and systems leave them: read, left out, or named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from seedstory_core.errors import SeedStoryError
from seedstory_core.images import read_picture
from seedstory_core.training.adapt_data import MAX_NAMED, check_pictures, open_series
from seedstory_core.training.data import DEEPEST, PICTURES, open_data, open_pictures


def add(path: Path, caption: str = "Mila runs.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.suffix.lower().lstrip(".")
    kind = {"jpg": "jpeg", "jfif": "jpeg", "tif": "tiff"}.get(name, name)
    Image.new("RGB", (16, 16)).save(path, kind)
    path.with_suffix(".txt").write_text(caption)
    return path


@pytest.mark.parametrize("suffix", [*PICTURES, ".JPG", ".Tiff", ".JFIF"])
def test_pictures_are_read_by_any_of_their_names(suffix: str, tmp_path: Path) -> None:
    path = add(tmp_path / f"1{suffix}")
    assert open_pictures(tmp_path).paths == (path,)
    assert read_picture(path).shape == (16, 16, 3)


@pytest.mark.parametrize("suffix", [".avif", ".HEIC", ".jxl", ".psd", ".svg"])
def test_pictures_that_are_not_read_are_named(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(tmp_path / "1.png")
    (tmp_path / f"2{suffix}").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert len(open_pictures(tmp_path)) == 1
    assert f"2{suffix}" in caplog.text and "left out" in caplog.text


@pytest.mark.parametrize(
    "hidden",
    ["._1.png", ".1.png", ".thumbnails/1.png", ".ipynb_checkpoints/1.png", "__MACOSX/1.png",
     "@eaDir/1.png", "a/.cache/1.png", "a/._0.png", ".git/x/1.png"],
)  # fmt: skip
def test_what_systems_leave_behind_is_left_out(hidden: str, tmp_path: Path) -> None:
    add(tmp_path / "0.png")
    add(tmp_path / "a" / "0.png")
    path = tmp_path / hidden
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\5\x16\7" + b"\0" * 60)
    assert len(open_pictures(tmp_path)) == 2


def test_folders_are_stories_however_deep(tmp_path: Path) -> None:
    for name in ("1.png", "b/1.png", "a/10/1.png", "a/9/x/1.png", "a/9/x/2.png"):
        add(tmp_path / name, name)
    tales = open_pictures(tmp_path).tales
    assert [tale.id for tale in tales] == ["story", "a/9/x", "a/10", "b"]
    assert tales[1].captions == ("a/9/x/1.png", "a/9/x/2.png")


def test_too_deep_folders_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add(tmp_path / "1.png")
    add(tmp_path.joinpath(*"abcdefgh"[:DEEPEST]) / "1.png")
    add(tmp_path.joinpath(*"abcdefgh"[:DEEPEST], "more") / "1.png")
    with caplog.at_level(logging.WARNING):
        assert len(open_pictures(tmp_path)) == 2
    assert "more is left out" in caplog.text


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    add(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a", target_is_directory=True)
    assert len(open_pictures(tmp_path)) == 1


def test_a_shared_caption_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.png", "2.png", "2.jpg"):
        add(tmp_path / name)
    with caplog.at_level(logging.WARNING):
        assert len(open_pictures(tmp_path)) == 3
    assert "2.jpg and 2.png" in caplog.text.replace("2.png and 2.jpg", "2.jpg and 2.png")
    assert "share one caption, 2.txt" in caplog.text and "1.txt" not in caplog.text


@pytest.mark.parametrize("odd", ["\0", "a\0b", "\x1b[31m", "\u202eabc"])
def test_captions_that_no_page_bears_are_refused(odd: str, tmp_path: Path) -> None:
    add(tmp_path / "1.png", f"Mila {odd} runs.")
    with pytest.raises(SeedStoryError, match=r"1\.txt has the control character"):
        open_pictures(tmp_path)


def test_names_of_windows_are_found(tmp_path: Path) -> None:
    paths = [add(tmp_path / "sub" / f"{number}.png") for number in (0, 1)]
    line = {"id": "1", "images": ["sub\\0.png", "sub\\1.png"], "captions": ["A.", "B."]}
    (tmp_path / "train.jsonl").write_text(json.dumps(line))
    assert list(open_data(tmp_path, "train").paths) == paths


DAMAGE = {
    "cut": lambda raw: raw[: len(raw) // 2],
    "a web page": lambda raw: b"<html>404</html>",
    "empty": lambda raw: b"",
    "zeros": lambda raw: b"\0" * len(raw),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_damaged_pictures_are_named_before_any_work(
    suffix: str, damage: str, tmp_path: Path
) -> None:
    for number in range(3):
        path = tmp_path / f"{number}{suffix}"
        Image.effect_noise((64, 64), 60).convert("RGB").save(path)
        path.with_suffix(".txt").write_text("Mila runs.")
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(SeedStoryError, match=rf"1 of the 3 pictures .*(?s:.)*2\{suffix}"):
        open_series(tmp_path, None)


def test_all_damaged_pictures_are_named_up_to_a_screenful(tmp_path: Path) -> None:
    for number in range(MAX_NAMED + 5):
        add(tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(SeedStoryError, match=r"and 5 more") as caught:
        check_pictures(open_pictures(tmp_path))
    assert str(caught.value).count(".png") >= MAX_NAMED


#: A loaded machine is slow to draw; the folder is the same for all examples on purpose.
ON_ANY_MACHINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


_names = st.text(st.sampled_from("ab.\\/:\0\ud800é "), max_size=8)
_values = st.none() | st.booleans() | st.integers() | _names | st.lists(_names, max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=ON_ANY_MACHINE)
@given(st.dictionaries(st.sampled_from(["id", "images", "captions"]), _values))
def test_any_line_is_read_or_refused_in_words(tmp_path: Path, line: dict[str, object]) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps(line))
    try:
        stories = open_data(tmp_path, "train")
    except SeedStoryError:
        return
    for path in stories.paths:
        assert tmp_path in path.parents and ".." not in path.parts

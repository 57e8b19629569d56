"""Training data: both layouts, lazily read, with errors that say where."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seedstory_core.errors import SeedStoryError
from seedstory_core.picture_world.render import render, rgb
from seedstory_core.training.data import open_data, open_pictures, open_stories

GOOD: dict[str, Any] = {"id": "a", "images": ["a/0.png", "a/1.png"], "captions": ["One.", "Two."]}


def write(folder: Path, *lines: Any) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "train.jsonl").write_text("\n".join(texts) + "\n")


def test_stories_with_their_scenes(story_folder: Path) -> None:
    stories = open_stories(story_folder, "train")
    assert len(stories) == 24 and stories.starts == [0, 6, 12, 18, 24]
    assert stories.scenes is not None and stories.freedoms is not None
    panel = 7
    picture = np.asarray(Image.open(stories.paths[panel]).convert("RGB"))
    drawn = rgb(render(stories.scenes[panel], stories.freedoms[panel]))
    assert np.array_equal(picture, drawn)
    assert stories.scenes[panel].place in stories.captions[panel]


def test_pictures_are_not_needed_to_open(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "", {**GOOD, "id": "b"})
    stories = open_data(tmp_path, "train")
    assert [tale.id for tale in stories.tales] == ["a", "b"]
    assert stories.captions == ("One.", "Two.") * 2
    assert stories.scenes is None and stories.freedoms is None
    assert stories.paths[1] == tmp_path / "a" / "1.png"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not valid JSON"),
        ("[1]", "line 2: expected an object"),
        ("[" * 50_000, "line 2 is not valid JSON"),
        ({**GOOD, "images": ["a"]}, "line 2: expected as many captions"),
        ({**GOOD, "images": "a"}, "line 2: expected a list of texts in 'images'"),
        ({**GOOD, "captions": [1, 2]}, "line 2: expected a list of texts in 'captions'"),
        ({"id": "a", "images": [], "captions": []}, "line 2: expected a list"),
        ({**GOOD, "captions": ["One.", " "]}, "line 2: a caption has 1 to"),
        ({**GOOD, "captions": ["One.", "x" * 9000]}, "line 2: a caption has 1 to"),
        ({**GOOD, "images": ["a/0.png", "../../etc/passwd"]}, "line 2: the image"),
        ({**GOOD, "images": ["a/0.png", "/etc/passwd"]}, "line 2: the image"),
        ({**GOOD, "images": ["a/0.png", "C:\\x.png"]}, "line 2: the image"),
        (json.dumps(GOOD) + " " * (5 << 20), "line 2 is longer than"),
        ({**GOOD, "captions": ["One.", "Half \ud83d a letter."]}, "half a letter"),
        ({**GOOD, "captions": ["One.", "Nothing \0 at all."]}, "line 2 .*NUL"),
        ({**GOOD, "captions": ["One.", "A bell \7 rings."]}, "line 2 has .*U\\+0007"),
        ({**GOOD, "images": ["a/0.png", "..\\..\\x.png"]}, "line 2: the image"),
        ({**GOOD, "images": ["a/0.png", "\\\\server\\x.png"]}, "line 2: the image"),
        ({**GOOD, "images": ["a/0.png", "x" * 5000]}, "line 2: the image"),
        ('{"id": 1e999}', "line 2 .*1e999"),
    ],
)
def test_wrong_lines(tmp_path: Path, line: Any, message: str) -> None:
    write(tmp_path, GOOD, line)
    with pytest.raises(SeedStoryError, match=message):
        open_stories(tmp_path, "train")


def test_missing_splits_and_empty_files(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(SeedStoryError, match="no story"):
        open_data(tmp_path, "train")
    with pytest.raises(SeedStoryError, match="splits here: train"):
        open_data(tmp_path, "val")


@pytest.mark.parametrize(
    ("scenes", "message"),
    [
        ([{"id": "b", "scenes": [1, 2]}], "expected story 'a'"),
        ([{"id": "a", "scenes": [1]}], "expected 2 values"),
        ([], "0 of 1 stories"),
        ([{"id": "a", "scenes": [{}, {}]}], "Not a scene graph"),
    ],
)
def test_scenes_that_do_not_fit(tmp_path: Path, scenes: list[Any], message: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "scenes").mkdir()
    text = "".join(json.dumps(line) + "\n" for line in scenes)
    (tmp_path / "scenes" / "train.jsonl").write_text(text)
    with pytest.raises(SeedStoryError, match=message):
        _ = open_stories(tmp_path, "train").scenes


def add_picture(path: Path, caption: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64)).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8-sig")


def test_a_plain_folder_is_one_story_in_the_order_of_names(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        add_picture(tmp_path / f"{number}.PNG", f" Picture\n{number}. ")
    stories = open_data(tmp_path, "train")
    assert stories.captions == ("Picture 1.", "Picture 2.", "Picture 10.")
    assert len(stories.tales) == 1 and len(open_data(tmp_path, "val")) == 3


def test_folders_of_a_plain_folder_are_stories(tmp_path: Path) -> None:
    for name in ("b/1.png", "a/1.jpg", "a/2.jpg"):
        add_picture(tmp_path / name, name)
    assert [tale.captions for tale in open_pictures(tmp_path).tales] == [
        ("a/1.jpg", "a/2.jpg"),
        ("b/1.png",),
    ]


def test_a_plain_folder_that_lacks_something(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="neither stories"):
        open_data(tmp_path, "train")
    add_picture(tmp_path / "1.png", None)
    with pytest.raises(SeedStoryError, match=r"expected it in 1\.txt"):
        open_data(tmp_path, "train")
    (tmp_path / "1.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SeedStoryError, match="UTF-8"):
        open_data(tmp_path, "train")

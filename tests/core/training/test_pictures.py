"""The cache of pictures, and what the visual tokenizer sees of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seedstory_core.errors import SeedStoryError
from seedstory_core.images import clip_input, enlarge
from seedstory_core.training.data import open_pictures, open_stories
from seedstory_core.training.encoded import vision_input
from seedstory_core.training.pictures import load_pictures, to_native, vision_pixels
from seedstory_core.training.stage import quiet

NOISE = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("factor", [1, 3, 8])
def test_an_exact_enlargement_is_taken_back_exactly(factor: int) -> None:
    large = enlarge(torch.from_numpy(NOISE[0]), factor).numpy()
    assert np.array_equal(to_native(large, 64), NOISE[0])


def test_another_picture_is_resampled() -> None:
    image = Image.fromarray(NOISE[0]).resize((200, 128))
    small = to_native(np.asarray(image), 64)
    assert np.array_equal(small, np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC)))
    nearly = np.asarray(enlarge(torch.from_numpy(NOISE[0]), 2)).copy()
    nearly[5, 5] ^= 255
    assert not np.array_equal(to_native(nearly, 64), nearly[::2, ::2])


@pytest.mark.parametrize(("factor", "size"), [(8, 64), (4, 64), (3, 64), (1, 64), (8, 32)])
def test_vision_sees_what_it_will_see_when_telling(factor: int, size: int) -> None:
    shown = [enlarge(torch.from_numpy(picture), factor) for picture in NOISE]
    seen = vision_input(NOISE, factor, size)
    assert torch.equal(seen, clip_input(shown, size))
    assert vision_pixels(NOISE, factor, size).dtype == np.uint8


def test_the_cache_is_made_once_and_follows_the_files(story_folder: Path, tmp_path: Path) -> None:
    stories, calls = open_stories(story_folder, "train"), []

    def progress(done: int, total: int, note: str) -> None:
        calls.append((done, total))

    first = load_pictures(stories, 64, tmp_path, progress)
    assert first.shape == (24, 64, 64, 3) and calls == [(0, 24)]
    assert np.array_equal(first[5], np.asarray(Image.open(stories.paths[5]).convert("RGB")))
    again = load_pictures(stories, 64, tmp_path, progress)
    assert isinstance(again, np.memmap) and len(calls) == 1
    load_pictures(stories, 32, tmp_path, progress)
    assert len(calls) == 2 and len(list(tmp_path.iterdir())) == 2


def test_a_changed_picture_makes_the_cache_anew(tmp_path: Path) -> None:
    Image.fromarray(NOISE[0]).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("One.")
    cache = tmp_path / "cache"
    before = load_pictures(open_pictures(tmp_path), 64, cache)[0].copy()
    Image.fromarray(NOISE[1]).save(tmp_path / "1.png", compress_level=0)
    after = load_pictures(open_pictures(tmp_path), 64, cache)[0]
    assert np.array_equal(before, NOISE[0]) and np.array_equal(after, NOISE[1])


def test_missing_and_damaged_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "1.txt").write_text("One.")
    stories = open_pictures(tmp_path)
    with pytest.raises(SeedStoryError, match="1.png is not a picture"):
        load_pictures(stories, 64, tmp_path / "cache", quiet)
    assert not (tmp_path / "cache").exists()
    (tmp_path / "1.png").unlink()
    with pytest.raises(SeedStoryError, match="1.png of split 'train' is missing"):
        load_pictures(stories, 64, tmp_path / "cache", quiet)

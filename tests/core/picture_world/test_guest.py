"""The guest's pictures: a plain folder of good stories, the same for the same seed, read back."""

from pathlib import Path

import pytest

from seedstory_core.__main__ import main
from seedstory_core.errors import SeedStoryError
from seedstory_core.picture_world.guest import guest_stories, write_guest
from seedstory_core.picture_world.reading import CaptionReader
from seedstory_core.picture_world.scene import GUEST
from seedstory_core.training.data import open_pictures


def test_the_folder_is_read_back_as_stories(tmp_path: Path):
    seen = write_guest(tmp_path / "a", 24)
    stories = open_pictures(tmp_path / "a")
    assert [len(tale.images) for tale in stories.tales] == [10, 10, 4]
    told = [panel for _, story in guest_stories(24) for panel in story]
    assert list(stories.captions) == [panel.caption for panel in told]
    shown = sum(any(actor.name == GUEST for actor in panel.scene.actors) for panel in told)
    assert shown == seen >= 24 * 0.5
    for tale in stories.tales:
        reader = CaptionReader()
        readings = [reader.read(caption) for caption in tale.captions]
        assert all(reading.grammatical and not reading.problems for reading in readings)


def test_the_same_seed_gives_the_same_files(tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_guest(tmp_path / name, 12, seed)
    a, b, c = (
        {str(p.relative_to(tmp_path / n)): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in "abc"
    )
    assert a == b and len(a) == 24
    assert a != c


def test_refusals(tmp_path: Path):
    with pytest.raises(SeedStoryError, match="panels"):
        write_guest(tmp_path / "a", 1)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SeedStoryError, match="not empty"):
        write_guest(tmp_path, 10)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "olive"
    assert main(["train", "make-world", "--guest", "--panels", "10", "--out", str(out)]) == 0
    assert GUEST in capsys.readouterr().out
    assert len(open_pictures(out)) == 10
    for wrong in (["--guest", "--stories", "3"], ["--panels", "3", "--stories", "1"], []):
        assert main(["train", "make-world", "--out", str(tmp_path / "b"), *wrong]) != 0
        assert not (tmp_path / "b").exists()

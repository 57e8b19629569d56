"""The dataset on disk: layout, exact pictures, whole or absent, openings, the command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seedstory_core.cli import train_make_world
from seedstory_core.errors import SeedStoryError
from seedstory_core.picture_world import dataset
from seedstory_core.picture_world.reading import CaptionReader
from seedstory_core.picture_world.render import PALETTE, render
from seedstory_core.picture_world.scene import CAST, Freedom, Scene
from seedstory_core.picture_world.splits import SPLITS, scene_is_held_out
from seedstory_core.picture_world.stories import tell

STORIES = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    dataset.write_world(folder, STORIES, seed=3)
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_lists_pictures_and_scenes_belong_together(world: Path):
    stories = 0
    for split in SPLITS:
        graphs = lines(world / "scenes" / f"{split}.jsonl")
        for line, graph in zip(lines(world / f"{split}.jsonl"), graphs, strict=True):
            assert line["id"] == graph["id"] and line["id"].startswith(split)
            assert dataset.SHORTEST <= len(line["captions"]) <= dataset.LONGEST
            reader = CaptionReader()
            for image, caption, scene, freedom in zip(
                line["images"], line["captions"], graph["scenes"], graph["freedoms"], strict=True
            ):
                assert reader.read(caption).scene == Scene.from_json(scene)
                with Image.open(world / image) as picture:
                    assert (picture.mode, picture.size) == ("P", (64, 64))
                    colours = np.asarray(picture.convert("RGB"))
                drawn = PALETTE[render(Scene.from_json(scene), Freedom(**freedom))]
                assert np.array_equal(colours, drawn)
            stories += 1
    assert stories == STORIES


def test_the_stories_are_those_told_by_seed(world: Path):
    for split in SPLITS:
        for index, line in enumerate(lines(world / f"{split}.jsonl")):
            seed = dataset.story_seed_of(3, index)
            told = tell(seed, len(line["captions"]), split)
            assert line["captions"] == [panel.caption for panel in told]


def test_the_same_arguments_write_the_same_files(world: Path, tmp_path: Path):
    dataset.write_world(tmp_path, STORIES, seed=3)
    assert files(tmp_path) == files(world)


def test_shares_are_94_3_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "SHORTEST", 1)
    monkeypatch.setattr(dataset, "LONGEST", 1)
    reports: list[tuple[int, int]] = []
    counts = dataset.write_world(
        tmp_path, 100, progress=lambda done, all, note: reports.append((done, all))
    )
    assert counts.stories == {"train": 94, "val": 3, "test": 3} == counts.pictures
    assert reports == [(done, 100) for done in range(1, 101)]


def test_a_single_story_is_for_training(tmp_path: Path):
    assert dataset.write_world(tmp_path, 1).stories == {"train": 1, "val": 0, "test": 0}


def test_an_existing_list_is_not_overwritten(world: Path):
    with pytest.raises(SeedStoryError, match="already"):
        dataset.write_world(world, STORIES)


@pytest.mark.parametrize("stories", [0, -1, 10**9])
def test_silly_numbers_are_refused(tmp_path: Path, stories: int):
    with pytest.raises(SeedStoryError, match="stories"):
        dataset.write_world(tmp_path, stories)
    assert not list(tmp_path.iterdir())


def test_a_stopped_run_leaves_no_list_and_can_be_run_again(tmp_path: Path, world: Path):
    def stop(done: int, stories: int, note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.write_world(tmp_path, STORIES, 3, stop)
    assert not [path for path in files(tmp_path) if not path.startswith("images/")]
    dataset.write_world(tmp_path, STORIES, 3)
    assert files(tmp_path) == files(world)


def test_openings_show_everybody_and_held_out_combinations():
    openings = list(dataset.openings(0, 12))
    assert openings == list(dataset.openings(0, 12))
    assert {opening.scene.actors[0].name for opening in openings[:6]} == set(CAST)
    assert [scene_is_held_out(opening.scene) for opening in openings] == [False, True] * 6
    for opening in openings:
        reading = CaptionReader().read(opening.caption)
        assert reading.scene == opening.scene and not reading.problems


def test_the_command_writes_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    parser = argparse.ArgumentParser()
    train_make_world.add_parser(parser.add_subparsers())
    args = parser.parse_args(["make-world", "--stories", "1", "--out", str(tmp_path / "w")])
    assert args.run(args) == 0
    assert "1 stories" in capsys.readouterr().out
    assert (tmp_path / "w" / "train.jsonl").exists()

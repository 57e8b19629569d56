"""A new engine is a folder and a row: story, store, command line and pages take it as it is."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seedstory_core.book.page import Grid, pages
from seedstory_core.cli import main
from seedstory_core.engine import ENGINES, EngineSpec, Order, Route, open_engine
from seedstory_core.errors import SeedStoryError
from seedstory_core.files import atomic_write_bytes
from seedstory_core.hosts import local_host
from seedstory_core.images import encode_png
from seedstory_core.story import check_story
from seedstory_core.story_store import keep, load_story
from seedstory_core.types import Opening, PaintSettings
from seedstory_core.weights.world_writer import write_world_json
from seedstory_core.world import World

HOST = local_host(torch.device("cpu"), torch.float32)
RED = torch.tensor([[[200, 30, 40]]], dtype=torch.uint8).expand(16, 16, 3).contiguous()


@pytest.fixture()
def toy_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    name = "seedstory_core.engines.toy"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "toy_engine.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(ENGINES, "toy", EngineSpec("toy", "Toy", ".engines.toy"))
    folder = tmp_path / "toy-world"
    atomic_write_bytes(folder / "words.txt", b"sun moon star")
    atomic_write_bytes(folder / "first.png", encode_png(RED))
    yield write_world_json(
        folder,
        title="Toy",
        engine="toy",
        sizes={},
        files={"words": "words.txt"},
        panel_size=(32, 24),
        licence="Apache-2.0",
        provenance={},
        openings=[{"image": "first.png", "text": "Once."}],
    )


def test_it_tells_paints_and_keeps(toy_world: World, tmp_path: Path) -> None:
    engine = open_engine(toy_world, HOST)
    assert engine.capabilities.order is Order.JOINT
    assert engine.capabilities.route is Route.SAMPLER
    story = engine.start(Opening("Once.", RED, run="toys"))
    for index in (1, 2):
        story = engine.tell(story, seed=index)
    for index, image in zip((1, 2), engine.paint(story, (1, 2), PaintSettings()), strict=True):
        story = engine.commit(story, index, image)
    loaded = load_story(keep(tmp_path, story))
    assert [panel.caption for panel in loaded.panels] == ["Once.", "moon 1", "star 2"]
    assert torch.equal(loaded.panels[1].image, story.panels[1].image)
    assert len(pages(loaded, Grid())) == 1
    check_story(loaded, engine)


def test_the_command_line_tells_and_paints_with_it(
    toy_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["tell", "--world", str(toy_world.root), "--out", str(out), "--panels", "3"]
    assert main(command) == 0, capsys.readouterr().err
    story = load_story(out)
    assert story.engine == "toy" and len(story) == 4
    white = [(panel.image[0] == 255).all(-1).sum().item() for panel in story.panels[1:]]
    assert white == [3, 3, 3], "all three were painted jointly, in one call"
    assert json.loads((out / "story.json").read_text())["panels"][3]["image"] == "panels/003.png"
    assert main([*command[:-1], "5"]) == 0
    white = [(panel.image[0] == 255).all(-1).sum().item() for panel in load_story(out).panels[1:]]
    assert white == [3, 3, 3, 2, 2], "only what was new"


def test_without_its_row_the_engine_is_unknown(
    toy_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ENGINES, "toy")
    with pytest.raises(
        SeedStoryError, match="asks for the engine 'toy'; this version has seed_story"
    ):
        open_engine(toy_world, HOST)

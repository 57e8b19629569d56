"""Any number or text of a world.json may be a stranger's: read, or refused in words, at once."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.bounded import GB, bounded
from support.odd import BROKEN, ODD, Way, changed, ways, written
from torch.nn import Linear

from seedstory_core.babble import make_world
from seedstory_core.building import LARGEST, Room, on_meta
from seedstory_core.engine import open_engine
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import LocalPart
from seedstory_core.memory import Run, budget, library_loading
from seedstory_core.painter.loading import open_painter
from seedstory_core.parts import PartSpec
from seedstory_core.world import World, load_world

#: Seconds of CPU for one world: a sound one opens in a fifth of that, one too large is refused
#: after the thousand layers that `building.SLACK` grants.
EACH = 2.0
TOLD, PAINTED = 150, 12  # changes tried by default

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures in /proc")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sound world and its world.json; diffusers is imported, which counts for no odd one."""
    folder = tmp_path_factory.mktemp("odd") / "w"
    open_painter(make_world(folder))
    return folder, (folder / "world.json").read_text()


@pytest.fixture
def root(made: tuple[Path, str]) -> Iterator[Path]:
    folder, sound = made
    yield folder
    (folder / "world.json").write_text(sound)


def tell(world: World) -> None:
    """Builds whatever tells, as the library does."""
    engine = open_engine(world, lambda spec: LocalPart(spec, torch.device("cpu"), torch.float32))
    for part in engine.parts.values():
        part.acquire()
    engine.unet_patch()
    for number in range(1, len(world.openings) + 1):
        world.opening(number)


def paint(world: World) -> None:
    """Builds whatever paints, and plans its memory."""
    open_painter(world)


def plan(world: World) -> None:
    budget(world, Run(panels=2), library_loading(torch.float32))


def tried(folder: Path, text: str, use: Callable[[World], None]) -> str:
    (folder / "world.json").write_text(text)
    try:
        use(load_world(folder))
    except SeedStoryError:
        pass
    return ""


def jobs(root: Path, cases: list[tuple[Way, Any, str]]) -> Iterator[tuple[str, Callable[[], str]]]:
    for way, odd, text in cases:
        use = paint if way[0] == "painter" else tell
        name = f"{'.'.join(map(str, way))} = {odd!r:.60}"
        yield name, lambda text=text, use=use: tried(root, text, use)


def odd_worlds(data: Any) -> tuple[list[tuple[Way, Any, str]], list[tuple[Way, Any, str]]]:
    """All changes of one value of world.json: those that tell, and those that paint."""
    places = [way for way in ways(data) if way[0] != "provenance"]
    cases = [(way, odd, json.dumps(changed(data, way, odd))) for way in places for odd in ODD]
    cases += [(way, odd, written(data, way, odd)) for way in places[::5] for odd in BROKEN]
    painted = [case for case in cases if case[0][0] == "painter"]
    told = [case for case in cases if case[0][0] != "painter"]
    assert len(told) > 1500 and len(painted) > 1000
    return told, painted


def test_odd_values_are_read_or_refused_at_once(root: Path) -> None:
    """Some of all, others in each part of the file; the slow test has all of them."""
    sound = (root / "world.json").read_text()
    told, painted = odd_worlds(json.loads(sound))
    chosen = random.Random(1)
    some = chosen.sample(told, TOLD) + chosen.sample(painted, PAINTED)
    assert bounded(jobs(root, some), EACH, GB) == []
    (root / "world.json").write_text(sound)
    tell(load_world(root))  # the sound one still opens
    paint(load_world(root))


@pytest.mark.slow
def test_each_odd_value_is_read_or_refused_at_once(root: Path) -> None:
    """Slow: five thousand worlds are opened, and models of diffusers built for a third of them."""
    told, painted = odd_worlds(json.loads((root / "world.json").read_text()))
    assert bounded(jobs(root, told + painted), EACH, GB) == []


def test_memory_is_planned_for_odd_sizes_or_refused(root: Path) -> None:
    sound = (root / "world.json").read_text()
    data = json.loads(sound)
    places = [way for way in ways(data) if way[0] in ("sizes", "painter", "panel_size")]
    cases = [(w, o, json.dumps(changed(data, w, o))) for w in places for o in ODD]
    some = random.Random(2).sample(cases, 6)
    work = [
        (f"{way} = {odd!r:.60}", lambda text=text: tried(root, text, plan))
        for way, odd, text in some
    ]
    assert bounded(work, 4 * EACH, GB) == []
    (root / "world.json").write_text(sound)
    plan(load_world(root))


@pytest.mark.parametrize(
    ("way", "value", "says"),
    [
        (("sizes", "llm", "layers"), 10**8, "llm.layers must be a whole number from 1 to 512"),
        (("sizes", "input_resampler", "grid"), 10**6, "input_resampler.grid"),
        (("sizes", "input_resampler", "heads"), 7, "width / heads"),
        (("sizes", "vision", "heads"), 7, "vision.width / heads"),
        (("sizes", "vision", "image_size"), 4096, "table"),
        (("sizes", "detokenizer", "prompt_widths"), [1, 2, 3], "two whole numbers"),
        (("sizes", "llm", "eps"), 0, "llm.eps"),
        (("painter", "unet", "layers_per_block"), 10**8, "layers_per_block"),
        (("painter", "unet", "transformer_layers_per_block"), [[10**8]], "transformer_layers"),
        (("painter", "unet", "block_out_channels"), [10**30], "block_out_channels"),
        (("painter", "unet", "block_out_channels"), [32] * 10_000, "at most 64 entries"),
        (("painter", "unet", "norm_num_groups"), 0, "make no model"),
        (("painter", "vae", "kind"), "other", "not known"),
        (("painter", "vae", "scaling_factor"), 0, "scaling_factor"),
        (("painter", "scheduler", "num_train_timesteps"), 10**12, "num_train_timesteps"),
        (("painter", "scheduler", "trained_betas"), [0.1] * 10, "trained_betas"),
        (("panel_size",), [10**9, 1], "panel_size"),
        (("files", "llm", "bytes"), -1, "bytes of 'llm'"),
        (("openings",), [{"text": "A fox."}], "image"),
        (("openings",), [{"text": "A fox.", "image": 3}], "image of an opening"),
        (("openings",), [{"text": "A fox.", "image": "../x.png"}], "leaves its folder"),
        (("openings",), {"text": "A fox."}, "list of objects"),
    ],
)
def test_what_is_odd_is_named(root: Path, way: Way, value: Any, says: str) -> None:
    sound = json.loads((root / "world.json").read_text())
    (root / "world.json").write_text(json.dumps(changed(sound, way, value)))
    with pytest.raises(SeedStoryError, match=says):
        world = load_world(root)
        (paint if way[0] == "painter" else tell)(world)


@pytest.mark.parametrize("layers", [600, 10**9])
def test_a_model_larger_than_its_file_is_not_built(tmp_path: Path, layers: int) -> None:
    """Counted, not timed: the thousand tensors of `building.SLACK` and no more are made."""
    made: list[torch.nn.Module] = []

    def build(ops: Any) -> torch.nn.Module:
        for _ in range(layers):
            made.append(ops.Linear(4, 4))
        return torch.nn.ModuleList(made)

    save_file({"a": torch.ones(1)}, tmp_path / "m.safetensors")
    part = LocalPart(
        PartSpec("m", build, tmp_path / "m.safetensors"), torch.device("cpu"), torch.float32
    )
    with pytest.raises(SeedStoryError, match="larger model than its file holds"):
        part.acquire()
    assert len(made) < 600


def test_other_threads_build_on(tmp_path: Path) -> None:
    made: list[torch.nn.Module] = []
    with on_meta(Room(0, 0), "it"):
        thread = Thread(target=lambda: made.extend(Linear(1, 1) for _ in range(2000)))
        thread.start()
        thread.join()
    assert len(made) == 2000


@pytest.mark.parametrize("size", [10**30, -1, 2**62, "x", None])
def test_sizes_that_make_no_model_are_refused_in_words(size: Any) -> None:
    with pytest.raises(SeedStoryError, match="sizes of it"), on_meta(LARGEST, "it"):
        Linear(size, 2)

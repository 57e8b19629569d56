"""What quantising costs on Picture World: the same words again, and nearly the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.fidelity import Fidelity, compare, read_again, tell

from seedstory_core.engine import open_engine
from seedstory_core.hosts import local_host
from seedstory_core.quantised import FORMATS
from seedstory_core.world import World, load_world

CPU = torch.device("cpu")
WORLD = Path(__file__).parents[2] / "worlds" / "picture-world"
#: Share of equal words, and cosine of a picture's features at the least (PERFORMANCE 5: 0.999 and
#: 0.99; a share is not asked for there, and one of some twenty words may change in a short story).
BOUNDS = {"int8": (0.98, 0.999), "int4": (0.93, 0.99)}


@pytest.fixture(scope="module")
def world() -> World:
    pytest.importorskip("comfy_kitchen", reason="not installed: comfy-kitchen (quantised weights)")
    return load_world(WORLD)


def opened(world: World, mode: str) -> Any:
    return open_engine(world, local_host(CPU, torch.float32, form=FORMATS[mode]))


def fidelities(world: World, stories: int, panels: int) -> dict[str, Fidelity]:
    plain = opened(world, "none")
    told = tell(plain, world, stories, panels)
    reference = read_again(plain, plain.parts["llm"].acquire(), told)
    return {
        mode: compare(
            read_again(plain, opened(world, mode).parts["llm"].acquire(), told), reference
        )
        for mode in BOUNDS
    }


def check(found: dict[str, Fidelity]) -> None:
    for mode, (top1, worst) in BOUNDS.items():
        print(f"{mode}: {found[mode]}")
        assert found[mode].top1 >= top1 and found[mode].worst >= worst, (mode, found[mode])


def test_a_short_story_keeps_its_words_and_pictures(world: World) -> None:
    check(fidelities(world, stories=1, panels=4))


@pytest.mark.slow
def test_ten_stories_keep_their_words_and_pictures(world: World) -> None:
    """The figures in docs/QUANTISED.md."""
    check(fidelities(world, stories=10, panels=10))

"""An engine on the goldens' trained toy weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support.golden_world import write_golden_world

from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.hosts import local_host
from seedstory_core.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_golden_world(tmp_path_factory.mktemp("worlds") / "golden")


@pytest.fixture(scope="session")
def open_fresh(world: World) -> Callable[[], SeedStoryEngine]:
    """Opens engines of one loaded set of weights, each with an empty cache."""
    first = open_engine(world, local_host(torch.device("cpu"), torch.float32))

    def fresh() -> SeedStoryEngine:
        engine = open_engine(world, lambda spec: first.parts[spec.name])
        assert isinstance(engine, SeedStoryEngine)
        return engine

    return fresh


@pytest.fixture
def engine(open_fresh: Callable[[], SeedStoryEngine]) -> SeedStoryEngine:
    return open_fresh()

"""A story of five panels by the goldens' trained toy weights: words are drawn, pictures painted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support.golden_world import write_golden_world
from support.tales import begun, picture, told

from seedstory_core.context import Window
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.hosts import local_host
from seedstory_core.sampling import Nucleus, Sampling
from seedstory_core.story import attach_image
from seedstory_core.types import Story

DRAWN = Sampling(picker=Nucleus(1.0, 0.95), suppress=-torch.inf, max_new_tokens=110)


@pytest.fixture(scope="session")
def open_fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], SeedStoryEngine]:
    """Opens engines of one loaded set of weights, each with an empty cache."""
    world = write_golden_world(tmp_path_factory.mktemp("worlds") / "golden")
    first = open_engine(world, local_host(torch.device("cpu"), torch.float32))

    def fresh() -> SeedStoryEngine:
        engine = open_engine(world, lambda spec: first.parts[spec.name])
        assert isinstance(engine, SeedStoryEngine)
        return engine

    return fresh


@pytest.fixture(scope="session")
def engine(open_fresh: Callable[[], SeedStoryEngine]) -> SeedStoryEngine:
    return open_fresh()


@pytest.fixture(scope="session")
def story(engine: SeedStoryEngine) -> Story:
    """Opening, told, told, illustrated, told; all painted."""
    story = told(engine, begun(engine), 2, sampling=DRAWN, context=Window(3))
    story = engine.tell(story, "George saw a big bird near the lake.", DRAWN, Window(3))
    story = told(engine, story, 1, sampling=DRAWN, context=Window(3))
    for index in range(1, len(story)):
        story = attach_image(story, index, picture(index), {"seed": index})
    return story

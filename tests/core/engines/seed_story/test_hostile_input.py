"""Input that cannot be told or painted is refused with a sentence that helps."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tales import TEXT, begun, picture
from torch import Tensor

from seedstory_core.context import Dense, Window
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.engines.seed_story.features import SPACE
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.sampling import Nucleus, Sampling
from seedstory_core.story import append
from seedstory_core.types import ImageFeatures, Opening, Panel, WorldRef
from seedstory_core.world import World, load_world

NUCLEUS = Sampling(picker=Nucleus(1.0, 0.95), suppress=-torch.inf, max_new_tokens=110)
CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
def test_pictures_of_any_shape_are_read(engine: SeedStoryEngine, size: tuple[int, int]) -> None:
    assert engine.encode([picture(0, size)]).tensor.shape == (1, 256, 128)


def test_no_picture_is_an_error(engine: SeedStoryEngine) -> None:
    with pytest.raises(SeedStoryError, match="give at least one"):
        engine.encode([])
    with pytest.raises(SeedStoryError, match="give a picture"):
        engine.start(Opening(TEXT))


@pytest.mark.parametrize("text", ["", "   ", "a <img> b"])
def test_unreadable_text_is_an_error(engine: SeedStoryEngine, text: str) -> None:
    with pytest.raises(SeedStoryError, match="opening text"):
        engine.start(Opening(text, picture()))
    with pytest.raises(SeedStoryError, match="caption"):
        engine.tell(begun(engine), text)


def test_an_endless_caption_is_refused_with_what_fits(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    with pytest.raises(SeedStoryError, match=r"caption has \d+ tokens; at most \d+ fit"):
        engine.tell(story, "The fox ran. " * 7000)
    with pytest.raises(SeedStoryError, match=r"opening text has \d+ tokens; at most \d+ fit"):
        engine.start(Opening("The fox ran. " * 7000, picture()))


def test_what_is_said_to_fit_does_fit(engine: SeedStoryEngine) -> None:
    story, words = begun(engine), "lake " * 2000
    with pytest.raises(SeedStoryError, match="at most") as refused:
        engine.tell(story, words)
    numbers = re.search(r"has (\d+) tokens; at most (\d+) fit", str(refused.value))
    assert numbers is not None
    own, fits = int(numbers[1]), int(numbers[2])
    each = own / 2000  # tokens a word
    assert len(engine.tell(story, "lake " * int(fits / each))) == 2
    with pytest.raises(SeedStoryError, match="at most"):
        engine.tell(story, "lake " * (int(fits / each) + 2))


def test_a_story_too_long_for_the_model_asks_for_a_window(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    panel = story.panels[0]
    for i in range(40):
        more = Panel("A fox.", "[INST]A fox.", "told", (i,), panel.features)
        story = append(story, more)
    with pytest.raises(SeedStoryError, match="smaller Window"):
        engine.tell(story, context=Dense())
    assert len(engine.tell(story, context=Window(2))) == 42


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(engine: SeedStoryEngine, seed: int) -> None:
    with pytest.raises(SeedStoryError, match="seed"):
        engine.tell(begun(engine), seed=seed)


def test_large_seeds_are_taken(engine: SeedStoryEngine) -> None:
    assert engine.tell(begun(engine), seed=2**64 - 1, sampling=NUCLEUS)


def test_a_story_of_another_world_is_refused(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    foreign = replace(story, world=WorldRef("other", "f" * 64))
    for act in (
        engine.tell,
        lambda s: engine.condition(s, 0),
        lambda s: engine.commit(s, 0, picture()),
    ):
        with pytest.raises(SeedStoryError, match="other"):
            act(foreign)
    with pytest.raises(SeedStoryError, match="toy"):
        engine.tell(replace(story, engine="toy"))
    with pytest.raises(SeedStoryError, match="no panel"):
        engine.tell(replace(story, panels=()))
    bare = ImageFeatures(story.panels[0].features[SPACE][None], SPACE, foreign.world)
    with pytest.raises(SeedStoryError, match="other"):
        engine.condition_features(bare)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: row * torch.nan, "NaN"),
        (lambda row: row.clone().index_fill_(0, torch.tensor([3]), torch.inf), "NaN or infinite"),
        (lambda row: row[:, :5], "shape"),
        (lambda row: row[None], "shape"),
    ],
)
def test_unusable_features_are_refused(
    engine: SeedStoryEngine, change: Callable[[Tensor], Tensor], says: str
) -> None:
    story = begun(engine)
    spoiled = replace(story.panels[0], features={SPACE: change(story.panels[0].features[SPACE])})
    with pytest.raises(SeedStoryError, match=says):
        engine.tell(replace(story, panels=(spoiled,)))
    with pytest.raises(SeedStoryError, match=says):
        engine.condition(replace(story, panels=(spoiled,)), 0)


def test_a_panel_without_features_is_refused(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    with pytest.raises(SeedStoryError, match="Panel 0 has no"):
        engine.tell(replace(story, panels=(replace(story.panels[0], features={}),)))


def test_broken_weights_are_an_error_and_not_a_story(world: World) -> None:
    engine = open_engine(world, local_host(CPU, torch.float32))
    story = begun(engine)
    engine.parts["llm"].acquire().lm_head.weight.data.fill_(torch.nan)
    with pytest.raises(SeedStoryError, match="not numbers"):
        engine.tell(story)
    engine.parts["llm"].acquire().output_resampler.out_proj.bias.data.fill_(torch.inf)
    with pytest.raises(SeedStoryError, match="not numbers"):
        engine.tell(story, "George ran.")


def test_a_world_without_its_files_says_which(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root, tmp_path / "w")
    (tmp_path / "w" / "llm.safetensors").unlink()
    with pytest.raises(SeedStoryError, match="llm.safetensors"):
        open_engine(load_world(tmp_path / "w"), local_host(CPU, torch.float32))

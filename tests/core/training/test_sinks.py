"""Whole stories under a sink: trained on exactly what the engine reads."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.rounding import LAYER, tolerance
from torch import Tensor

from seedstory_core.context import MultimodalSink
from seedstory_core.engines.seed_story.config import SeedStoryConfig
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.prompt import TURN, Trained, Vocabulary
from seedstory_core.engines.seed_story.reader import Reader, page
from seedstory_core.errors import SeedStoryError
from seedstory_core.training.cache import Rows
from seedstory_core.training.data import Stories, Tale
from seedstory_core.training.learner import Learner
from seedstory_core.training.llm import LlmStage, Telling, TellingModule, new_mllm
from seedstory_core.training.recipe import StageSettings
from seedstory_core.training.sinks import WholeStories, draw_stories, tell_stories
from seedstory_core.training.windows import Scripts

CPU = torch.device("cpu")
#: Two layers and two resamplers, 64 wide at most.
NEAR = tolerance(torch.float32, terms=64, sums=4 * LAYER)
SINKS = {
    "few rows": MultimodalSink(1, 1, 0, 1, 1, 0, cap=1),
    "overlapping": MultimodalSink(2, 4, 4, 8, 8, 4, cap=16),
    "no sinks": MultimodalSink(2, 2, cap=0),
    "own places": MultimodalSink(1, 2, 1, 2, 1, 1, cap=1, positions="original"),
}


@pytest.fixture(scope="module")
def long_stories() -> Stories:
    """Captions of unlike lengths, so that every batch is padded."""
    said = ("Mila is in the meadow.", "It rains.", "Tobi finds a lantern in the deep forest.")
    tales = [
        Tale(
            str(number),
            tuple(f"{number}/{panel}.png" for panel in range(size)),
            tuple(said[(number + panel * panel) % 3] for panel in range(size)),
        )
        for number, size in enumerate((6, 7, 5))
    ]
    return Stories(Path(), "train", tuple(tales))


def settings(**options: Any) -> StageSettings:
    known = {"window": 4, **options}
    return StageSettings(
        40, 4, lr=5e-3, warmup=5, ema=0.9, weight_decay=0.0, options=known, save_every=30
    )


def telling(words: Vocabulary, stories: Stories, features: Rows, chosen: StageSettings) -> Telling:
    return Telling(Scripts(words, stories), features, chosen)


def read_by_the_engine(
    mllm: Mllm,
    sizes: SeedStoryConfig,
    words: Vocabulary,
    captions: tuple[str, ...],
    pictures: Tensor,
    policy: MultimodalSink,
) -> tuple[list[Tensor], list[Tensor]]:
    """Panel by panel as `Teller` does: scores of each caption behind the first, and answers."""
    reader, scores, answers = Reader(sizes.llm), [], []
    for told in range(1, len(captions)):
        prompt = Trained().prompt(words, captions[:told], policy, captions[told])
        ids = [*prompt.ids, words.begin]
        text = page(ids, words.slots, list(pictures[:told]), policy)
        reader.begin(text, "test", CPU)
        hidden = reader.read_page(mllm, text, torch.empty(0))
        turn = words.tokenizer.encode(TURN + captions[told])
        scores.append(mllm.scores(hidden[-len(turn) - 2 : -1]))
        answer = reader.read_ids(mllm, words.slots, torch.empty(0))
        answers.append(mllm.output_resampler(answer[None])[0])
        reader.unread(len(words.slots))
    return scores, answers


@pytest.mark.parametrize("policy", SINKS.values(), ids=SINKS.keys())
def test_training_reads_what_telling_reads(
    policy: MultimodalSink,
    long_stories: Stories,
    words: Vocabulary,
    features: Rows,
    sizes: SeedStoryConfig,
) -> None:
    mllm = new_mllm(sizes, 0)
    source = telling(words, long_stories, features, settings())
    batch = source.whole(WholeStories((0, 6, 13), 5, policy))
    with torch.no_grad():
        told = tell_stories(mllm, batch)
    scores = mllm.scores(told.hidden)
    said: list[list[Tensor]] = []
    for number, first in enumerate((0, 6, 13)):
        captions = tuple(long_stories.captions[first : first + 5])
        pictures = features.take(torch.arange(first, first + 4))
        with torch.no_grad():
            theirs, answers = read_by_the_engine(mllm, sizes, words, captions, pictures, policy)
        said.append(theirs)
        torch.testing.assert_close(told.pictures[number::3], torch.stack(answers), **NEAR)
    expected = torch.cat([story[panel] for panel in range(4) for story in said])
    torch.testing.assert_close(scores, expected, **NEAR)


def test_it_reads_its_own_answers_where_it_is_told_to(
    long_stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    mllm = new_mllm(sizes, 0)
    source = telling(words, long_stories, features, settings())
    batch = source.whole(WholeStories((0, 6), 5, SINKS["few rows"]))
    with torch.no_grad():
        plain = tell_stories(mllm, batch).pictures.unflatten(0, (4, 2))
        own = batch["pictures"].clone()
        own[1, 0] = plain[0, 0]
        expected = tell_stories(mllm, {**batch, "pictures": own}).pictures
        fed = torch.zeros(4, 2, dtype=torch.bool)
        fed[1, 0] = fed[0, 1] = True  # an opening's picture is always the true one
        got = tell_stories(mllm, {**batch, "fed": fed}).pictures
    torch.testing.assert_close(got, expected)
    assert not torch.allclose(got.unflatten(0, (4, 2))[1, 0], plain[1, 0])


def test_gradients_reach_what_stays(
    long_stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    """The last answer depends on the opening's picture, of which a single row is left."""
    mllm = new_mllm(sizes, 0)
    source = telling(words, long_stories, features, settings())
    batch = source.whole(WholeStories((6,), 7, MultimodalSink(1, 1, 0, 2, 0, 0, cap=16)))
    batch["pictures"].requires_grad_(True)
    tell_stories(mllm, batch).pictures[-1].square().sum().backward()
    grad = batch["pictures"].grad
    assert grad is not None and (grad.abs().amax((1, 2, 3)) > 0).all()


def test_an_llm_learns_from_whole_stories_alone(
    stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    chosen = settings(sinks=1.0, sink_stories=2, self_fed=0.5, feature_noise=0.1)
    source = telling(words, stories, features, chosen)
    stage = LlmStage(TellingModule(new_mllm(sizes, 0)), chosen, source, source)
    learner = Learner(stage, chosen, cpu=True)
    before = learner.check()
    for step in range(chosen.steps):
        learner.step(step)
    assert learner.check()["val_ce"] < 0.6 * before["val_ce"]  # 0.24 with either of 2 seeds


def test_whole_stories_are_drawn_by_the_step_alone_and_shared_equally(
    long_stories: Stories, words: Vocabulary, features: Rows, sizes: SeedStoryConfig
) -> None:
    chosen = settings(sinks=0.5, sink_stories=2)
    source = telling(words, long_stories, features, chosen)
    stages = [LlmStage(TellingModule(new_mllm(sizes, 0)), chosen, source) for _ in range(2)]
    whole = [step for step in range(12) if "sink_ids" in stages[0].batch(step, 0, 1)]
    assert 0 < len(whole) < 12
    for step in whole:
        batch, again = (stage.batch(step, 0, 1) for stage in stages)
        assert all(again[name].equal(value) for name, value in batch.items())
        halves = [stages[0].batch(step, rank, 2) for rank in range(2)]
        assert all(half["sink_rows"].shape[1] == 1 for half in halves)
    with pytest.raises(SeedStoryError, match="sink_stories"):
        WholeStories((0, 6, 13), 5, MultimodalSink()).part(0, 2)


def test_sinks_vary_and_stories_are_of_like_length(long_stories: Stories) -> None:
    starts = long_stories.starts
    drawn = [
        draw_stories(starts, settings(sink_stories=2), torch.Generator().manual_seed(seed))
        for seed in range(40)
    ]
    assert {one.policy.window for one in drawn} >= {2, 8}
    assert all(one.panels in (5, 6) and len(set(one.first)) == 2 for one in drawn)
    assert sum(one.policy == MultimodalSink() for one in drawn) in range(10, 31)

"""Our schedule against the reference's: the same words and pictures in fewer forwards.

The reference reads the whole prompt anew for every panel and says a picture's tokens one by one
(SPEC 3); here it is written down plainly, one whole forward a token and no cache anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.golden_world import golden_models, write_golden_world
from support.tales import assert_same_story, begun, features, told
from torch import Tensor

from seedstory_core.context import Block, ContextPolicy, Dense, MultimodalSink, Window
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.engines.seed_story.features import SPACE
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.sampling import Nucleus, Sampling
from seedstory_core.types import Story
from seedstory_core.world import World

DTYPES = [torch.float32, torch.float64]
CPU = torch.device("cpu")
SINK = MultimodalSink(window=1, cap=1)


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def precise(request: pytest.FixtureRequest, world: World) -> SeedStoryEngine:
    engine = open_engine(world, local_host(CPU, request.param))
    assert isinstance(engine, SeedStoryEngine)
    return engine


def reference_panel(
    engine: SeedStoryEngine, story: Story, policy: ContextPolicy
) -> tuple[list[int], Tensor]:
    """Ids up to ``</img>``, and the picture's features."""
    words, llm = engine.words, engine.parts["llm"].acquire()
    dtype = engine.parts["llm"].dtype
    prompt = engine.prompt(story, None, policy)
    listed = [words.begin, *words.slots, words.end]
    row = torch.tensor([prompt.ids])
    slots = torch.isin(row, torch.tensor(words.slots))
    pictures = torch.stack([story.panels[i].features[SPACE] for i in prompt.pictures])
    embeds = llm.embed(row, slots, llm.input_resampler(pictures).flatten(0, 1), dtype)
    said, hidden = list[int](), embeds
    while not said or said[-1] != words.end:
        hidden = llm(embeds, torch.arange(embeds.shape[1]))
        scores = llm.scores(hidden[0, -1])
        if said and said[-1] in listed[:-1]:
            scores[listed[listed.index(said[-1]) + 1]] = scores.max() + 10
        else:
            scores[listed[1:]] = 0.0
        said.append(int(scores.argmax()))
        embeds = torch.cat([embeds, llm.model.embed_tokens.weight[None, said[-1:]]], dim=1)
    return said, llm.output_resampler(hidden[:, -len(words.slots) :])[0]


@pytest.mark.parametrize("policy", [Dense(), Window(1), Block(2, 2)], ids=str)
@torch.no_grad()
def test_it_says_and_paints_what_the_references_schedule_does(
    precise: SeedStoryEngine, policy: ContextPolicy
) -> None:
    story = begun(precise)
    for _ in range(3):
        said, picture = reference_panel(precise, story, policy)
        story = told(precise, story, 1, context=policy)
        assert list(story.panels[-1].token_ids) == said
        got = story.panels[-1].features[SPACE]
        torch.testing.assert_close(got, picture, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("policy", [Dense(), Window(1), Block(2, 2), SINK], ids=str)
def test_forwards_of_told_and_given_panels(engine: SeedStoryEngine, policy: ContextPolicy) -> None:
    """L + 2 with L words before the picture, before and after evictions; one when given."""
    rows: list[int] = []
    engine.reader.on_forward = rows.append
    story = begun(engine)
    for _ in range(4):
        rows.clear()
        story = told(engine, story, 1, context=policy)
        ids = story.panels[-1].token_ids
        assert len(rows) == ids.index(engine.words.begin) + 2
        rows.clear()
        engine.tell(story, "George ran home.", context=policy)
        assert len(rows) == 1


def test_only_needed_rows_meet_the_vocabulary(
    engine: SeedStoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    scores = Mllm.scores

    def count(self: Mllm, hidden: Tensor) -> Tensor:
        rows.append(hidden.numel() // hidden.shape[-1])
        return scores(self, hidden)

    monkeypatch.setattr(Mllm, "scores", count)
    story = told(engine, begun(engine), 1)
    assert rows == [1] * (story.panels[-1].token_ids.index(engine.words.begin) + 1)
    rows.clear()
    engine.tell(story, "George ran home.")
    assert rows == [1]  # whether the picture would begin there


# Given captions ------------------------------------------------------------------------------


@pytest.fixture()
def halves(engine: SeedStoryEngine) -> tuple[Story, str, str]:
    """A story, the next caption as the model would write it, and its first half."""
    story = told(engine, begun(engine), 1)
    whole = told(engine, story, 1).panels[-1].caption
    words = whole.split()
    return story, whole, " ".join(words[: len(words) // 2])


def test_a_panel_says_whether_the_model_would_have_written_on(
    engine: SeedStoryEngine, halves: tuple[Story, str, str]
) -> None:
    story, whole, half = halves
    for caption, on in ((whole, False), (half, True)):
        panel = engine.tell(story, caption).panels[-1]
        assert panel.provenance["would_write_on"] is on and panel.caption == caption
        assert panel.token_ids == (engine.words.begin, *engine.words.slots, engine.words.end)
    assert "would_write_on" not in told(engine, story, 1).panels[-1].provenance


@pytest.mark.parametrize("policy", [Dense(), Window(1), SINK], ids=str)
def test_it_may_write_on_until_it_begins_the_picture(
    open_fresh: Callable[[], SeedStoryEngine], halves: tuple[Story, str, str], policy: ContextPolicy
) -> None:
    story, whole, half = halves
    engine, sampling = open_fresh(), Sampling(write_on=True)
    longer = engine.tell(story, half, sampling, policy)
    panel = longer.panels[-1]
    assert panel.caption == half and panel.provenance["would_write_on"] is True
    added = panel.token_ids[: panel.token_ids.index(engine.words.begin)]
    assert f"{half} {engine.words.tokenizer.decode(added)}".split() == whole.split()
    free = engine.tell(story, context=policy).panels[-1].features[SPACE]
    torch.testing.assert_close(panel.features[SPACE], free, atol=1e-4, rtol=1e-4)
    forced = engine.tell(story, half, context=policy).panels[-1].features[SPACE]
    assert (forced - free).abs().max() > 1e-3
    kept = engine.tell(longer, whole, sampling, policy)
    assert_same_story(kept, open_fresh().tell(longer, whole, sampling, policy))
    assert_same_story(kept, open_fresh().tell(longer, whole, context=policy))


def test_writing_on_obeys_the_sampling(
    engine: SeedStoryEngine, halves: tuple[Story, str, str]
) -> None:
    story, whole, half = halves
    cap = len(engine.words.behind_picture("[INST]" + half)) + 2
    capped = engine.tell(story, half, Sampling(write_on=True, max_caption_tokens=cap))
    assert capped.panels[-1].token_ids.index(engine.words.begin) == 2
    cut = engine.tell(story, half, Sampling(write_on=True, max_new_tokens=5))
    assert cut.closing and len(cut) == len(story)
    hot = Sampling(
        picker=Nucleus(3.0, 1.0), suppress=-torch.inf, write_on=True, max_caption_tokens=40
    )
    drawn = {engine.tell(story, half, hot, seed=seed).panels[-1].token_ids for seed in range(3)}
    assert len(drawn) == 3
    assert engine.tell(story, whole, hot, seed=1).panels[-1].provenance["would_write_on"] is False


def test_given_captions_can_be_stopped(
    engine: SeedStoryEngine, halves: tuple[Story, str, str]
) -> None:
    story, _, half = halves
    want = engine.tell(story, half, Sampling(write_on=True))

    def stop(done: int, total: int, note: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.tell(story, half, Sampling(write_on=True), progress=stop)
    assert_same_story(engine.tell(story, half, Sampling(write_on=True)), want)


# The sink in the engine ------------------------------------------------------------------------


def test_the_sink_tells_a_long_story_that_dense_has_no_positions_for(
    open_fresh: Callable[[], SeedStoryEngine],
) -> None:
    """The goldens' model reads 2048 rows, so many panels; under the sink it is still told on."""
    engine = open_fresh()
    limit = golden_models().config.llm.max_positions
    story = begun(engine)
    while len(engine.prompt(story, None, Dense()).ids) < limit - 66:
        story = engine.tell(story, "George ran to the old tree.", context=SINK)
    with pytest.raises(SeedStoryError, match="a sink that counts positions anew"):
        engine.tell(story, context=Dense())
    longer = engine.tell(story, context=SINK)
    assert engine.reader.rows < 350
    assert_same_story(longer, open_fresh().tell(story, context=SINK))


def test_a_world_may_have_a_sink_of_its_own(tmp_path: Path) -> None:
    defaults = {"context": {"class": "MultimodalSink", "window": 1, "cap": 1}}
    made = write_golden_world(tmp_path / "w", defaults=defaults)
    own = open_engine(made, local_host(CPU, torch.float32))
    panel = own.tell(begun(own)).panels[-1]
    context = panel.provenance["context"]
    assert isinstance(context, dict) and context["class"] == "MultimodalSink"
    assert (context["window"], context["cap"]) == (1, 1)


def test_features_of_a_given_panel_follow_the_words_alone(engine: SeedStoryEngine) -> None:
    """Whatever was checked on the way, the forced picture is as it would be without."""
    story = told(engine, begun(engine), 2, context=SINK)
    one = engine.tell(story, "George slept.", Sampling(), SINK)
    other = engine.tell(story, "George slept.", Sampling(repetition_penalty=3.0), SINK)
    torch.testing.assert_close(features(one), features(other), atol=1e-4, rtol=1e-4)

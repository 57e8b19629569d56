"""The engine on the goldens' trained toy weights: laws, kept cache, cancelling, hostile input."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.golden_world import golden_models, write_golden_world
from torch import Tensor

from seedstory_core.context import Dense, Window
from seedstory_core.engine import Engine, open_engine
from seedstory_core.engines.seed_story.engine import SPACE, SeedStoryEngine
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.sampling import REFERENCE, Nucleus, Sampling
from seedstory_core.story import append
from seedstory_core.types import ImageFeatures, Opening, Panel, Story, WorldRef
from seedstory_core.world import World

TEXT = "George found a red ball in the park."
NUCLEUS = Sampling(picker=Nucleus(1.0, 0.95), suppress=-torch.inf, max_new_tokens=110)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_golden_world(tmp_path_factory.mktemp("worlds") / "golden")


@pytest.fixture(scope="module")
def open_fresh(world: World) -> Callable[[], SeedStoryEngine]:
    """Opens engines of one loaded set of weights, each with an empty cache."""
    first = open_engine(world, local_host(CPU, torch.float32))

    def fresh() -> SeedStoryEngine:
        engine = open_engine(world, lambda spec: first.parts[spec.name])
        assert isinstance(engine, SeedStoryEngine)
        return engine

    return fresh


@pytest.fixture
def engine(open_fresh: Callable[[], SeedStoryEngine]) -> SeedStoryEngine:
    return open_fresh()


def picture(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=generator)


def begun(engine: Engine, seed: int = 0, text: str = TEXT) -> Story:
    return engine.start(Opening(text, picture(seed)))


def told(engine: Engine, story: Story, panels: int, **how: Any) -> Story:
    for _ in range(panels):
        story = engine.tell(story, seed=len(story), **how)
    return story


def features(story: Story) -> Tensor:
    return torch.stack([panel.features[SPACE] for panel in story.panels])


def told_ids(story: Story) -> tuple[object, ...]:
    return (story.closing, *(panel.token_ids for panel in story.panels))


def assert_same_story(got: Story, want: Story) -> None:
    """Ids exact, features within 1e-4, as "same seed, same story" is defined."""
    assert [p.token_ids for p in got.panels] == [p.token_ids for p in want.panels]
    assert [p.text for p in got.panels] == [p.text for p in want.panels]
    assert got.closing == want.closing
    torch.testing.assert_close(features(got), features(want), atol=1e-4, rtol=1e-4)


def test_a_world_opens_starts_tells_and_conditions(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 2)
    assert [p.origin for p in story.panels] == ["opening", "told", "told"]
    assert story.panels[0].caption == TEXT and story.panels[0].image is not None
    for panel in story.panels[1:]:
        assert panel.text.startswith("[INST]") and panel.caption == panel.text.removeprefix(
            "[INST]"
        )
        assert panel.features[SPACE].shape == (256, 128) and panel.image is None
        assert panel.token_ids[-1] == engine.words.end
    steers = engine.condition(story, -1)
    assert steers.positive[0].tokens.shape == steers.negative[0].tokens.shape == (1, 8, 64)
    assert steers.positive[0].pooled is not None and steers.positive[0].pooled.shape == (1, 40)


def test_nothing_changes_a_story_that_was_given(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    before = story.panels[0].features[SPACE].clone()
    told(engine, story, 2)
    engine.condition(story, 0)
    assert len(story) == 1 and torch.equal(story.panels[0].features[SPACE], before)


POLICIES = [Dense(), Window(1), Window(2), Window(8)]


# Law: cache = no cache.
@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize(
    "sampling", [Sampling(), NUCLEUS, REFERENCE], ids=["greedy", "drawn", "eos"]
)
def test_a_kept_cache_changes_nothing(
    open_fresh: Callable[[], SeedStoryEngine], policy: Any, sampling: Sampling
) -> None:
    engine = open_fresh()
    start = begun(engine)
    kept = told(engine, start, 4, sampling=sampling, context=policy)
    story = start
    for _ in range(4):
        story = told(open_fresh(), story, 1, sampling=sampling, context=policy)
    assert_same_story(kept, story)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("reference", [False, True])
def test_a_kept_cache_changes_no_given_captions(
    open_fresh: Callable[[], SeedStoryEngine], policy: Any, reference: bool
) -> None:
    engine = open_fresh()
    captions = ["George saw a big bird near the lake.", "George ran to the old tree.", "He slept."]
    kept = alone = begun(engine)
    for caption in captions:
        kept = engine.tell(kept, caption, context=policy, reference=reference)
        alone = open_fresh().tell(alone, caption, context=policy, reference=reference)
    assert_same_story(kept, alone)
    assert [p.caption for p in kept.panels[1:]] == captions


def read_rows(engine: SeedStoryEngine, act: Callable[[], Any]) -> list[int]:
    """Rows of each forward of the LLM during ``act``."""
    rows: list[int] = []
    model = engine.parts["llm"].acquire().model
    hook = model.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1]))
    try:
        act()
    finally:
        hook.remove()
    return rows


def test_the_cache_saves_what_it_can(engine: SeedStoryEngine) -> None:
    """SPEC 8: after the first panel only the told picture's rows are read anew."""
    story = told(engine, begun(engine), 1, context=Dense())
    rows = read_rows(engine, lambda: told(engine, story, 1, context=Dense()))
    assert rows[0] == 64 + 1  # the picture's slots, now with the told features, and </img>
    assert rows[-1] == 1 + 64  # <img> and its slots in one pass; </img> ends the panel unread
    assert set(rows[1:-1]) == {1}


def test_a_given_caption_takes_one_pass(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 1)
    assert len(read_rows(engine, lambda: engine.tell(story, "George ran home."))) == 1
    again = read_rows(engine, lambda: engine.tell(story, "George ran home."))
    assert len(again) == 1 and again[0] <= 66  # the picture's rows are needed, so they are read


def test_the_free_and_the_given_way_agree(engine: SeedStoryEngine) -> None:
    """Given what the model would have said, it makes the same picture."""
    free = told(engine, begun(engine), 2, context=Dense())
    given = begun(engine)
    for panel in free.panels[1:]:
        given = engine.tell(given, panel.caption, context=Dense())
    torch.testing.assert_close(features(given), features(free), atol=1e-4, rtol=1e-4)
    assert [p.text for p in given.panels] == [p.text for p in free.panels]


# Law: same seed, same story; whatever was told before, after, or in between.
def test_forks_rewinds_and_other_stories_in_between_change_nothing(
    open_fresh: Callable[[], SeedStoryEngine],
) -> None:
    want = told(open_fresh(), begun(open_fresh()), 4, sampling=NUCLEUS, context=Window(3))
    engine = open_fresh()
    story, other = begun(engine), begun(engine, 5, "Timmy ran to the old tree.")
    for _ in range(4):
        other = told(engine, other, 1, sampling=NUCLEUS)
        engine.tell(story, "A caption that is thrown away.", context=Window(3))
        engine.tell(story, seed=77, sampling=NUCLEUS, context=Window(3))
        story = told(engine, story, 1, sampling=NUCLEUS, context=Window(3))
        engine.park()
    assert_same_story(story, want)
    rewound = replace(story, panels=story.panels[:2])
    assert_same_story(told(engine, rewound, 3, sampling=NUCLEUS, context=Window(3)), want)


def test_pictures_of_equal_ids_are_told_apart(engine: SeedStoryEngine) -> None:
    """Image tokens have the same ids in every story: keys must see the features."""
    first, second = begun(engine, 1), begun(engine, 2)
    tell = engine.tell
    alone = tell(second, "George ran.").panels[-1].features[SPACE]
    tell(first, "George ran.")
    torch.testing.assert_close(
        tell(second, "George ran.").panels[-1].features[SPACE], alone, atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(
        tell(first, "George ran.").panels[-1].features[SPACE], alone, atol=1e-2
    )


def test_seeds_matter_to_drawing_only(engine: SeedStoryEngine) -> None:
    hot = replace(NUCLEUS, picker=Nucleus(3.0, 1.0), max_caption_tokens=8)
    story = begun(engine)
    drawn = {told_ids(engine.tell(story, sampling=hot, seed=seed)) for seed in range(4)}
    assert len(drawn) > 1
    greedy = {told_ids(engine.tell(story, seed=seed)) for seed in range(3)}
    assert len(greedy) == 1


@pytest.mark.parametrize("stop_after", [0, 1, 3, 9])
def test_cancelling_at_any_token_leaves_the_engine_sound(
    open_fresh: Callable[[], SeedStoryEngine], stop_after: int
) -> None:
    want = told(open_fresh(), begun(open_fresh()), 3)
    engine = open_fresh()
    story = told(engine, begun(engine), 1)
    calls = 0

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if calls > stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.tell(story, seed=1, progress=progress)
    assert calls == stop_after + 1
    assert_same_story(told(engine, story, 2), want)


def test_an_error_in_the_middle_of_a_forward_leaves_the_engine_sound(
    open_fresh: Callable[[], SeedStoryEngine],
) -> None:
    want = told(open_fresh(), begun(open_fresh()), 3)
    engine = open_fresh()
    story = told(engine, begun(engine), 1)
    calls = 0

    def fail(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise MemoryError

    hook = engine.parts["llm"].acquire().model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        engine.tell(story, seed=1)
    hook.remove()
    assert_same_story(told(engine, story, 2), want)


def test_progress_reports_text_as_it_grows(engine: SeedStoryEngine) -> None:
    notes: list[str] = []
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        notes.append(note)
        seen.append((done, total))

    story = engine.tell(begun(engine), progress=progress)
    caption = story.panels[-1].caption
    assert notes[0] == "" and notes[-1] == caption
    assert all(caption.startswith(note) for note in notes if "[" not in note)
    assert seen[0][0] == 0 and seen[-1][0] == seen[-1][1] and seen == sorted(seen)


def test_a_generation_without_a_picture_ends_the_story(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    ended = engine.tell(story, sampling=Sampling(max_new_tokens=12))
    assert ended.ended and len(ended) == 1
    assert ended.closing and not ended.closing.startswith("[INST]")
    assert engine.tell(ended) is ended and engine.tell(ended, "More!") is ended


def test_a_panel_says_how_it_was_told(engine: SeedStoryEngine, world: World) -> None:
    panel = engine.tell(begun(engine), seed=9, sampling=NUCLEUS, context=Window(3)).panels[-1]
    assert panel.seed == 9 and panel.provenance["engine"] == "seed_story"
    assert panel.provenance["world"] == {"name": "golden", "digest": world.digest}
    assert panel.provenance["context"] == {"class": "Window", "size": 3}
    sampling = panel.provenance["sampling"]
    assert isinstance(sampling, dict) and sampling["suppress"] == "-inf"
    given = engine.tell(begun(engine), "George ran.").panels[-1]
    assert given.seed is None and given.origin == "illustrated"


def test_a_worlds_defaults_are_used(tmp_path: Path) -> None:
    defaults = {
        "sampling": {"class": "Sampling", "max_new_tokens": 7},
        "context": {"class": "Window", "size": 2},
    }
    made = write_golden_world(tmp_path / "w", defaults=defaults)
    engine = open_engine(made, local_host(CPU, torch.float32))
    assert engine.tell(begun(engine)).ended  # seven tokens make no picture
    panel = engine.tell(begun(engine), sampling=Sampling()).panels[-1]
    assert panel.provenance["context"] == {"class": "Window", "size": 2}


# Conditioning ---------------------------------------------------------------------------------


def test_conditioning_of_many_is_that_of_each(engine: SeedStoryEngine) -> None:
    some = engine.encode([picture(i) for i in range(5)])
    together = engine.condition_features(some)
    assert together.positive[0].tokens.shape == together.negative[0].tokens.shape == (5, 8, 64)
    for i in range(5):
        one = ImageFeatures(some.tensor[i : i + 1], SPACE, engine.world)
        alone = engine.condition_features(one)
        for got, want in ((together.positive, alone.positive), (together.negative, alone.negative)):
            torch.testing.assert_close(got[0].tokens[i], want[0].tokens[0])
            assert got[0].pooled is not None and want[0].pooled is not None
            torch.testing.assert_close(got[0].pooled[i], want[0].pooled[0])


def test_the_negative_is_the_mean_coloured_picture(engine: SeedStoryEngine) -> None:
    golden = golden_models().goldens.tensors("detokenizer_io")
    negative = engine.condition_features(engine.encode([picture()])).negative[0]
    torch.testing.assert_close(
        negative.tokens, golden["negative_prompt_embeds"], atol=1e-3, rtol=1e-3
    )


def test_the_unet_patch_is_named_as_diffusers_does(engine: SeedStoryEngine) -> None:
    patch, unet = engine.unet_patch(), golden_models().unet.state_dict()
    assert patch and all(torch.equal(value, unet[key]) for key, value in patch.items())


def test_results_are_plain_tensors_even_from_inference_mode(engine: SeedStoryEngine) -> None:
    with torch.inference_mode():
        story = engine.tell(begun(engine))
        steers = engine.condition(story, -1)
    assert not story.panels[-1].features[SPACE].is_inference()
    assert not steers.positive[0].tokens.is_inference()
    again = engine.tell(story)  # and the kept cache goes on outside of it
    assert len(again) == 3


# Pictures coming back ---------------------------------------------------------------------------


def test_commit_attaches_and_changes_no_telling(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 1)
    painted = engine.commit(story, 1, picture(8))
    assert painted.panels[1].image is not None and painted.panels[1].uid == story.panels[1].uid
    assert_same_story(told(engine, painted, 1), told(engine, story, 1))


def test_feeding_back_makes_later_panels_follow_the_picture(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 1)
    fed = engine.commit(story, -1, picture(8), feed_back=True)
    assert torch.equal(fed.panels[1].features[SPACE], engine.encode([picture(8)]).tensor[0])
    assert fed.panels[1].uid != story.panels[1].uid and fed.panels[0].uid == story.panels[0].uid
    after, without = told(engine, fed, 1), told(engine, story, 1)
    difference = (after.panels[2].features[SPACE] - without.panels[2].features[SPACE]).abs().max()
    assert difference > 1e-3


def test_feeding_back_into_the_past_is_refused(engine: SeedStoryEngine) -> None:
    story = told(engine, begun(engine), 1)
    with pytest.raises(SeedStoryError, match="Rewind the story to panel 0"):
        engine.commit(story, 0, picture(8), feed_back=True)


def test_feeding_back_into_an_opening_and_an_ended_story(engine: SeedStoryEngine) -> None:
    story = begun(engine)
    fed = engine.commit(story, 0, picture(8), feed_back=True)
    assert fed.panels[0].uid != story.panels[0].uid
    ended = engine.tell(story, sampling=Sampling(max_new_tokens=5))
    assert engine.commit(ended, 0, picture(8), feed_back=True).closing == ended.closing


def test_painting_is_not_its_way(engine: SeedStoryEngine) -> None:
    from seedstory_core.types import PaintSettings

    with pytest.raises(SeedStoryError, match="conditioning"):
        engine.paint(begun(engine), [0], PaintSettings())


# Hostile input ------------------------------------------------------------------------------------


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
        engine.tell(story, "The fox ran. " * 8000)
    with pytest.raises(SeedStoryError, match=r"opening text has \d+ tokens; at most \d+ fit"):
        engine.start(Opening("The fox ran. " * 8000, picture()))


def test_what_is_said_to_fit_does_fit(engine: SeedStoryEngine) -> None:
    story, limit = begun(engine), engine.config.llm.max_positions
    empty = len(engine.prompt(story, "", Dense()).ids)
    spare = limit - empty - 66 - 8
    engine.tell(story, "a" * 0 + "lake " * (spare // 4))
    assert engine.prompt(story, "lake " * (spare // 4), Dense()).ids


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
    from seedstory_core.world import load_world

    with pytest.raises(SeedStoryError, match="llm.safetensors"):
        open_engine(load_world(tmp_path / "w"), local_host(CPU, torch.float32))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tells_too(world: World, dtype: torch.dtype) -> None:
    engine = open_engine(world, local_host(CPU, dtype))
    story = told(engine, begun(engine), 2)
    assert story.panels[-1].features[SPACE].dtype == dtype
    assert engine.condition(story, -1).positive[0].tokens.dtype == torch.float32


def test_mapped_weights_tell_the_same_story(world: World, engine: SeedStoryEngine) -> None:
    mapped = open_engine(world, local_host(CPU, torch.float32, cast=True))
    assert_same_story(told(mapped, begun(mapped), 2), told(engine, begun(engine), 2))

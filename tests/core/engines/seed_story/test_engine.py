"""What the engine gives: stories, reports, conditioning, pictures coming back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.golden_world import golden_models, write_golden_world
from support.tales import TEXT, assert_same_story, begun, picture, told

from seedstory_core.context import Window
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.engine import SeedStoryEngine
from seedstory_core.engines.seed_story.features import SPACE
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.sampling import Nucleus, Sampling
from seedstory_core.types import ImageFeatures, PaintSettings
from seedstory_core.world import World

NUCLEUS = Sampling(picker=Nucleus(1.0, 0.95), suppress=-torch.inf, max_new_tokens=110)
CPU = torch.device("cpu")


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
    with pytest.raises(SeedStoryError, match="conditioning"):
        engine.paint(begun(engine), [0], PaintSettings())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tells_too(world: World, dtype: torch.dtype) -> None:
    engine = open_engine(world, local_host(CPU, dtype))
    story = told(engine, begun(engine), 2)
    assert story.panels[-1].features[SPACE].dtype == dtype
    assert engine.condition(story, -1).positive[0].tokens.dtype == torch.float32


def test_mapped_weights_tell_the_same_story(world: World, engine: SeedStoryEngine) -> None:
    mapped = open_engine(world, local_host(CPU, torch.float32, cast=True))
    assert_same_story(told(mapped, begun(mapped), 2), told(engine, begun(engine), 2))

"""The measures rank truth above everything that is spoilt, and worlds are spoilt as told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.damage import (
    SWAPPED_COLOURS,
    WEIGHTS,
    _swap_colours,
    damaged,
    damages_of,
    untrained,
)
from seedstory_core.evaluation.damage_ranking import compare, rank_damages
from seedstory_core.evaluation.evaluate import Judge, Request
from seedstory_core.evaluation.judge import PANEL_RIGHT, PanelVerdict, judge_panels, read_captions
from seedstory_core.evaluation.painting import Pixels
from seedstory_core.evaluation.probes import ProbeReader
from seedstory_core.evaluation.sight import ALL_RIGHT
from seedstory_core.evaluation.starts import Start, held_out_starts
from seedstory_core.picture_world.palette import COLOUR, PALETTE
from seedstory_core.world import World

STORIES, PANELS = 8, 12


@pytest.fixture(scope="module")
def starts() -> list[Start]:
    return held_out_starts(STORIES, PANELS)


def verdicts(
    starts: list[Start],
    probes: ProbeReader,
    paint: Callable[[Pixels, np.random.Generator], Pixels] = lambda pictures, rng: pictures,
    say: Callable[[str, np.random.Generator], str] = lambda caption, rng: caption,
) -> list[PanelVerdict]:
    """True stories, their pictures and captions changed."""
    rng = np.random.default_rng(0)
    judged = []
    for number, start in enumerate(starts):
        assert start.pictures is not None
        captions = [start.text, *(say(caption, rng) for caption in start.script)]
        sights = probes.read(paint(start.pictures, rng))
        judged += judge_panels(number, read_captions(captions), sights)
    return judged


def noise(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    wrong = rng.random(pictures.shape[:3]) < 0.25
    random = PALETTE[rng.integers(0, len(PALETTE), pictures.shape[:3])]
    return np.where(wrong[..., None], random, pictures)


def other_panels(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    return np.roll(pictures, 1, axis=0)


def recoloured(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    out = pictures.copy()
    for one, other in (("red", "green"), ("brown", "slate"), ("yellow", "violet")):
        where = (pictures == PALETTE[COLOUR[one]]).all(-1)
        out[where] = PALETTE[COLOUR[other]]
    return out


def half_lost(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    out = pictures.copy()
    out[:, 32:, :32] = out[:, 56:57, :1]
    return out


def swapped_names(caption: str, rng: np.random.Generator) -> str:
    return caption.replace("Mila", "#").replace("Bruno", "Mila").replace("#", "Bruno")


def cut_words(caption: str, rng: np.random.Generator) -> str:
    words = caption.split()
    del words[int(rng.integers(len(words)))]
    return " ".join(words)


def test_truth_is_right(starts: list[Start], shipped: ProbeReader) -> None:
    panels = verdicts(starts, shipped)
    assert len(panels) == STORIES * PANELS
    assert np.mean([panel.rows[ALL_RIGHT] for panel in panels]) >= 0.97
    for row in panels[0].rows:
        assert np.mean([panel.rows[row] for panel in panels]) >= 0.97, row


@pytest.mark.parametrize("paint", [noise, other_panels, recoloured, half_lost])
def test_spoilt_pictures_rank_below_truth(
    starts: list[Start], shipped: ProbeReader, paint: Callable[..., Pixels]
) -> None:
    found = compare(verdicts(starts, shipped), verdicts(starts, shipped, paint=paint))
    assert found["good_minus_damaged"]["low"] > 0.05
    assert found["good"]["value"] > found["share"]["value"]


@pytest.mark.parametrize("say", [swapped_names, cut_words])
def test_spoilt_captions_rank_below_truth(
    starts: list[Start], shipped: ProbeReader, say: Callable[..., str]
) -> None:
    found = compare(verdicts(starts, shipped), verdicts(starts, shipped, say=say))
    assert found["good_minus_damaged"]["low"] > 0.05


def test_panels_that_were_never_told_count_as_wrong() -> None:
    good = [PanelVerdict(story, 1, {PANEL_RIGHT: True}, {}) for story in range(4)]
    found = compare(good, good[:2])
    assert found["share"]["value"] == 0.5 and found["good_minus_damaged"]["value"] == 0.5


def test_each_damage_changes_its_own_file_only(world: World, tmp_path: Path) -> None:
    assert damages_of(world) == tuple(WEIGHTS)
    before = {role: load_file(world.file(role)) for role in ("llm", "detokenizer", "unet", "vae")}
    for name, changes in WEIGHTS.items():
        spoilt = damaged(world, name, tmp_path / name / world.name)
        for role, state in before.items():
            after = load_file(spoilt.file(role))
            changed = [key for key in state if not bool((state[key] == after[key]).all())]
            assert bool(changed) == (role in changes), (name, role)
            assert all(after[key].dtype == state[key].dtype for key in state)
            assert all(after[key].shape == state[key].shape for key in state)
        told = {"llm", "vision"} & set(changes)
        assert (spoilt.digest != world.digest) == bool(told)
    again = damaged(world, "noisy_llm", tmp_path / "again" / world.name)
    assert again.files["llm"].sha256 == load(tmp_path / "noisy_llm" / world.name)
    with pytest.raises(SeedStoryError, match="cannot|not among these"):
        damaged(world, SWAPPED_COLOURS, tmp_path / "no")


def load(folder: Path) -> str:
    from seedstory_core.world import load_world

    return load_world(folder).files["llm"].sha256


def test_swapped_colours_stay_in_the_palette() -> None:
    data = {"painter": {"vae": {"palette": PALETTE.tolist()}}}
    _swap_colours(data)
    swapped = data["painter"]["vae"]["palette"]
    assert sorted(swapped) == sorted(PALETTE.tolist()) and swapped != PALETTE.tolist()
    assert swapped[COLOUR["brown"]] != PALETTE[COLOUR["brown"]].tolist()
    assert swapped[COLOUR["ink"]] == PALETTE[COLOUR["ink"]].tolist()


def test_an_untrained_world_keeps_its_shapes(world: World, tmp_path: Path) -> None:
    blank = untrained(world, tmp_path / "blank")
    for role in ("detokenizer", "unet"):
        old, new = load_file(world.file(role)), load_file(blank.file(role))
        assert {k: v.shape for k, v in old.items()} == {k: v.shape for k, v in new.items()}
        assert all(bool(value.isfinite().all()) for value in new.values())
    assert blank.files["llm"] == world.files["llm"] and blank.digest == world.digest


def test_damages_are_told_and_ranked(judge: Judge) -> None:
    """The machinery on a world that babbles: nothing is right, so nothing is lost."""
    request = Request(stories=2, panels=1)
    found = rank_damages(judge, request, names=("noisy_vae",))
    assert found["noisy_vae"]["good_minus_damaged"]["value"] == 0
    assert found["noisy_vae"]["good"]["count"] == 2

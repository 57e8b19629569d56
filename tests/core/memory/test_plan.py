"""Presets on cards that are data: what is chosen, that it fits, what is said when it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seedstory_core.context import Dense, MultimodalSink, Window
from seedstory_core.errors import SeedStoryError
from seedstory_core.memory import (
    PRESETS,
    Device,
    KnownModel,
    Plan,
    Run,
    comfy_loading,
    device_here,
    library_loading,
    make_plan,
    render,
)
from seedstory_core.training.estimate import official_world
from seedstory_core.world import World, load_world

GIB = 1 << 30
COMFY = comfy_loading(torch.float16)
LIBRARY = library_loading(torch.float16)


def card(size: float, free: float | None = None) -> Device:
    return Device("card", int(size * GIB), int((size if free is None else free) * GIB), 64 * GIB)


@pytest.fixture(scope="module")
def official() -> World:
    return official_world()


@pytest.fixture(scope="module")
def picture_world() -> World:
    return load_world(Path(__file__).parents[3] / "worlds" / "picture-world")


def held(plan: Plan) -> int:
    """The most that a planned run holds on the card."""
    phases = [(fit.phase, fit.resident) for fit in plan.fits]
    return max(
        resident + phase.kept + phase.working + phase.beside + (phase.buffer if part else 0)
        for phase, resident in phases
        if resident is not None
        for part in [resident < phase.weights]
    )


@pytest.mark.parametrize(
    ("preset", "llm", "unet", "tiled", "together"),
    [
        ("8 GB", "in parts", "whole", True, False),
        ("12 GB", "in parts", "whole", False, False),
        ("16 GB", "whole", "whole", False, False),
        ("24 GB", "whole", "whole", False, True),
    ],
)
def test_presets_of_the_released_world(
    official: World, preset: str, llm: str, unet: str, tiled: bool, together: bool
) -> None:
    """fp16 LLM and UNet, 1024 x 1024, on an emulated card of that very size."""
    size = float(preset.split()[0])
    plan = make_plan(official, Run(), COMFY, card(size), preset)
    how = {fit.phase.name: "whole" if fit.whole else "in parts" for fit in plan.fits}
    assert plan.ok and plan.problem == ""
    assert (how["tell"], how["paint"]) == (llm, unet)
    assert (plan.tiled, plan.together) == (tiled, together)
    assert how["see"] == how["condition"] == how["decode"] == "whole"
    assert held(plan) <= plan.usable < (size - 1) * GIB
    plan.check()


def test_presets_of_picture_world_all_fit(picture_world: World) -> None:
    for preset in PRESETS:
        plan = make_plan(picture_world, Run(), COMFY, card(24), preset)
        assert plan.ok and all(fit.whole for fit in plan.fits)
        assert plan.together and not plan.tiled  # a palette is never decoded in tiles


def test_auto_takes_what_is_free(official: World) -> None:
    free = make_plan(official, Run(), COMFY, card(24, free=16), "auto")
    assert free.usable == 16 * GIB - COMFY.margin and not free.together
    busy = make_plan(official, Run(), COMFY, card(24, free=6), "24 GB")
    assert busy.usable == 6 * GIB - COMFY.margin
    assert not busy.fits[1].whole and busy.fits[1].streamed > 6 * GIB


def test_a_smaller_preset_leaves_the_rest_of_a_card_to_others(official: World) -> None:
    plan = make_plan(official, Run(), COMFY, card(24), "8 GB")
    assert plan.usable == 7 * GIB - COMFY.margin and plan.reserve == 17 * GIB
    assert make_plan(official, Run(), COMFY, card(24), "auto").reserve == 0


def test_what_does_not_fit_is_refused_with_what_to_do(official: World) -> None:
    """Without ComfyUI no model runs in parts."""
    plan = make_plan(official, Run(), LIBRARY, card(12), "auto", quantised=("int8", "int4"))
    assert not plan.ok
    with pytest.raises(SeedStoryError) as refused:
        plan.check()
    text = str(refused.value)
    assert "phase 'tell' needs 13." in text and "12.0 GB of 12.0 GB can be used on card" in text
    assert "12.8 GB weights" in text and "keys and values" in text
    assert (
        "Quantised to int8 (Load World, --quantise) the LLM takes" in text
        and "--device cpu" in text
    )
    assert "DOES NOT FIT" in render(plan) and text.split(".")[0] in render(plan)


def test_a_card_too_small_even_for_parts_is_refused(official: World) -> None:
    plan = make_plan(official, Run(context=Dense()), COMFY, card(2.5))
    with pytest.raises(SeedStoryError, match="smaller Window"):
        plan.check()
    small = make_plan(official, Run(), COMFY, card(1.2))
    assert not small.ok and "Paint smaller pictures" in " ".join(small.advice)


def test_a_free_context_shrinks_until_it_fits(official: World) -> None:
    tight = replace(card(24), free=int(2.35 * GIB))
    fixed = make_plan(official, Run(paint=False), COMFY, tight)
    free = make_plan(official, Run(paint=False), COMFY, tight, free_context=True)
    assert not fixed.ok and free.ok
    assert isinstance(free.run.context, Window) and free.run.context.size < 8
    assert free.rows < fixed.rows
    roomy = make_plan(official, Run(), COMFY, card(24), free_context=True)
    assert roomy.run.context == Window(8)


def test_a_capped_sink_takes_the_same_for_ever(official: World) -> None:
    plans = [
        make_plan(official, Run(context=MultimodalSink(), panels=n, paint=False), COMFY, card(16))
        for n in (100, 1000, None)
    ]
    assert len({plan.rows for plan in plans}) == 1
    dense = make_plan(official, Run(context=Dense(), paint=False), COMFY, card(16))
    assert dense.rows == 4096 > plans[0].rows


def test_a_plan_for_another_context_is_refused(picture_world: World) -> None:
    plan = make_plan(picture_world, Run(context=Window(4)), COMFY, card(8))
    plan.check(Window(4))
    with pytest.raises(SeedStoryError, match=r"made for Window\(size=4\).*given Dense"):
        plan.check(Dense())


def test_more_at_once_than_planned_for_is_refused(official: World) -> None:
    plan = make_plan(official, Run(stories=2, pictures=2, size=(512, 512)), COMFY, card(24))
    plan.check_stories(2)
    for size, pictures in (((512, 512), 2), ((1024, 256), 1)):
        plan.check_painting(size, pictures)
    with pytest.raises(SeedStoryError, match="made for 2 told together, but the run tells 3"):
        plan.check_stories(3)
    for size, pictures in (((512, 512), 3), ((520, 512), 1)):
        with pytest.raises(SeedStoryError, match="made for 2 of 512 x 512 at once, but"):
            plan.check_painting(size, pictures)
    told = make_plan(official, Run(stories=8, paint=False), COMFY, card(24))
    told.check_stories(16)  # in two batches
    with pytest.raises(SeedStoryError, match="made for telling only"):
        told.check_painting((8, 8))
    sink = make_plan(official, Run(context=MultimodalSink()), COMFY, card(24))
    sink.check_stories(16)  # one after the other
    with pytest.raises(SeedStoryError, match="would not fit"):
        make_plan(official, Run(), LIBRARY, card(4)).check_painting((8, 8))


def test_the_host_may_know_better(official: World) -> None:
    known = {"tell": KnownModel(weights=5), "tiles": KnownModel(working=7)}
    plan = make_plan(official, Run(), COMFY, card(8), "8 GB", known=known)
    assert plan.fits[1].phase.weights == 5
    assert plan.fits[0].phase.weights > 5
    assert plan.tiled and plan.fits[-1].phase.working == 7


def test_a_plan_is_plain_data_and_short_in_errors(picture_world: World) -> None:
    plan = make_plan(picture_world, Run(), COMFY, card(8))
    data = json.loads(json.dumps(plan.to_json()))
    names = [phase["name"] for phase in data["phases"]]
    assert names == ["see", "tell", "condition", "paint", "decode"]
    assert data["fits"] is True and data["context"] == {"class": "Window", "size": 8}
    for phase in data["phases"]:
        total = phase["weights"] + phase["kept"] + phase["working"] + phase["beside"]
        assert phase["peak"] == total > 0
    assert len(repr(plan)) < 60
    lines = render(plan).splitlines()
    assert len(lines) < 16 and max(map(len, lines)) <= 120


def test_without_painting_there_is_no_painter(picture_world: World) -> None:
    plan = make_plan(picture_world, Run(paint=False), LIBRARY, card(8))
    assert [fit.phase.name for fit in plan.fits] == ["see", "tell", "condition"]


def test_unknown_presets_are_named(picture_world: World) -> None:
    with pytest.raises(SeedStoryError, match="8 GB, 12 GB, 16 GB, 24 GB; got '10 GB'"):
        make_plan(picture_world, Run(), COMFY, card(8), "10 GB")


def test_this_machine_says_what_it_has() -> None:
    here = device_here(torch.device("cpu"))
    assert 0 < here.free <= here.total == here.ram and not here.gpu

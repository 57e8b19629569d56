"""Runs: stories told by a plan, kept, taken up again, stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seedstory_core.context import Dense, Window
from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.evaluate import Judge, sampling_of
from seedstory_core.evaluation.runs import SCRIPT, TOLD, Plan, ToldStory, run_plan, tell_story
from seedstory_core.evaluation.starts import HELD_OUT, OPENINGS, Start, starts_of
from seedstory_core.sampling import Greedy, Nucleus
from seedstory_core.types import PaintSettings


@pytest.fixture()
def starts(judge: Judge) -> list[Start]:
    return starts_of(judge.world, HELD_OUT, 2, 3)


@pytest.fixture()
def quick(judge: Judge) -> Judge:
    judge.painter = replace(judge.painter, settings=PaintSettings(steps=1, guidance=1.0))
    return judge


def plan_of(judge: Judge, mode: str = TOLD, **changes: object) -> Plan:
    base = Plan(mode, Window(4), sampling_of(judge.world, "greedy"), 2)
    return replace(base, **changes)  # type: ignore[arg-type]


def same(one: ToldStory, two: ToldStory) -> bool:
    """Told again with other rows in the cache, sums differ by rounding."""
    assert one.pictures is not None and two.pictures is not None
    return (
        (one.captions, one.end, one.number) == (two.captions, two.end, two.number)
        and torch.allclose(one.features, two.features, atol=1e-4)
        and np.abs(one.pictures.astype(int) - two.pictures).max() <= 2
    )


def test_starts_are_openings_of_test_stories(judge: Judge) -> None:
    starts = starts_of(judge.world, HELD_OUT, 3, 4, seed=1)
    again = starts_of(judge.world, HELD_OUT, 3, 4, seed=1)
    for start, other in zip(starts, again, strict=True):
        assert start.pictures is not None and start.pictures.shape == (5, 64, 64, 3)
        assert len(start.script) == 4 and len(start.scenes) == 5
        assert (start.image.numpy() == start.pictures[0]).all()
        assert start.text == other.text and (start.pictures == other.pictures).all()
    assert starts[0].text != starts_of(judge.world, HELD_OUT, 1, 4, seed=2)[0].text


def test_starts_from_the_worlds_openings_go_round(judge: Judge) -> None:
    count = len(judge.world.openings)
    starts = starts_of(judge.world, OPENINGS, count + 1, 4)
    assert starts[count].text == starts[0].text == judge.world.opening(1)[1]
    with pytest.raises(SeedStoryError, match="held-out"):
        starts_of(replace(judge.world, openings=()), OPENINGS, 1, 4)
    with pytest.raises(SeedStoryError, match="held-out or openings"):
        starts_of(judge.world, "elsewhere", 1, 4)


def test_a_run_is_kept_and_taken_up(quick: Judge, starts: list[Start], tmp_path: Path) -> None:
    plan = plan_of(quick)
    told = run_plan(quick.engine, quick.painter, starts, plan, tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 2 and [len(story.captions) for story in told] == [3, 3]
    stamps = [file.stat().st_mtime_ns for file in files]
    again = run_plan(quick.engine, quick.painter, starts, plan, tmp_path)
    assert all(same(one, two) for one, two in zip(told, again, strict=True))
    assert [file.stat().st_mtime_ns for file in files] == stamps
    files[1].unlink()
    third = run_plan(quick.engine, quick.painter, starts, plan, tmp_path)
    assert same(third[1], told[1]) and files[0].stat().st_mtime_ns == stamps[0]


def test_another_plan_is_told_anew(quick: Judge, starts: list[Start], tmp_path: Path) -> None:
    for change in ({"panels": 1}, {"context": Dense()}, {"seed": 9}):
        before = run_plan(quick.engine, quick.painter, starts[:1], plan_of(quick), tmp_path)
        (file,) = tmp_path.glob("*.safetensors")
        stamp = file.stat().st_mtime_ns
        run_plan(quick.engine, quick.painter, starts[:1], plan_of(quick, **change), tmp_path)
        assert file.stat().st_mtime_ns != stamp and before[0].number == 0


def test_a_damaged_kept_story_is_named(quick: Judge, starts: list[Start], tmp_path: Path) -> None:
    (tmp_path / "000.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(SeedStoryError, match="000.safetensors is damaged"):
        run_plan(quick.engine, quick.painter, starts[:1], plan_of(quick), tmp_path)


def test_a_run_can_be_stopped_between_two_tokens(quick: Judge, starts: list[Start]) -> None:
    class Stop(Exception):
        pass

    calls = []

    def progress(done: int, total: int, note: str = "") -> None:
        calls.append((done, total))
        if len(calls) == 6:
            raise Stop

    with pytest.raises(Stop):
        run_plan(quick.engine, quick.painter, starts, plan_of(quick), None, progress)
    assert len(calls) == 6 and calls[0] == (0, 4)


def test_a_script_is_followed_to_its_end(quick: Judge, starts: list[Start]) -> None:
    story = tell_story(quick.engine, starts[0], 0, plan_of(quick, SCRIPT, panels=9))
    assert story.captions == (starts[0].text, *starts[0].script)
    assert story.end == "the script ends here" and len(story.features) == 4


def test_a_story_that_outgrows_the_model_ends_there(quick: Judge, starts: list[Start]) -> None:
    long = replace(starts[0], script=("word " * 20_000,))
    story = tell_story(quick.engine, long, 0, plan_of(quick, SCRIPT))
    assert len(story.captions) == 1 and "reads 4096 at most" in story.end


def test_greedy_and_sampled(judge: Judge) -> None:
    greedy, sampled = (sampling_of(judge.world, name) for name in ("greedy", "sampled"))
    assert isinstance(greedy.picker, Greedy) and sampled.picker == Nucleus(1.0, 0.95)
    assert greedy.max_new_tokens == sampled.max_new_tokens == 200
    assert greedy.repetition_penalty == 1.1


def test_seeds_of_panels_do_not_meet(judge: Judge) -> None:
    plan = plan_of(judge)
    seeds = {plan.told_seed(story, panel) for story in range(50) for panel in range(101)}
    assert len(seeds) == 50 * 101
    with pytest.raises(SeedStoryError, match="at least one panel"):
        plan_of(judge, panels=0)

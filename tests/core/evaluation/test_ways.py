"""Ways of painting are compared on the same panels and noise, and cost what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.evaluation.evaluate import Judge
from seedstory_core.evaluation.ways import OWN, WAYS, Way, measure_ways, ways_markdown
from seedstory_core.types import PaintSettings

OWN_SETTINGS = PaintSettings(12, 2.0)


def test_a_way_changes_what_it_names() -> None:
    assert OWN.settings(OWN_SETTINGS) == OWN_SETTINGS
    fewer = Way("dpmpp_2m", 1 / 3, 0.5).settings(OWN_SETTINGS)
    assert (fewer.solver, fewer.steps, fewer.guidance_until) == ("dpmpp_2m", 4, 0.5)
    assert fewer.guidance == 2.0 and len(set(WAYS)) == len(WAYS) and WAYS[0] == OWN


def test_every_way_is_judged_on_the_same_panels(judge: Judge) -> None:
    judge.painter = replace(judge.painter, settings=PaintSettings(steps=2, guidance=2.0))
    ways = (OWN, OWN, Way("uni_pc", 0.5), Way(guided=0.5))
    result = measure_ways(judge, stories=2, panels=2, ways=ways)
    own, again, fewer, half = result["ways"]
    assert own["rows"] == again["rows"] and again["minus_own"]["value"] == 0
    assert (fewer["solver"], fewer["steps"]) == ("uni_pc", 1)
    assert own["rows"]["all_right"]["count"] == 4, "openings are not judged"
    assert [batch["at_once"] for batch in result["batches"]] == [1, 2, 4, 8]
    table = ways_markdown(result)
    calls = {
        line.split("|")[1].strip(): line.split("|")[2].strip()
        for line in table.splitlines()
        if "steps" in line and line.startswith("| ")
    }
    assert calls["euler, 2 steps"] == "4" and calls["uni_pc, 1 steps"] == "2"
    assert half["name"] == "euler, 2 steps, guided for 50%" and calls[half["name"]] == "3"


@pytest.mark.parametrize(("stories", "panels"), [(0, 2), (2, 0), (99_999, 2)])
def test_impossible_amounts_are_refused(judge: Judge, stories: int, panels: int) -> None:
    with pytest.raises(SeedStoryError, match="1 to 10000"):
        measure_ways(judge, stories, panels)

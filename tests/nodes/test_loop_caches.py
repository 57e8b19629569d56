"""Story loops under every cache of ComfyUI: one telling a turn, whatever is kept."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from support.executor import Executor
from support.loop_graphs import body_nodes, loop_prompt, node, steps_of

CACHES = ("classic", "lru", "ram", "none")
Make = Callable[[str], Executor]


@pytest.fixture()
def make(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Make:
    """An executor with one of the host's caches; skips what this host does not have."""
    import execution
    from comfy.cli_args import args

    def made(cache: str) -> Executor:
        if cache == "ram" and not hasattr(execution.CacheType, "RAM_PRESSURE"):
            pytest.skip("this host has no RAM-pressure cache")
        monkeypatch.setattr(args, "cache_none", cache == "none")
        return Executor([*body_nodes(pack), *pack.nodes.NODES], cache)

    return made


def expands(cache: str) -> bool:
    """Whether nodes can become others under this cache: not without one on the oldest host."""
    import execution

    return cache != "none" or hasattr(execution.CacheType, "NONE")


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("cache", CACHES)
def test_every_turn_is_told_once(make: Make, cache: str, preview: bool) -> None:
    for count in (1, 2, 4):
        executor = make(cache)
        prompt = loop_prompt(count)
        if not preview:
            del prompt["5"]
        if count > 1 and not expands(cache):
            with pytest.raises(AssertionError, match="--cache-none"):
                executor.run(prompt)
            assert steps_of(executor) == []  # said before the first telling
            continue
        executor.run(prompt)
        assert executor.outputs["7"]["captions"] == [
            "tale",
            *(f"{i}:{100 + i}" for i in range(count)),
        ]
        assert executor.outputs["7"]["painted"] == [False] + [True] * count
        assert steps_of(executor) == ["3", *(f"6.3@{i}" for i in range(1, count))]


@pytest.mark.parametrize("cache", CACHES)
def test_every_turn_of_nested_loops_is_told_once(make: Make, cache: str) -> None:
    if not expands(cache):
        pytest.skip("refused on this host: see test_every_turn_is_told_once")
    prompt = loop_prompt(2)
    prompt["8"] = node("SeedStory_StoryLoopOpen", story=["1", 0], seed=500, index=0)
    prompt["2"]["inputs"] |= {"story": ["8", 1], "seed": ["8", 3]}
    prompt["9"] = node("SeedStory_StoryLoopClose", loop=["8", 0], story=["6", 0], count=3)
    prompt["7"]["inputs"]["story"] = ["9", 0]
    executor = make(cache).run(prompt)
    told = ["0:500", "1:501", "0:501", "1:502", "0:502", "1:503"]
    assert executor.outputs["7"]["captions"] == ["tale", *told]
    assert len(steps_of(executor)) == len(set(steps_of(executor))) == 6


@pytest.mark.parametrize("cache", CACHES)
def test_an_ended_story_comes_out_of_the_loop(make: Make, cache: str) -> None:
    if not expands(cache):
        pytest.skip("refused on this host: see test_every_turn_is_told_once")
    executor = make(cache).run(loop_prompt(8, ends=True))
    assert executor.outputs["7"]["captions"] == ["tale", "0:100", "1:101", "2:102", "3:103"]
    assert executor.outputs["7"]["painted"] == [False] + [True] * 4


@pytest.mark.parametrize("cache", ["classic", "ram"])
def test_one_more_turn_tells_only_that(make: Make, cache: str) -> None:
    executor, prompt = make(cache), loop_prompt(3)
    if cache == "ram":  # with a preview in the body, this cache drops the turns: docs/LOOPS.md
        del prompt["5"]
    executor.run(prompt)
    prompt["6"]["inputs"]["count"] = 4
    executor.run(prompt)
    assert steps_of(executor) == ["6.3@3"]
    prompt["6"]["inputs"]["count"] = 2
    executor.run(prompt)
    assert steps_of(executor) == []


@pytest.mark.parametrize("cache", CACHES)
def test_a_change_before_the_loop_tells_all_anew_and_one_behind_it_nothing(
    make: Make, cache: str
) -> None:
    if not expands(cache):
        pytest.skip("refused on this host: see test_every_turn_is_told_once")
    executor, prompt = make(cache), loop_prompt(3)
    executor.run(prompt)
    prompt["30"] = node("TestRead", story=["6", 0], note="another")
    executor.run(prompt)
    assert len(steps_of(executor)) == (3 if cache == "none" else 0)
    prompt["1"]["inputs"]["name"] = "other"
    executor.run(prompt)
    assert executor.outputs["7"]["captions"][0] == "other"
    assert len(steps_of(executor)) == 3


@pytest.mark.parametrize("cache", CACHES)
def test_an_interrupted_loop_goes_on_where_it_stopped(make: Make, cache: str) -> None:
    if not expands(cache):
        pytest.skip("refused on this host: see test_every_turn_is_told_once")
    executor, prompt = make(cache), loop_prompt(4)
    executor.run(prompt, stop_at="6.3@2")
    assert steps_of(executor) == ["3", "6.3@1", "6.3@2"]
    assert "7" not in executor.outputs
    executor.run(prompt)
    assert executor.outputs["7"]["captions"] == ["tale", "0:100", "1:101", "2:102", "3:103"]
    if cache == "classic":
        assert steps_of(executor) == ["6.3@2", "6.3@3"]


@pytest.mark.parametrize("cache", CACHES)
def test_a_list_of_stories_is_refused_before_any_is_told(make: Make, cache: str) -> None:
    prompt = loop_prompt(3 if expands(cache) else 1)
    prompt["1"] = node("TestSources", names="ash,birch")
    executor = make(cache)
    with pytest.raises(AssertionError, match="list of several"):
        executor.run(prompt)
    assert steps_of(executor) == []
    prompt["1"]["inputs"]["names"] = "ash"  # a list of one is one
    executor.run(prompt)
    assert executor.outputs["7"]["captions"][0] == "ash"


@pytest.mark.parametrize("cache", CACHES)
def test_lists_into_attach_image_are_refused(make: Make, cache: str) -> None:
    prompt = {
        "1": node("TestSources", names="ash,birch"),
        "2": node("TestStep", story=["1", 0], index=0, seed=1, ends=False),
        "3": node(
            "SeedStory_AttachImage", story=["2", 0], image=["2", 1], index=-1, feed_back=False
        ),
        "4": node("TestRead", story=["3", 0]),
    }
    with pytest.raises(AssertionError, match="list of several"):
        make(cache).run(prompt)
    prompt["2"]["inputs"]["story"] = ["5", 0]  # one story, two pictures
    prompt["5"] = node("TestSource", name="ash")
    prompt["6"] = node("TestStep", story=["1", 0], index=0, seed=1, ends=False)
    prompt["3"]["inputs"]["image"] = ["6", 1]
    with pytest.raises(AssertionError, match="list of several"):
        make(cache).run(prompt)


def test_a_loop_that_cannot_be_repeated_is_refused_before_anything_is_told(make: Make) -> None:
    prompt = loop_prompt(3)
    prompt["2"]["inputs"]["index"] = ["40", 3]
    prompt["40"] = node("SeedStory_Panels", story=["1", 0], with_opening=True)
    executor = make("classic")
    with pytest.raises(AssertionError, match="must be a number"):
        executor.run(prompt)
    assert steps_of(executor) == []

"""Story loops, run by ComfyUI's own executor with cheap nodes as the body."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest
from support.executor import Executor
from support.loop_graphs import body_nodes, loop_prompt, node


@pytest.fixture()
def executor(pack: ModuleType) -> Executor:
    return Executor([*body_nodes(pack), *pack.nodes.NODES])


def captions(executor: Executor, node_id: str = "7") -> list[str]:
    return executor.outputs[node_id]["captions"]


def test_close_is_a_node_that_comfyui_runs_first(pack: ModuleType) -> None:
    """As ComfyUI tells such nodes: by their ``execute``, whatever is wrapped around it."""
    close = next(kind for kind in pack.nodes.NODES if kind.__name__ == "StoryLoopClose")
    assert inspect.iscoroutinefunction(close.execute)


def test_turns_follow_each_other_with_index_and_seed(executor: Executor) -> None:
    executor.run(loop_prompt(3))
    assert captions(executor) == ["tale", "0:100", "1:101", "2:102"]
    assert executor.outputs["7"]["painted"] == [False, True, True, True]


def test_more_turns_run_only_what_is_new(executor: Executor) -> None:
    executor.run(loop_prompt(3))
    executor.run(loop_prompt(5))
    steps = [name for name in executor.ran if ".3@" in name or name == "3"]
    assert steps == ["6.3@3", "6.3@4"]
    executor.run(loop_prompt(4))
    assert not [name for name in executor.ran if ".3@" in name]
    assert captions(executor)[-1] == "3:103"


def test_previews_in_the_body_run_each_turn_on_the_visible_node(executor: Executor) -> None:
    executor.run(loop_prompt(3))
    shown = [
        (d["display_node"], d["output"]["value"])
        for d in executor.shown("executed")
        if d["node"] != "7"
    ]
    assert shown == [("5", [0.1]), ("5", [0.2]), ("5", [0.3])]
    executor.run(loop_prompt(3, scale=2))  # a change beside the story re-tells nothing
    assert not [name for name in executor.ran if ".3@" in name or name == "3"]
    assert executor.ran == ["5"]  # previews of other turns wait until their turn runs again


def test_an_ended_story_makes_cheap_turns(executor: Executor) -> None:
    executor.run(loop_prompt(8, ends=True))
    assert captions(executor) == ["tale", "0:100", "1:101", "2:102", "3:103"]
    assert executor.outputs["7"]["painted"] == [False, True, True, True, True]
    assert len(executor.shown("executed")) == 4 + 1  # previews of four pictures, and the reader


def test_nested_loops(executor: Executor) -> None:
    prompt = loop_prompt(2)
    prompt["8"] = node("SeedStory_StoryLoopOpen", story=["1", 0], seed=500, index=0)
    prompt["2"]["inputs"]["story"] = ["8", 1]
    prompt["2"]["inputs"]["seed"] = ["8", 3]
    prompt["9"] = node("SeedStory_StoryLoopClose", loop=["8", 0], story=["6", 0], count=3)
    prompt["7"]["inputs"]["story"] = ["9", 0]
    executor.run(prompt)
    told = ["0:500", "1:501", "0:501", "1:502", "0:502", "1:503"]
    assert captions(executor) == ["tale", *told]
    assert len([d for d in executor.shown("executed") if d["display_node"] == "5"]) == 6


def test_two_loops_in_a_row(executor: Executor) -> None:
    prompt = loop_prompt(2)
    second = {
        "12": node("SeedStory_StoryLoopOpen", story=["6", 0], seed=200, index=7),
        "13": node("TestStep", story=["12", 1], index=["12", 2], seed=["12", 3], ends=False),
        "16": node("SeedStory_StoryLoopClose", loop=["12", 0], story=["13", 0], count=2),
    }
    prompt |= second
    prompt["7"]["inputs"]["story"] = ["16", 0]
    executor.run(prompt)
    assert captions(executor) == ["tale", "0:100", "1:101", "7:207", "8:208"]


def test_one_turn_is_no_loop(executor: Executor) -> None:
    executor.run(loop_prompt(1))
    assert captions(executor) == ["tale", "0:100"]
    assert not [name for name in executor.ran if "@" in name]


class PlainGraph:
    """A prompt as `unroll` sees it."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.nodes = nodes

    def display_id(self, node_id: str) -> str:
        return node_id

    def is_output(self, node_id: str) -> bool:
        return self.nodes[node_id]["class_type"] in ("TestLook", "TestRead")


def test_body_leaves_out_what_no_turn_needs(pack: ModuleType) -> None:
    nodes = loop_prompt(2)
    nodes["20"] = node("Unused", story=["3", 0])  # leads nowhere
    nodes["21"] = node("Between", image=["3", 1])  # leads to a preview
    nodes["22"] = node("TestLook", image=["21", 0])
    nodes["23"] = node("TestLook", image=["7", 0])  # after the loop
    body = pack.nodes.unroll.body_of(PlainGraph(nodes), "2", "6")
    assert body[0] == "2" and set(body) == {"2", "3", "4", "5", "21", "22"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n["6"]["inputs"].update(story=["1", 0], loop=["1", 0]), "straight from"),
        (lambda n: n["3"].update(_loop_body=["4"]), "of ComfyUI's own"),
        (lambda n: n["2"]["inputs"].update(index=["9", 0]), "must be a number"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(pack: ModuleType, change: Any, message: str) -> None:
    nodes = loop_prompt(2)
    change(nodes)
    open_id = nodes["6"]["inputs"]["loop"][0]
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match=message):
        pack.nodes.unroll.unroll(PlainGraph(nodes), open_id, "6", 2, pack.nodes.loop.OPEN)


def core_loop_prompt(pack: ModuleType, overridden: bool) -> Any:
    """A prompt as ComfyUI 0.36 and newer show it: Start and End Loop in the body of a Story Loop.

    No such version runs here; its source was read. While Start Loop runs, ``override_node`` puts
    an End Loop without connections in the place of the wired one, and `get_node` prefers that.
    """
    from comfy_execution.graph import DynamicPrompt

    class NewerPrompt(DynamicPrompt):
        def __init__(self, prompt: dict[str, Any]) -> None:
            super().__init__(prompt)
            self.node_overrides: dict[str, Any] = {}

        def override_node(self, node_id: str, node_info: dict[str, Any]) -> None:
            self.node_overrides[node_id] = node_info

        def get_node(self, node_id: str) -> dict[str, Any]:
            return self.node_overrides.get(node_id) or super().get_node(node_id)

    nodes = loop_prompt(2)
    start = node("StartLoop", initial_iteration_value=["2", 1])
    nodes["30"] = start | {"_loop_body": ["3", "4"], "_loop_end": "31"}
    nodes["3"]["inputs"]["story"] = ["30", 4]
    end = {"output_value": ["4", 0], "next_iteration_value": ["4", 0], "termination0": ["5", 0]}
    nodes["31"] = node("EndLoop", accumulate=False, **end)
    nodes["6"]["inputs"]["story"] = ["31", 0]
    prompt = NewerPrompt(nodes)
    if overridden:
        prompt.override_node("31", node("EndLoop", accumulate=False))
    return prompt


@pytest.mark.parametrize("overridden", [False, True])
def test_a_core_loop_in_the_body_is_refused(pack: ModuleType, overridden: bool) -> None:
    prompt = core_loop_prompt(pack, overridden)
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match="'StartLoop', a loop of ComfyUI's own"):
        pack.nodes.unroll.unroll(
            pack.nodes.host.PromptGraph(prompt, "6"), "2", "6", 2, pack.nodes.loop.OPEN
        )


@pytest.mark.parametrize("overridden", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_a_core_loop_is_refused_whatever_is_read_of_it(
    pack: ModuleType, overridden: bool, behind: bool
) -> None:
    """Even where only the overridden nodes are seen, or other nodes follow in the body."""
    prompt = core_loop_prompt(pack, overridden)
    seen = {node_id: prompt.get_node(node_id) for node_id in prompt.all_node_ids()}
    if behind:
        seen["32"] = node("TestStep", story=["31", 0], index=0, seed=0, ends=False)
        seen["6"] = node("SeedStory_StoryLoopClose", loop=["2", 0], story=["32", 0], count=2)
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match="a loop of ComfyUI's own"):
        pack.nodes.unroll.unroll(PlainGraph(seen), "2", "6", 2, pack.nodes.loop.OPEN)


def test_a_core_loop_before_or_behind_a_story_loop_is_none_of_its_body(pack: ModuleType) -> None:
    nodes = loop_prompt(2)
    for first, before, after in (("40", ["1", 0], "2"), ("50", ["6", 0], "7")):
        last = first[0] + "1"
        start = node("StartLoop", initial_iteration_value=before)
        nodes[first] = start | {"_loop_body": [], "_loop_end": last}
        nodes[last] = node("EndLoop")  # overridden
        nodes[after]["inputs"]["story"] = [last, 0]
    clones, result = pack.nodes.unroll.unroll(PlainGraph(nodes), "2", "6", 2, pack.nodes.loop.OPEN)
    assert {name.split("@")[0] for name in clones} == {"6.2", "6.3", "6.4", "6.5"}
    assert result == ["6.4@1", 0]


def test_a_story_that_does_not_come_through_the_body_is_refused(pack: ModuleType) -> None:
    nodes = loop_prompt(2)
    nodes["6"]["inputs"]["story"] = ["1", 0]  # past the body
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match="Nothing leads from Story Loop Open"):
        pack.nodes.unroll.unroll(PlainGraph(nodes), "2", "6", 2, pack.nodes.loop.OPEN)

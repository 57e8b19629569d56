"""Story loops, run by ComfyUI's own executor with cheap nodes as the body."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from support.executor import Executor

ENDS_AT = 5  # panels at which the test story ends itself


def body_nodes(pack: ModuleType) -> list[Any]:
    """A source of stories, a step that appends a panel, a preview and a reader."""
    from comfy_api.latest import io

    core, types = pack.seedstory_core, pack.nodes.types
    append = core.story.append

    def panel(caption: str, origin: str = "told", image: Any = None) -> Any:
        return core.types.Panel(caption, caption, origin, image=image)

    class Source(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            outputs = [types.Story.Output()]
            return io.Schema(
                node_id="TestSource", inputs=[io.String.Input("name")], outputs=outputs
            )

        @classmethod
        def execute(cls, name: str) -> io.NodeOutput:
            story = core.types.Story((), "toy", core.types.WorldRef("w", "0"), name)
            return io.NodeOutput(append(story, panel(name, "opening")))

    class Step(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            inputs = [types.Story.Input("story"), io.Int.Input("index"), io.Int.Input("seed")]
            inputs.append(io.Boolean.Input("ends", default=False))
            outputs = [types.Story.Output(), io.Image.Output()]
            return io.Schema(node_id="TestStep", inputs=inputs, outputs=outputs)

        @classmethod
        def execute(cls, story: Any, index: int, seed: int, ends: bool) -> io.NodeOutput:
            picture = torch.full((1, 2, 2, 3), len(story) / 10)
            if ends and len(story) >= ENDS_AT:
                closed = core.types.replace(story, closing="The end.")
                return io.NodeOutput(closed, pack.nodes.host.nothing())
            return io.NodeOutput(append(story, panel(f"{index}:{seed}")), picture)

    class Look(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id="TestLook",
                inputs=[io.Image.Input("image"), io.Int.Input("scale", default=1)],
                is_output_node=True,
            )

        @classmethod
        def execute(cls, image: Any, scale: int) -> io.NodeOutput:
            return io.NodeOutput(ui={"value": [round(float(image.mean()) * scale, 3)]})

    class Read(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id="TestRead", inputs=[types.Story.Input("story")], is_output_node=True
            )

        @classmethod
        def execute(cls, story: Any) -> io.NodeOutput:
            painted = [p.image is not None for p in story.panels]
            captions = [p.caption for p in story.panels]
            return io.NodeOutput(ui={"captions": captions, "painted": painted})

    return [Source, Step, Look, Read]


@pytest.fixture()
def executor(pack: ModuleType) -> Executor:
    return Executor([*body_nodes(pack), *pack.nodes.NODES])


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def loop_prompt(count: int, *, ends: bool = False, scale: int = 1) -> dict[str, Any]:
    """Source -> Open -> Step -> Attach Image -> Close -> Read, with a preview in the body."""
    step = {"story": ["2", 1], "index": ["2", 2], "seed": ["2", 3], "ends": ends}
    attach = {"story": ["3", 0], "image": ["3", 1], "index": -1, "feed_back": False}
    return {
        "1": node("TestSource", name="tale"),
        "2": node("SeedStory_StoryLoopOpen", story=["1", 0], seed=100, index=0),
        "3": node("TestStep", **step),
        "4": node("SeedStory_AttachImage", **attach),
        "5": node("TestLook", image=["3", 1], scale=scale),
        "6": node("SeedStory_StoryLoopClose", loop=["2", 0], story=["4", 0], count=count),
        "7": node("TestRead", story=["6", 0]),
    }


def captions(executor: Executor, node_id: str = "7") -> list[str]:
    return executor.outputs[node_id]["captions"]


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

"""Cheap nodes for the body of a story loop, and a loop of them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from .executor import Executor

ENDS_AT = 5  # panels at which the test story ends itself


def body_nodes(pack: ModuleType) -> list[Any]:
    """Sources of stories, a step that appends a panel, a preview and a reader."""
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

    class Sources(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            outputs = [types.Story.Output(is_output_list=True)]
            return io.Schema(
                node_id="TestSources", inputs=[io.String.Input("names")], outputs=outputs
            )

        @classmethod
        def execute(cls, names: str) -> io.NodeOutput:
            return io.NodeOutput([Source.execute(name).args[0] for name in names.split(",")])

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
                silent = pack.nodes.telling.silent(closed, closed)
                return io.NodeOutput(closed, pack.nodes.host.nothing() if silent else picture)
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
            inputs = [types.Story.Input("story"), io.String.Input("note", optional=True)]
            return io.Schema(node_id="TestRead", inputs=inputs, is_output_node=True)

        @classmethod
        def execute(cls, story: Any, note: str = "") -> io.NodeOutput:
            painted = [p.image is not None for p in story.panels]
            captions = [p.caption for p in story.panels]
            return io.NodeOutput(ui={"captions": captions, "painted": painted})

    return [Source, Sources, Step, Look, Read]


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


def steps_of(executor: Executor) -> list[str]:
    """Which copies of the telling step ran in the last prompt, in order."""
    return [name for name in executor.ran if name.rpartition(".")[2].split("@")[0] == "3"]

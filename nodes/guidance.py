"""Guidance Until: the last steps of a picture at half the price."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import host
from .conditioning import CATEGORY


class GuidanceUntil(io.ComfyNode):
    """A MODEL -> one that samplers stop guiding before the last step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_GuidanceUntil",
            display_name="Guidance Until",
            category=CATEGORY,
            description="Ends the guidance (cfg) before the last step: what a picture shows is "
            "settled early, and a step without guidance costs half. For any sampler.",
            search_aliases=["cfg interval", "limited guidance", "faster"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="From Apply De-tokenizer or Load World Painter, or any other.",
                ),
                io.Float.Input(
                    "until",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the noise schedule that is guided. 1: all of it, as without "
                    "this node. 0: none.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The changed copy.")],
        )

    @classmethod
    def execute(cls, model: Any, until: float) -> io.NodeOutput:
        return io.NodeOutput(host.guided_until(model, until))


NODES: tuple[type[io.ComfyNode], ...] = (GuidanceUntil,)

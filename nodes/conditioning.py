"""Apply De-tokenizer, Conditioning, Empty Panel Latent: all that a stock sampler reads."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core.types import ImageFeatures
from . import host, types
from .types import EngineHandle

CATEGORY = "SEED-Story/paint"
MAX_SIDE = 8192


def sizes() -> list[io.Input]:
    """The width and height inputs of the painting nodes."""
    return [
        io.Int.Input(
            name,
            default=0,
            min=0,
            max=MAX_SIDE,
            step=8,
            tooltip=f"Picture {name} in pixels. 0: the world's own size.",
        )
        for name in ("width", "height")
    ]


def panel_size(detokenizer: EngineHandle, width: int, height: int) -> tuple[int, int]:
    """(width, height), the world's own where 0 is given."""
    own_width, own_height = detokenizer.world.panel_size
    return width or own_width, height or own_height


class ApplyDetokenizer(io.ComfyNode):
    """An SDXL MODEL -> one that understands the story's features."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_ApplyDetokenizer",
            display_name="Apply De-tokenizer",
            category=CATEGORY,
            description="Puts the world's changed weights into a copy of the base model. LoRAs "
            "may come before or after: the result is the same.",
            search_aliases=["patch model", "de-tokenizer", "sdxl adapter"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="SDXL base 1.0, or the MODEL of the world's own painter."
                ),
                types.Detokenizer.Input("detokenizer", tooltip="From Load World."),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The changed copy.")],
        )

    @classmethod
    def execute(cls, model: Any, detokenizer: EngineHandle) -> io.NodeOutput:
        patch = detokenizer.engine.unet_patch()
        return io.NodeOutput(host.patch_model(model, patch, detokenizer.world))


class Conditioning(io.ComfyNode):
    """Features -> positive and negative conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_Conditioning",
            display_name="Story Conditioning",
            category=CATEGORY,
            description="Turns features into conditioning for any stock sampler. Use both "
            "outputs: they have equally many tokens, which the sampler runs in one batch.",
            search_aliases=["features to conditioning", "detokenize"],
            inputs=[
                types.Features.Input(
                    "features", tooltip="From Tell Panel, Panels or Encode Image."
                ),
                types.Detokenizer.Input("detokenizer", tooltip="From Load World."),
                *sizes(),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="What to paint."),
                io.Conditioning.Output(display_name="negative", tooltip="The features of nothing."),
            ],
        )

    @classmethod
    def execute(
        cls, features: ImageFeatures, detokenizer: EngineHandle, width: int, height: int
    ) -> io.NodeOutput:
        host.interruptible()
        conditioning = detokenizer.engine.condition_features(features)
        size = panel_size(detokenizer, width, height)
        return io.NodeOutput(*host.to_conditioning(conditioning, size))


class EmptyPanelLatent(io.ComfyNode):
    """The empty latent a stock sampler starts from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_EmptyPanelLatent",
            display_name="Empty Panel Latent",
            category=CATEGORY,
            description="An empty latent for a stock sampler, in the channels and compression of "
            "the world's painter. Worlds that change an SDXL base take Empty Latent Image as well.",
            search_aliases=["empty latent", "world latent"],
            inputs=[
                types.Detokenizer.Input("detokenizer", tooltip="From Load World."),
                *sizes(),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=4096, tooltip="How many pictures at once."
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For a stock sampler.")],
        )

    @classmethod
    def execute(
        cls, detokenizer: EngineHandle, width: int, height: int, batch_size: int
    ) -> io.NodeOutput:
        size = panel_size(detokenizer, width, height)
        return io.NodeOutput(host.empty_latent(detokenizer.world, size, batch_size))


NODES: tuple[type[io.ComfyNode], ...] = (ApplyDetokenizer, Conditioning, EmptyPanelLatent)

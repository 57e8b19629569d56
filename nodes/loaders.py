"""Load World, its painter, its ControlNet, its openings: what a world brings."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core.engine import open_engine
from ..seedstory_core.images import read_picture, to_float
from . import host, types
from .host.names import can_find
from .types import EngineHandle

CATEGORY = "SEED-Story/load"


class LoadWorld(io.ComfyNode):
    """A world folder -> handles to its parts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        worlds = host.world_choices()
        return host.schema(
            node_id="SeedStory_LoadWorld",
            display_name="Load World",
            category=CATEGORY,
            description="Opens a world: the weights of one story series. Nothing is loaded until "
            "a node uses it, and ComfyUI moves each part in and out of memory as needed.",
            search_aliases=["seed story", "story model", "load story model"],
            inputs=[
                io.Combo.Input(
                    "world",
                    options=worlds,
                    default=worlds[0],
                    tooltip="Folder in models/seedstory. 'picture-world' comes with the pack; "
                    "'babble' is always there too: a tiny untrained world, made at first use, "
                    "whose stories mean nothing.",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(host.PRECISIONS),
                    default="auto",
                    tooltip="What the parts compute in. auto: fp16 on a GPU as the reference does, "
                    "fp32 on the CPU. Try bf16 or fp32 if features become NaN.",
                ),
                io.Combo.Input(
                    "quantise",
                    options=list(host.QUANTISED),
                    default="none",
                    optional=True,  # prompts from before it came lack it
                    tooltip="Store the LLM's layers in 8 or 4 bits, made from the world's file "
                    "while it loads: about half, or a third, of the LLM's memory. int8 tells "
                    "nearly the same; int4 chooses another word here and there.",
                ),
            ],
            outputs=[
                types.Llm.Output(display_name="llm", tooltip="Tells panels: text and features."),
                types.Vision.Output(display_name="vision", tooltip="Turns pictures into features."),
                types.Detokenizer.Output(
                    display_name="detokenizer",
                    tooltip="Turns features into a sampler's conditioning.",
                ),
            ],
        )

    @classmethod
    def execute(cls, world: str, precision: str, quantise: str = "none") -> io.NodeOutput:
        opened = host.open_named_world(world)
        engine = open_engine(opened, host.comfy_host(precision, quantise))
        parts = ("llm", "vision", "detokenizer")
        return io.NodeOutput(*(EngineHandle(engine, part, opened) for part in parts))


def _same_world() -> io.Input:
    """The world again, for nodes that stand beside Load World."""
    worlds = host.world_choices()
    return io.Combo.Input(
        "world",
        options=worlds,
        default=worlds[0],
        tooltip="Folder in models/seedstory; the same world as in Load World.",
    )


class LoadWorldPainter(io.ComfyNode):
    """A world's own UNet and VAE -> MODEL and VAE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_LoadWorldPainter",
            display_name="Load World Painter",
            category=CATEGORY,
            description="MODEL and VAE of a world that brings its own painter. Worlds that "
            "change an SDXL base have none: use Load Checkpoint and Apply De-tokenizer for those.",
            search_aliases=["story painter", "story unet"],
            inputs=[
                _same_world(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The world's diffusion model."),
                io.Vae.Output(
                    display_name="vae",
                    tooltip="The world's VAE. Worlds without one need Load VAE (SDXL's).",
                ),
            ],
        )

    @classmethod
    def execute(cls, world: str) -> io.NodeOutput:
        model, vae = host.load_painter(host.open_named_world(world))
        if vae is None:
            vae = host.nothing(
                f"World {world!r} brings no VAE. Use Load VAE, with that of SDXL, in its place."
            )
        return io.NodeOutput(model, vae)


class LoadWorldControlNet(io.ComfyNode):
    """A file -> a CONTROL_NET for the UNet of a world's own painter."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = host.controlnet_choices()
        return host.schema(
            node_id="SeedStory_LoadWorldControlNet",
            display_name="Load World ControlNet",
            category=CATEGORY,
            description="A ControlNet for a world that brings its own painter: ComfyUI's Load "
            "ControlNet Model knows those of the large models only. Use it with Apply ControlNet.",
            search_aliases=["controlnet", "world control"],
            inputs=[
                io.Model.Input("model", tooltip="From Load World Painter: it says the shape."),
                io.Combo.Input(
                    "control_net",
                    options=files,
                    default=files[0],
                    tooltip="A world's own ControlNet, or a file in models/controlnet.",
                ),
            ],
            outputs=[
                io.ControlNet.Output(display_name="control_net", tooltip="For Apply ControlNet.")
            ],
        )

    @classmethod
    def validate_inputs(cls, control_net: str | None) -> bool | str:
        """Any system's separators."""
        return can_find(host.find_controlnet, control_net)

    @classmethod
    def execute(cls, model: Any, control_net: str) -> io.NodeOutput:
        return io.NodeOutput(host.load_controlnet(host.find_controlnet(control_net), model))


class WorldOpening(io.ComfyNode):
    """A world -> one of the pictures and sentences it brings to begin with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_WorldOpening",
            display_name="World Opening",
            category=CATEGORY,
            description="A picture and a sentence that the world itself brings to begin a story "
            "with. For a story of your own, use Load Image and write the sentence.",
            search_aliases=["example picture", "story opening"],
            inputs=[
                _same_world(),
                io.Int.Input(
                    "number",
                    default=1,
                    min=1,
                    max=1000,
                    tooltip="Which of the world's openings, counted from 1.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The opening's picture."),
                io.String.Output(display_name="text", tooltip="The opening's sentence."),
            ],
        )

    @classmethod
    def execute(cls, world: str, number: int) -> io.NodeOutput:
        picture, text = host.open_named_world(world).opening(number)
        return io.NodeOutput(to_float([read_picture(picture)]), text)


NODES: tuple[type[io.ComfyNode], ...] = (
    LoadWorld,
    LoadWorldPainter,
    LoadWorldControlNet,
    WorldOpening,
)

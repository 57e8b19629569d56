"""Optional settings as values: how words are chosen, and the reference's noise."""

from __future__ import annotations

import math
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..seedstory_core import sampling
from ..seedstory_core.schedule import euler_sigmas
from . import host, types
from .types import EngineHandle

CATEGORY = "SEED-Story/settings"
MAX_SEED = 0xFFFFFFFFFFFFFFFF


def world_scheduler(detokenizer: EngineHandle | None) -> dict[str, Any] | None:
    """The noise schedule of a world with its own painter; None means SDXL's."""
    painter = detokenizer.world.painter if detokenizer else None
    return (painter or {}).get("scheduler")


class Sampling(io.ComfyNode):
    """How the next word is chosen."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_Sampling",
            display_name="Story Sampling",
            category=CATEGORY,
            description="How the next word of a caption is chosen, and when a panel is finished.",
            search_aliases=["temperature", "top p", "repetition penalty"],
            inputs=[
                io.Float.Input(
                    "temperature",
                    default=0.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip="0: always the likeliest word, the seed plays no part. Higher: more "
                    "varied.",
                ),
                io.Float.Input(
                    "top_p",
                    default=0.9,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Draw only from the likeliest words that together reach this "
                    "probability. Plays a part when temperature is above 0.",
                ),
                io.Float.Input(
                    "repetition_penalty",
                    default=1.0,
                    min=0.1,
                    max=5.0,
                    step=0.05,
                    tooltip="1: off. Above 1: words already in this caption become less likely.",
                ),
                io.Int.Input(
                    "no_repeat_ngram",
                    default=0,
                    min=0,
                    max=20,
                    tooltip="0: off. n: no run of n word pieces twice within a caption.",
                ),
                io.Int.Input(
                    "max_caption_tokens",
                    default=0,
                    min=0,
                    max=2000,
                    tooltip="0: no cap. Otherwise the picture is forced after so many word pieces.",
                ),
                io.Int.Input(
                    "max_new_tokens",
                    default=500,
                    min=1,
                    max=4000,
                    tooltip="Hard end of a panel, picture tokens included. The reference uses 500.",
                ),
                io.Boolean.Input(
                    "stop_at_image",
                    default=True,
                    tooltip="Finish the panel with its picture. Off: go on until the model stops "
                    "and take the last picture, as the reference does.",
                ),
                io.Int.Input(
                    "no_repeat_story",
                    default=0,
                    min=0,
                    max=200,
                    optional=True,  # prompts from before it came lack it
                    tooltip="0: off. n: no run of n word pieces of an earlier caption of the story "
                    "again, and no earlier caption word for word. A small n also bans names and "
                    "set phrases; 20 or more bans little but whole captions.",
                ),
                io.Boolean.Input(
                    "write_on",
                    default=False,
                    optional=True,
                    tooltip="For captions of yours behind which the model would not begin a "
                    "picture yet. Off: it has to. On: it writes on until it does, as the reference "
                    "does; those words shape the picture, but your caption stays as it is.",
                ),
            ],
            outputs=[
                types.Sampling.Output(
                    display_name="sampling", tooltip="For Tell Panel or Tell Story."
                )
            ],
        )

    @classmethod
    def execute(cls, temperature: float, top_p: float, **rules: Any) -> io.NodeOutput:
        base = sampling.Sampling(**rules)
        return io.NodeOutput(sampling.with_temperature(base, temperature, top_p))


class ReferenceSigmas(io.ComfyNode):
    """The reference's noise schedule as SIGMAS."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_ReferenceSigmas",
            display_name="Reference Sigmas",
            category=CATEGORY,
            description="The noise levels of the published pipeline (Euler, leading spacing). "
            "With the sampler 'euler' and Reference Noise a picture equals diffusers'.",
            search_aliases=["scheduler", "leading", "diffusers"],
            inputs=[
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=1000,
                    tooltip="Sampling steps. The reference uses 50.",
                ),
                types.Detokenizer.Input(
                    "detokenizer",
                    optional=True,
                    tooltip="The world whose schedule to use. Not connected: SDXL's.",
                ),
            ],
            outputs=[
                io.Sigmas.Output(display_name="sigmas", tooltip="For a sampler or Paint Story.")
            ],
        )

    @classmethod
    def execute(cls, steps: int, detokenizer: EngineHandle | None = None) -> io.NodeOutput:
        return io.NodeOutput(euler_sigmas(steps, world_scheduler(detokenizer)))


class ReferenceNoise(io.ComfyNode):
    """The reference's first noise as NOISE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="SeedStory_ReferenceNoise",
            display_name="Reference Noise",
            category=CATEGORY,
            description="Noise for Reference Sigmas in SamplerCustomAdvanced: made on the CPU "
            "and scaled as diffusers does, which differs from ComfyUI when the first sigma is "
            "not the largest.",
            search_aliases=["random noise", "diffusers"],
            inputs=[
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Seed of the noise. The reference paints every panel with 42.",
                ),
                io.Sigmas.Input("sigmas", tooltip="The SIGMAS the sampler will use."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The sampler's MODEL. Needed only when the first sigma may be the "
                    "model's largest, as with 1000 steps.",
                ),
                types.Detokenizer.Input(
                    "detokenizer",
                    optional=True,
                    tooltip="The world whose schedule the SIGMAS have. Not connected: SDXL's.",
                ),
            ],
            outputs=[io.Noise.Output(display_name="noise", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(
        cls, seed: int, sigmas: Tensor, model: Any = None, detokenizer: EngineHandle | None = None
    ) -> io.NodeOutput:
        largest = host.largest_sigma(model) if model is not None else math.inf
        noise = host.ReferenceNoise(seed, sigmas, world_scheduler(detokenizer), largest)
        return io.NodeOutput(noise)


NODES: tuple[type[io.ComfyNode], ...] = (
    Sampling,
    ReferenceSigmas,
    ReferenceNoise,
)

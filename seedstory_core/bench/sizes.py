"""The sizes a benchmark runs at. Random weights make times valid at any of them; quality needs
trained ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..engines.seed_story.config import (
    OFFICIAL,
    DetokenizerConfig,
    LlmConfig,
    ResamplerConfig,
    SeedStoryConfig,
    VisionConfig,
)
from ..errors import SeedStoryError

POSITIONS = 32768  # of small models, so that a story without a window fits too


@dataclass(frozen=True)
class Scale:
    """One size.

    Attributes:
        panels: how many are told if nobody says otherwise.
        load: sizes of the models whose loading is timed, or None to time none.
        device: ``cpu`` or ``cuda``.
        dtype: name of the torch dtype that is timed.
        exact: fp32 and fp64 runs must say the same ids; otherwise agreement is counted.
    """

    name: str
    config: SeedStoryConfig
    panels: int
    load: SeedStoryConfig | None
    device: str = "cpu"
    dtype: str = "float32"
    exact: bool = True


def sizes(
    width: int, layers: int, heads: int, vocab: int, vision_width: int = 64, vision_layers: int = 1
) -> SeedStoryConfig:
    """A model of the released one's shape: 64 image tokens, 256 feature rows a picture."""
    shape = OFFICIAL.llm
    mlp_width = round(width * shape.mlp_width / shape.width / 16) * 16
    return SeedStoryConfig(
        vision=VisionConfig(
            image_size=448,
            patch=14,
            width=vision_width,
            layers=vision_layers,
            heads=max(1, vision_width // 64),
            mlp_width=5 * vision_width,
            grid=16,
            pool=ResamplerConfig(grid=16, width=width, source=vision_width, heads=heads, eps=1e-6),
        ),
        llm=LlmConfig(
            vocab=vocab,
            width=width,
            mlp_width=mlp_width,
            layers=layers,
            heads=heads,
            kv_heads=heads,
            max_positions=POSITIONS,
        ),
        input_resampler=ResamplerConfig(grid=8, width=width, source=width, heads=heads),
        output_resampler=ResamplerConfig(grid=16, width=width, source=width, heads=heads),
        detokenizer=DetokenizerConfig(
            source=width,
            width=64,
            depth=1,
            heads=1,
            head_width=64,
            mlp_width=64,
            tokens=64,
            prompt_widths=(64, 64),
            pooled_width=64,
        ),
    )


#: A story of 200 panels without a window does not fit into 4096 positions; random weights do not
#: know the difference, and a run asks for it explicitly.
FULL = replace(OFFICIAL, llm=replace(OFFICIAL.llm, max_positions=POSITIONS))
#: Loading is timed with an eighth of the layers: pickles of the whole model take 50 GB of disk.
EIGHTH = replace(
    OFFICIAL,
    llm=replace(OFFICIAL.llm, layers=OFFICIAL.llm.layers // 8),
    vision=replace(OFFICIAL.vision, layers=OFFICIAL.vision.layers // 8),
)

SCALES = {
    "tiny": Scale("tiny", sizes(64, 2, 2, 512), 24, sizes(64, 2, 2, 512)),
    "small": Scale("small", sizes(256, 4, 4, 2066), 200, sizes(768, 12, 12, 8066, 512, 12)),
    "full": Scale("full", FULL, 24, EIGHTH, "cuda", "float16", exact=False),
}


def scale_of(name: str) -> Scale:
    """A scale by its name.

    Raises:
        SeedStoryError: there is none of this name.
    """
    if name not in SCALES:
        raise SeedStoryError(f"There is no scale {name!r}. Known: {', '.join(SCALES)}.")
    return SCALES[name]

"""Sizes of every model in the engine, and the sizes of the released checkpoints.

A world carries its sizes as JSON (``world.json``, field ``sizes``); none is guessed from weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from ...errors import SeedStoryError
from ...strict_json import number, shown, whole

T = TypeVar("T")

#: Inclusive limits of the sizes by name, several times those of any model; larger ones are mistakes
#: or malice. Each model must fit its file besides (`building.within`).
LIMITS: Mapping[str, tuple[int, int]] = {
    "image_size": (1, 4096),
    "patch": (1, 1024),
    "grid": (1, 128),
    "layers": (1, 512),
    "depth": (1, 512),
    "heads": (1, 1024),
    "kv_heads": (1, 1024),
    "head_width": (1, 4096),
    "width": (1, 1 << 16),
    "mlp_width": (1, 1 << 18),
    "source": (1, 1 << 16),
    "vocab": (1, 1 << 22),
    "max_positions": (1, 1 << 22),
    "tokens": (1, 1 << 14),
    "prompt_widths": (1, 1 << 16),
    "pooled_width": (1, 1 << 16),
}
RANGES: Mapping[str, tuple[float, float]] = {"eps": (1e-12, 1.0), "theta": (1.0, 1e12)}
#: Patches along a picture's side for one row of the learned table, which is stretched to them.
MAX_STRETCH = 8


@dataclass(frozen=True)
class ResamplerConfig:
    """A query resampler: reads tokens of width ``source``, gives ``grid * grid`` of ``width``."""

    grid: int
    width: int
    source: int
    heads: int
    eps: float = 1e-5

    @property
    def tokens(self) -> int:
        return self.grid * self.grid


@dataclass(frozen=True)
class VisionConfig:
    """The visual tokenizer: a ViT and the resampler ``pool`` that shortens its output.

    Attributes:
        image_size: side of the picture in pixels; ``patch``: side of a patch.
        grid: side of the learned position table (resized when the patches make another grid).
        mlp_width: hidden width of each block's MLP.
    """

    image_size: int
    patch: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    grid: int
    pool: ResamplerConfig
    eps: float = 1e-6


@dataclass(frozen=True)
class LlmConfig:
    """A Llama decoder; ``kv_heads`` below ``heads`` shares keys and values between heads."""

    vocab: int
    width: int
    mlp_width: int
    layers: int
    heads: int
    kv_heads: int
    max_positions: int
    eps: float = 1e-5
    theta: float = 10000.0

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class DetokenizerConfig:
    """Picture features of width ``source`` to SDXL's conditioning.

    Attributes:
        tokens: conditioning tokens per picture.
        head_width: width of one attention head (``heads * head_width`` need not be ``width``).
        prompt_widths: widths of the two text encoders whose output it stands for.
        pooled_width: width of the pooled vector.
    """

    source: int
    width: int
    depth: int
    heads: int
    head_width: int
    mlp_width: int
    tokens: int
    prompt_widths: tuple[int, int]
    pooled_width: int
    eps: float = 1e-5


@dataclass(frozen=True)
class SeedStoryConfig:
    """All sizes of one world.

    Attributes:
        input_resampler: picture features to the tokens the LLM reads.
        output_resampler: the LLM's hidden states at picture tokens to picture features.
    """

    vision: VisionConfig
    llm: LlmConfig
    input_resampler: ResamplerConfig
    output_resampler: ResamplerConfig
    detokenizer: DetokenizerConfig

    def __post_init__(self) -> None:
        vision, llm, pen = self.vision, self.llm, self.detokenizer
        features, width = vision.pool.width, llm.width
        resamplers = (vision.pool, self.input_resampler, self.output_resampler)
        for name, got, wanted in (
            ("vision.width / heads", vision.width % vision.heads, 0),
            ("a resampler's width / heads", sum(one.width % one.heads for one in resamplers), 0),
            ("detokenizer.width / heads", pen.width % pen.heads, 0),
            ("vision.pool.source", vision.pool.source, vision.width),
            ("llm.width / heads", llm.width % llm.heads, 0),
            ("llm's head_width / 2", llm.head_width % 2, 0),
            ("llm.heads / kv_heads", llm.heads % llm.kv_heads, 0),
            ("input_resampler.source", self.input_resampler.source, features),
            ("input_resampler.width", self.input_resampler.width, width),
            ("output_resampler.source", self.output_resampler.source, width),
            ("output_resampler.width", self.output_resampler.width, features),
            ("output_resampler.grid", self.output_resampler.grid, vision.pool.grid),
            ("detokenizer.source", pen.source, features),
        ):
            if got != wanted:
                raise SeedStoryError(
                    f"The sizes of this world contradict each other: {name} is {got}, the other "
                    f"sizes ask for {wanted}. Get or convert the world again."
                )
        if not 1 <= vision.image_size // vision.patch <= MAX_STRETCH * vision.grid:
            raise SeedStoryError(
                f"The sizes of this world contradict each other: pictures of {vision.image_size} "
                f"pixels have {vision.image_size // vision.patch} patches of {vision.patch} along "
                f"a side; a table of {vision.grid} is for 1 to {MAX_STRETCH * vision.grid}."
            )

    @property
    def image_tokens(self) -> int:
        """Tokens a picture takes in the prompt (64 in the released model)."""
        return self.input_resampler.tokens

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeedStoryConfig:
        """Read the field ``sizes`` of a world.json.

        Raises:
            SeedStoryError: a size is missing, unknown, not positive, or contradicts another.
        """
        given = dict(data)
        unknown = sorted(set(given) - {item.name for item in fields(cls)})
        if unknown:
            raise SeedStoryError(f"Unknown sizes in world.json: {', '.join(unknown)}.")
        vision = dict(_table(given, "vision"))
        vision["pool"] = _read(ResamplerConfig, _table(vision, "pool"), "vision.pool")
        return cls(
            vision=_read(VisionConfig, vision, "vision"),
            llm=_read(LlmConfig, _table(given, "llm"), "llm"),
            input_resampler=_read(
                ResamplerConfig, _table(given, "input_resampler"), "input_resampler"
            ),
            output_resampler=_read(
                ResamplerConfig, _table(given, "output_resampler"), "output_resampler"
            ),
            detokenizer=_read(DetokenizerConfig, _table(given, "detokenizer"), "detokenizer"),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads back to an equal value."""
        data = asdict(self)
        data["detokenizer"]["prompt_widths"] = list(self.detokenizer.prompt_widths)
        return data


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise SeedStoryError(f"world.json sizes need an object {name!r}, got {value!r:.80}.")
    return value


def _read(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """``kind(**data)`` with every number within `LIMITS` or `RANGES`, pairs being two of them."""
    values = dict(data)
    for key, value in values.items():
        name = f"world.json sizes: {where}.{key}"
        if key == "prompt_widths":
            pair = value if isinstance(value, list | tuple) else ()
            if len(pair) != 2:
                raise SeedStoryError(f"{name} must be two whole numbers, got {shown(value)}.")
            values[key] = tuple(whole(part, name, *LIMITS[key]) for part in pair)
        elif key in LIMITS:
            whole(value, name, *LIMITS[key])
        elif key in RANGES:
            values[key] = number(value, name, *RANGES[key])
    try:
        return kind(**values)
    except TypeError as error:
        raise SeedStoryError(f"world.json sizes: {where} has wrong fields: {error}") from error


#: The sizes of the released checkpoints.
OFFICIAL = SeedStoryConfig(
    vision=VisionConfig(
        image_size=448,
        patch=14,
        width=1664,
        layers=48,
        heads=16,
        mlp_width=8192,
        grid=16,
        pool=ResamplerConfig(grid=16, width=4096, source=1664, heads=32, eps=1e-6),
    ),
    llm=LlmConfig(
        vocab=32066,
        width=4096,
        mlp_width=11008,
        layers=32,
        heads=32,
        kv_heads=32,
        max_positions=4096,
    ),
    input_resampler=ResamplerConfig(grid=8, width=4096, source=4096, heads=32),
    output_resampler=ResamplerConfig(grid=16, width=4096, source=4096, heads=32),
    detokenizer=DetokenizerConfig(
        source=4096,
        width=1024,
        depth=4,
        heads=16,
        head_width=64,
        mlp_width=4096,
        tokens=64,
        prompt_widths=(768, 1280),
        pooled_width=1280,
    ),
)

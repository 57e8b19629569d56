"""The autoencoder of drawn worlds: every pixel decodes to one colour of a fixed palette.

A continuous decoder blurs outlines at small sizes; a classifier over the palette cannot blur. The
network works at the world's own size, and pictures outside are each pixel repeated ``enlarge``
times along both axes: encoding shrinks them exactly first, decoding enlarges exactly last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SeedStoryError
from ..ops import torch_ops

KIND = "palette"
NORM_GROUPS = 32
WHITENING_EPS = 1e-6

#: Inclusive limits of the whole numbers of a configuration; larger ones are mistakes or malice.
LIMITS: Mapping[str, tuple[int, int]] = {
    "patch": (1, 32),
    "width": (NORM_GROUPS, 1024),
    "blocks": (0, 16),
    "latent_channels": (1, 64),
    "head_width": (1, 256),
    "enlarge": (1, 32),
}
PALETTE_LIMITS = (2, 256)


@dataclass(frozen=True)
class PaletteVaeConfig:
    """Sizes and colours of a `PaletteVae`; ``painter.vae`` of a world.json.

    Attributes:
        palette: the colours, (red, green, blue) of 0..255 each; a class number is a place in it.
        patch: pixels of the world's own size along the side of one latent.
        width: channels inside; a multiple of 32.
        blocks: residual blocks in the encoder, and as many in the decoder.
        head_width: channels of a pixel before its palette logits.
        enlarge: how often a pixel is repeated along each axis outside.
        rgb_factors: [latent_channels][3], for live previews: latents -> colours of -1..1, linear.
        rgb_bias: [3], added after ``rgb_factors``.

    Raises:
        SeedStoryError: a value is out of bounds.
    """

    palette: tuple[tuple[int, int, int], ...]
    patch: int = 8
    width: int = 192
    blocks: int = 2
    latent_channels: int = 16
    head_width: int = 12
    enlarge: int = 8
    rgb_factors: tuple[tuple[float, ...], ...] = ()
    rgb_bias: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not _whole(value) or not low <= value <= high:
                raise _wrong(name, value, f"a whole number from {low} to {high}")
        if self.width % NORM_GROUPS:
            raise _wrong("width", self.width, f"a multiple of {NORM_GROUPS}")
        low, high = PALETTE_LIMITS
        if not low <= len(self.palette) <= high:
            raise _wrong("palette", f"{len(self.palette)} colours", f"{low} to {high} colours")
        for colour in self.palette:
            if len(colour) != 3 or not all(_whole(c) and 0 <= c <= 255 for c in colour):
                raise _wrong("palette", colour, "three whole numbers from 0 to 255 a colour")
        self._check_preview()

    def _check_preview(self) -> None:
        rows = self.rgb_factors
        if rows and (len(rows) != self.latent_channels or not all(map(_colour, rows))):
            expected = f"{self.latent_channels} rows of three finite numbers, or none"
            raise _wrong("rgb_factors", f"{len(rows)} rows", expected)
        if self.rgb_bias and not _colour(self.rgb_bias):
            raise _wrong("rgb_bias", self.rgb_bias, "three finite numbers, or none")

    @property
    def factor(self) -> int:
        """Pixels outside along the side of one latent."""
        return self.patch * self.enlarge

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PaletteVaeConfig:
        """Read ``painter.vae``; absent sizes take their defaults.

        Raises:
            SeedStoryError: a name is unknown or a value is of the wrong kind or out of bounds.
        """
        data = dict(data)
        for name, expected in (("kind", KIND), ("scaling_factor", 1.0)):
            if data.pop(name, expected) != expected:
                raise _wrong(name, "another value", repr(expected))
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise _wrong(", ".join(map(str, unknown[:5])), "given", "no such setting")
        for name in ("palette", "rgb_factors"):
            rows = data.get(name, [])
            if not _is_list(rows) or not all(map(_is_list, rows)):
                raise _wrong(name, type(rows).__name__, "a list of lists of numbers")
            data[name] = tuple(tuple(row) for row in rows)
        if not _is_list(data.get("rgb_bias", [])):
            raise _wrong("rgb_bias", data["rgb_bias"], "a list of three numbers")
        data["rgb_bias"] = tuple(data.get("rgb_bias", []))
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads back to an equal value."""
        data = {"kind": KIND, **asdict(self), "scaling_factor": 1.0}
        for name in ("palette", "rgb_factors"):
            data[name] = [list(row) for row in data[name]]
        data["rgb_bias"] = list(self.rgb_bias)
        return {name: value for name, value in data.items() if value != []}


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _colour(row: Sequence[object]) -> bool:
    numbers = [v for v in row if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return len(row) == len(numbers) == 3 and all(math.isfinite(v) for v in numbers)


def _wrong(name: str, got: object, expected: str) -> SeedStoryError:
    return SeedStoryError(
        f"The world's palette VAE has {name} = {got!r:.80}; expected {expected}. Get the world "
        "anew, or correct painter.vae in its world.json."
    )


class ResidualBlock(nn.Module):
    """Two normed 3x3 convolutions beside the identity."""

    def __init__(self, width: int, ops: Any = torch_ops) -> None:
        super().__init__()
        self.norm1 = ops.GroupNorm(NORM_GROUPS, width)
        self.conv1 = ops.Conv2d(width, width, 3, padding=1)
        self.norm2 = ops.GroupNorm(NORM_GROUPS, width)
        self.conv2 = ops.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))


class PaletteVae(nn.Module):
    """Pictures <-> latents of unit variance, by classification over a palette.

    Letters: B batch, N colours, H W the world's own size in pixels, h w latents, e ``enlarge``.
    """

    def __init__(self, config: PaletteVaeConfig, ops: Any = torch_ops) -> None:
        super().__init__()
        self.config = config
        width, channels, patch = config.width, config.latent_channels, config.patch
        self.encoder = nn.Sequential(
            ops.Conv2d(3, width, patch, stride=patch),
            *(ResidualBlock(width, ops) for _ in range(config.blocks)),
            ops.Conv2d(width, channels, 1),
        )
        self.whitening = nn.BatchNorm2d(channels, eps=WHITENING_EPS, affine=False)
        self.decoder = nn.Sequential(
            ops.Conv2d(channels, width, 3, padding=1),
            *(ResidualBlock(width, ops) for _ in range(config.blocks)),
            ops.Conv2d(width, patch * patch * config.head_width, 1),
            nn.PixelShuffle(patch),
        )
        self.head = ops.Conv2d(config.head_width, len(config.palette), 1)

    @property
    def factor(self) -> int:
        """Pixels outside along the side of one latent."""
        return self.config.factor

    def encode(self, pixels: Tensor) -> Tensor:
        """Enlarged pictures [B, 3, H*e, W*e] of -1..1 -> latents [B, C, h, w].

        Raises:
            SeedStoryError: a side is no multiple of `factor`.
        """
        height, width = pixels.shape[-2:]
        if not height or not width or height % self.factor or width % self.factor:
            raise SeedStoryError(
                f"A picture of {width} x {height} cannot be encoded: both sides must be multiples "
                f"of {self.factor}. Scale or crop it first."
            )
        enlarge = self.config.enlarge
        # the middle pixel of each block is the block's colour where the enlargement was exact
        native = pixels[..., enlarge // 2 :: enlarge, enlarge // 2 :: enlarge]
        return self.encode_native(native)

    def encode_native(self, pixels: Tensor) -> Tensor:
        """Pictures of the world's own size [B, 3, H, W] of -1..1 -> latents [B, C, h, w].

        In training mode the whitening learns its statistics; otherwise they are fixed.
        """
        raw = self.encoder(pixels.contiguous())  # one memory layout, one order of summing
        if self.training:
            return self.whitening(raw)
        # by hand, since hosts may leave buffers on another device and in another dtype
        statistics = (self.whitening.running_mean, self.whitening.running_var)
        mean, variance = (rearrange(s.float(), "c -> c 1 1") for s in statistics if s is not None)
        unit = (raw.float() - mean.to(raw.device)) * (variance + WHITENING_EPS).rsqrt().to(
            raw.device
        )
        return unit.to(raw.dtype)

    def features(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> what `head` classifies, [B, head_width, H, W]."""
        return self.decoder(latents)

    def logits(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> a score for each colour at each pixel [B, N, H, W]."""
        return self.head(self.features(latents))

    def indices(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> int64 places in the palette [B, H, W]."""
        return self.logits(latents).argmax(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> enlarged pictures [B, 3, H*e, W*e] of -1..1.

        Always fp32, so that the palette's colours come out exactly in every precision.
        """
        indices = self.indices(latents)
        colours = torch.tensor(self.config.palette, device=indices.device) / 127.5 - 1
        enlarge = self.config.enlarge
        pattern = "b h w c -> b c (h e1) (w e2)"
        return repeat(colours[indices], pattern, e1=enlarge, e2=enlarge)

"""The only place where pictures change layout, range or size; `picture_files` opens them.

A picture inside the library is uint8 [H, W, 3], RGB, on the CPU. Hosts bring float [B, H, W, C] in
0..1, files bring anything Pillow reads, models want [B, 3, H, W]. Transparent pictures are laid on
white: it is the paper of a picture book, and what users see in most viewers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import gcd

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from .errors import SeedStoryError
from .picture_files import MAX_FILE, check_pixels, decode_picture, from_pil, read_picture
from .types import to_uint8

__all__ = [
    "MAX_FILE",
    "check_picture",
    "check_pixels",
    "clip_input",
    "contain",
    "decode_picture",
    "encode_png",
    "enlarge",
    "from_float",
    "from_pil",
    "from_vae",
    "pixel_size",
    "read_picture",
    "scale_to_fit",
    "to_float",
    "to_pil",
    "to_vae",
]

ROWS = 256  # rows converted at once, which bounds the memory of float copies
PNG_LEVEL = 4  # zlib level: half the time of Pillow's default for 4 % more bytes

# CLIP's statistics, which Qwen's visual tokenizer uses (configs/processer/qwen_448_transform.yaml).
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def check_picture(image: Tensor, what: str = "picture") -> Tensor:
    """``image`` itself if it is uint8 [H, W, 3] and not empty, else an error."""
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.numel():
        raise SeedStoryError(
            f"The {what} must be uint8 [height, width, 3] with at least one pixel, got "
            f"{image.dtype} {list(image.shape)}."
        )
    check_pixels(image.shape[1], image.shape[0], what)
    return image


def to_pil(image: Tensor) -> Image.Image:
    """uint8 [H, W, 3] -> Pillow RGB."""
    return Image.fromarray(check_picture(image).cpu().numpy())


def encode_png(image: Tensor) -> bytes:
    """uint8 [H, W, 3] -> PNG bytes; decoding gives the same pixels."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def from_float(images: Tensor) -> list[Tensor]:
    """float [B, H, W, C] or [H, W, C] in 0..1 (C = 1, 3 or 4) -> uint8 [H, W, 3] each.

    Values beyond 0..1 are cut, alpha is laid on white, grey becomes RGB.

    Raises:
        SeedStoryError: another shape, an empty batch, NaN or infinite pixels.
    """
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[-1] not in (1, 3, 4) or not batch.numel():
        raise SeedStoryError(
            "Expected pictures as [batch, height, width, channels] with 1, 3 or 4 channels and at "
            f"least one pixel, got {list(images.shape)}."
        )
    check_pixels(batch.shape[2], batch.shape[1])
    return [_rgb_bytes(image) for image in batch]


def _rgb_bytes(image: Tensor) -> Tensor:
    height, width, _ = image.shape
    out = torch.empty(height, width, 3, dtype=torch.uint8)
    for top in range(0, height, ROWS):  # bounded float copies, however large the picture
        rows = image[top : top + ROWS]
        if rows.is_floating_point() and not rows.isfinite().all():
            raise SeedStoryError(
                "The picture has pixels that are not numbers (NaN or infinite); the step that made "
                "it failed. With fp16 VAEs, try the fp32 or bf16 setting."
            )
        if image.shape[-1] == 4:
            unit = (rows.float() / (255 if rows.dtype == torch.uint8 else 1)).clamp(0, 1)
            rows = unit[..., :3] * unit[..., 3:] + (1 - unit[..., 3:])
        out[top : top + ROWS] = to_uint8(rows).expand(-1, -1, 3)
    return out


def to_float(images: Sequence[Tensor]) -> Tensor:
    """uint8 [H, W, 3] each -> float [B, H, W, 3] in 0..1.

    Pictures of other sizes are scaled into the size of the last one and centred on white, since a
    batch has one size and the last picture of a story is a painted one.
    """
    if not images:
        raise SeedStoryError("There is no picture to make a batch of.")
    height, width = images[-1].shape[:2]
    return torch.stack([contain(image, width, height).float() / 255 for image in images])


def contain(image: Tensor, width: int, height: int) -> Tensor:
    """The whole picture centred on a white ``width`` x ``height``; untouched if so sized."""
    if image.shape[:2] == (height, width):
        return image
    picture = scale_to_fit(to_pil(image), width, height)
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return from_pil(sheet)


def scale_to_fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Largest version of ``image`` within the box, its aspect kept.

    An exact enlargement of a smaller picture (see `pixel_size`) is shown at the largest whole
    multiple of that smaller one. Other pictures that go twice or more into the box grow by a whole
    factor, pixel for pixel, since small pictures are mostly pixel art; others are resampled.
    """
    square = pixel_size(from_pil(image)) if image.mode == "RGB" else 1
    scale = min(width / image.width, height / image.height)
    if int(scale * square) >= (1 if square > 1 else 2):
        times = int(scale * square) if square > 1 else int(scale)
        small = (image.width // square, image.height // square)
        # the middle of each square is its colour, so that nearest shrinks and grows exactly
        return image.resize((small[0] * times, small[1] * times), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def pixel_size(image: Tensor) -> int:
    """How many times uint8 [H, W, 3] is exactly enlarged: the side of its squares of one colour.

    1 for most pictures; 8 for a picture of 64 pixels shown at 512.
    """
    height, width = image.shape[:2]
    side = gcd(height, width)
    for top in range(0, height, ROWS):
        if side == 1:
            return 1
        rows = image[max(0, top - 1) : top + ROWS]
        down = (rows[1:] != rows[:-1]).any((1, 2)).nonzero()[:, 0] + max(1, top)
        across = (rows[:, 1:] != rows[:, :-1]).any((0, 2)).nonzero()[:, 0] + 1
        side = gcd(side, *down.tolist(), *across.tolist())
    return side


def enlarge(image: Tensor, factor: int) -> Tensor:
    """uint8 [H, W, 3] -> [H f, W f, 3]: every pixel a square of ``factor`` pixels."""
    if factor < 1:
        raise SeedStoryError(f"A picture can be enlarged by 1, 2, 3... times, not {factor}.")
    check_pixels(image.shape[1] * factor, image.shape[0] * factor)
    return image.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


def clip_input(images: Sequence[Tensor], size: int) -> Tensor:
    """uint8 [H, W, 3] each -> fp32 [B, 3, size, size] as the visual tokenizer reads them.

    Squashed to a square by Pillow's antialiased bilinear filter and normalised, exactly as the
    reference does (src/processer/transforms.py:14, keep_ratio False; SPEC quirk 19).
    """
    if not images:
        raise SeedStoryError("There is no picture to encode.")
    squares = [to_pil(image).resize((size, size), Image.Resampling.BILINEAR) for image in images]
    pixels = torch.from_numpy(np.stack([np.asarray(square) for square in squares]))
    unit = (pixels.float() / 255 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    return rearrange(unit, "B H W C -> B C H W").contiguous()


def from_vae(pixels: Tensor) -> list[Tensor]:
    """What a VAE decodes, float [B, 3, H, W] in -1..1 -> uint8 [H, W, 3] each."""
    return from_float(rearrange(pixels.float().cpu() / 2 + 0.5, "B C H W -> B H W C"))


def to_vae(images: Sequence[Tensor]) -> Tensor:
    """uint8 [H, W, 3] each, of one size -> float [B, 3, H, W] in -1..1."""
    return rearrange(torch.stack(list(images)).float() / 127.5 - 1, "B H W C -> B C H W")

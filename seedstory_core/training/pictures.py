"""All pictures of a split at one small size, read once into a memory-mapped cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from einops import repeat
from numpy.lib.format import open_memmap
from PIL import Image

from ..errors import SeedStoryError
from ..files import atomic_path, require_space
from ..images import read_picture
from .data import Stories
from .stage import Progress, quiet

Pixels = np.ndarray  # uint8 [N, S, S, 3]


def load_pictures(stories: Stories, size: int, cache: Path, progress: Progress = quiet) -> Pixels:
    """uint8 [N, size, size, 3] of all panels, mapped from ``cache`` and made there if need be.

    Raises:
        SeedStoryError: a picture is missing or damaged, or the disk is full.
    """
    digest = hashlib.sha256(str(size).encode())
    for path in stories.paths:
        try:
            found = path.stat()
        except OSError as error:
            raise SeedStoryError(
                f"The picture {path} of split {stories.name!r} is missing."
            ) from error
        digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    target = cache / f"pictures-{stories.name}-{size}-{digest.hexdigest()[:16]}.npy"
    if not target.is_file():
        _make(stories, size, target, progress)
    return np.load(target, mmap_mode="r")


def _make(stories: Stories, size: int, target: Path, progress: Progress) -> None:
    shape = (len(stories), size, size, 3)
    require_space(target.parent, int(np.prod(shape)), "The cache of pictures")
    with atomic_path(target) as beside:
        rows = open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        for index, path in enumerate(stories.paths):
            rows[index] = to_native(read_picture(path).numpy(), size)
            if index % 256 == 0:
                progress(index, len(stories), f"reading pictures ({stories.name})")
        rows.flush()
        del rows


def to_native(picture: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] -> [size, size, 3].

    An exact enlargement (every pixel a square) is taken back exactly; another picture is squashed
    to the square by Pillow's antialiased bicubic filter.
    """
    height, width, _ = picture.shape
    factor = height // size
    if height == width == size * factor:
        small = picture[::factor, ::factor]
        wide = repeat(small, "h w c -> (h f) (w g) c", f=factor, g=factor)
        if np.array_equal(wide, picture):
            return small
    image = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def vision_pixels(pictures: np.ndarray, enlarge: int, size: int) -> np.ndarray:
    """What the visual tokenizer sees of pictures that are shown ``enlarge`` times larger.

    Args:
        pictures: uint8 [B, S, S, 3].
        size: side of the tokenizer's input.

    Returns:
        uint8 [B, size, size, 3], equal to what `images.clip_input` normalises.
    """
    if enlarge == 1 and pictures.shape[1] == size:
        return pictures
    if enlarge % 2 == 0 and pictures.shape[1] == size:
        # Shrinking squares of an even side by the triangle filter weighs each pixel's own square
        # with 3/4 and its neighbours' with 1/8; Pillow rounds after each axis.
        return _smooth(_smooth(pictures, axis=2), axis=1)
    wide = repeat(pictures, "b h w c -> b (h f) (w g) c", f=enlarge, g=enlarge)
    shrunk = [Image.fromarray(one).resize((size, size), Image.Resampling.BILINEAR) for one in wide]
    return np.stack([np.asarray(one) for one in shrunk])


def _smooth(pictures: np.ndarray, axis: int) -> np.ndarray:
    rows = np.moveaxis(pictures, axis, 0).astype(np.uint16)
    out = rows * 6
    out[1:] += rows[:-1]
    out[:-1] += rows[1:]
    smooth = (out + 4) // 8
    smooth[0] = (out[0] * 2 + 7) // 14  # the border has one neighbour: weights 6/7 and 1/7
    smooth[-1] = (out[-1] * 2 + 7) // 14
    return np.moveaxis(smooth.astype(np.uint8), 0, axis)

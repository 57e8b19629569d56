"""The only place where picture files are opened: which formats, how large, at what cost.

Pillow knows formats whose decoders start other programs (PostScript starts Ghostscript) or that no
story needs, so every opening names its formats. A picture costs memory by its own size, at most
about three times its RGB pixels and once its file: only the first frame is decoded, what is no
pixel is left out beforehand (`picture_headers`), and what Pillow decoded is converted in strips.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import SeedStoryError
from .picture_headers import MAX_SCANS, SCANNED, Bare, bare, exif_orientation

#: Formats that are read, by Pillow's names. A story file holds PNG only.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
PNG_ONLY = ("PNG",)

MAX_PIXELS = 128_000_000  # 8000 x 8000 is 64 million; more than this is a mistake or a bomb
MAX_SIDE = 1 << 16  # pixels; rows are converted one by one at least
MAX_FILE = 512 << 20  # bytes
STRIP = 1 << 18  # pixels converted at once, which bounds the memory of copies
#: WebP's decoder holds the picture three times with alpha before Pillow has it once: more than
#: twice what the others take, so that its largest picture is smaller.
MAX_WEBP = 36_000_000  # pixels
MAX_RUNS = 4 << 20  # bytes of a BMP that is packed by runs, which Pillow unpacks in Python
PACKED = 5  # bytes a pixel that one strip of a TIFF unpacks to, which are there beside the picture
MAX_PACKED = 256 << 20  # ... or this many bytes: pictures of 16 bits a colour take six a pixel

_WIDE = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # modes of more than 8 bits
_CLEAR = ("RGBA", "LA", "PA", "La", "RGBa")  # modes with transparency
#: What Pillow's decoders raise at files that are not as they expect.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
#: How pixels [H, W, 3] are turned upright, by EXIF's number.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def check_pixels(width: int, height: int, what: str = "picture") -> None:
    """Refuse sizes that no story needs and no memory holds."""
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise SeedStoryError(
            f"The {what} has {width} x {height} pixels; it must have at least one and at most "
            f"{MAX_PIXELS // 1_000_000} million. Scale it down first."
        )


def read_picture(path: Path) -> Tensor:
    """A picture file of the user's -> uint8 [H, W, 3]; upright by its EXIF data, laid on white.

    Raises:
        SeedStoryError: no such file, none of `FORMATS`, a damaged one, or a decompression bomb.
    """
    try:
        if not path.is_file():
            raise SeedStoryError(f"There is no picture at {path}. Check the path.")
        with path.open("rb") as file:
            return _decode(file, str(path), FORMATS)
    except SeedStoryError:
        raise
    except (OSError, ValueError) as error:
        raise SeedStoryError(f"The picture {str(path)[:99]!r} cannot be read ({error}).") from error


def decode_picture(
    data: bytes, source: str = "the data", formats: Sequence[str] = FORMATS
) -> Tensor:
    """The bytes of a picture file of ``formats`` -> uint8 [H, W, 3]; errors as `read_picture`."""
    return _decode(io.BytesIO(data), source, formats)


def _decode(file: IO[bytes], source: str, formats: Sequence[str]) -> Tensor:
    if file.seek(0, os.SEEK_END) > MAX_FILE:
        raise SeedStoryError(
            f"{source} is larger than {MAX_FILE >> 20} MB; that is no story picture."
        )
    try:
        with warnings.catch_warnings():  # the size is checked before a pixel is decoded
            warnings.simplefilter("ignore")
            found = bare(file)
            with Image.open(found.file, formats=formats) as image:  # type: ignore[arg-type]
                _check_cost(image, found, source)
                turn = _TURNS.get(_orientation(image, found))
                pixels = _pixels(image)
    except SeedStoryError:
        raise
    except Image.DecompressionBombError as error:
        raise SeedStoryError(f"The picture {source} is too large: {error}") from error
    except MemoryError as error:
        raise SeedStoryError(
            f"There is too little memory for the picture {source}. Scale it down first."
        ) from error
    except _BROKEN as error:
        raise SeedStoryError(
            f"{source} is not a picture that can be read, or is damaged ({_words(error):.300}). "
            f"Expected a whole {_listed(formats)} file."
        ) from error
    return torch.from_numpy(np.ascontiguousarray(turn(pixels)) if turn else pixels)


def _orientation(image: Image.Image, found: Bare) -> int:
    """The header's, or that of a WebP file, whose EXIF data Pillow hands out unread."""
    exif = image.info.get("exif", b"") if image.format == "WEBP" else b""
    return exif_orientation(exif.removeprefix(b"Exif\0\0")) if exif else found.orientation


def _words(error: BaseException) -> str:
    """What Pillow says, without the name of an object in memory."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "it begins like no such file"
    return f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)


def _listed(formats: Sequence[str]) -> str:
    names = ["WebP" if name == "WEBP" else name for name in formats]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _check_cost(image: Image.Image, found: Bare, source: str) -> None:
    """Refuse, by its header alone, a picture whose decoding takes more than its size is worth."""
    width, height = image.size
    check_pixels(width, height, f"picture {source}")
    reason = ""
    if max(width, height) > MAX_SIDE:
        reason = f"it is {width} x {height} pixels, and no side may be longer than {MAX_SIDE}"
    elif image.format == "WEBP" and width * height > MAX_WEBP:
        reason = f"a WebP picture has at most {MAX_WEBP // 1_000_000} million pixels"
    elif found.scans > max(2, min(MAX_SCANS, SCANNED // (width * height))):
        reason = f"its pixels come in {found.scans} scans, each over the whole picture"
    elif image.format == "BMP" and _decoder(image) == "bmp_rle" and _size(found) > MAX_RUNS:
        reason = f"it is packed by runs and larger than {MAX_RUNS >> 20} MB"
    elif image.format == "TIFF" and _packed(image) > max(PACKED * width * height, MAX_PACKED):
        reason = "it is packed in parts that are larger than the picture"
    if reason:
        raise SeedStoryError(
            f"The picture {source} is not read: {reason}. Save it as PNG, or scale it down first."
        )


def _decoder(image: Image.Image) -> str:
    tiles = getattr(image, "tile", ())
    return tiles[0][0] if tiles else ""


def _size(found: Bare) -> int:
    return found.file.seek(0, os.SEEK_END)


def _packed(image: Image.Image) -> int:
    """Bytes that the decoder of a TIFF unpacks at once: one strip or tile."""
    if _decoder(image) != "libtiff":
        return 0
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(258, 1)
    depth = sum(bits) if isinstance(bits, tuple) else bits * tags.get(277, 1)
    if 322 in tags or 323 in tags:
        columns, rows = tags.get(322, image.width), tags.get(323, image.height)
    else:
        columns, rows = image.width, min(tags.get(278, image.height), image.height)
    return columns * rows * depth // 8


def from_pil(image: Image.Image) -> Tensor:
    """Any Pillow picture -> uint8 [H, W, 3], laid on white."""
    check_pixels(*image.size)
    return torch.from_numpy(_pixels(image))


def _pixels(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3] of any Pillow picture, with copies of a strip at a time."""
    image.load()
    check_pixels(*image.size)  # some formats know their size only now
    out = np.empty((image.height, image.width, 3), np.uint8)
    top = _brightest(image) if image.mode in _WIDE else 0.0
    for row, strip in _strips(image):
        grey = _eight_bits(strip, top) if strip.mode in _WIDE else strip
        out[row : row + strip.height] = np.asarray(_on_white(grey))
    return out


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Parts of the picture over its whole width, from the top, each with its first row."""
    rows = max(1, STRIP // image.width)
    for row in range(0, image.height, rows):
        yield row, image.crop((0, row, image.width, min(row + rows, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in _CLEAR or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGBA", rgba.size, "white")
        image.alpha_composite(rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def _brightest(image: Image.Image) -> float:
    """What is white: 65535 for 16-bit greyscale, the largest value of wider integers and floats."""
    top = -np.inf
    for _, strip in _strips(image):
        values = np.asarray(strip)
        if not np.isfinite(values).all():
            raise SeedStoryError("The picture has pixels that are not numbers (NaN or infinite).")
        top = max(top, float(values.max()))
    return 65535.0 if image.mode.startswith("I") and top <= 65535 else top


def _eight_bits(image: Image.Image, top: float) -> Image.Image:
    """Values from 0 to ``top`` -> 8 bits."""
    values = np.asarray(image).astype(np.float64)
    scaled = values.clip(0) * (255.0 / top if top > 0 else 0.0)
    return Image.fromarray(scaled.round().astype(np.uint8))

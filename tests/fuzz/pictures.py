"""Pictures: PNGs of odd chunks, and damaged files of every format that Pillow writes."""

from __future__ import annotations

import io
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image

from .damage import NUMBERS, damaged, noise

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: What Pillow writes of a small picture, and by which options.
FORMS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "P", {}), ("PNG", "L", {}),
    ("PNG", "I;16", {}), ("PNG", "1", {}), ("PNG", "LA", {}), ("JPEG", "RGB", {}),
    ("JPEG", "CMYK", {}), ("JPEG", "L", {"progressive": True}), ("GIF", "P", {}),
    ("BMP", "RGB", {}), ("BMP", "1", {}), ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}), ("TIFF", "RGB", {}),
    ("TIFF", "F", {"compression": "tiff_deflate"}), ("TIFF", "I", {}), ("TIFF", "CMYK", {}),
    ("TIFF", "RGB", {"compression": "jpeg"}), ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "LAB", {}), ("TIFF", "YCbCr", {}),
    ("EPS", "RGB", {}), ("PDF", "RGB", {}), ("PPM", "RGB", {}), ("ICO", "RGBA", {}),
    ("TGA", "RGB", {}), ("PCX", "RGB", {}), ("SGI", "RGB", {}), ("DDS", "RGB", {}),
    ("ICNS", "RGBA", {}), ("IM", "RGB", {}), ("MSP", "1", {}), ("XBM", "1", {}),
    ("SPIDER", "F", {}), ("JPEG2000", "RGB", {}), ("AVIF", "RGB", {}), ("BLP", "P", {}),
    ("QOI", "RGB", {}),
)  # fmt: skip
_CHUNKS = (
    b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"tRNS", b"PLTE", b"IDAT", b"IHDR", b"IEND",
    b"acTL", b"fcTL", b"fdAT", b"gAMA", b"pHYs", b"stRy", b"sRGB", b"CgBI", b"abcd", b"\0\0\0\0"
)  # fmt: skip


@lru_cache(maxsize=1)
def sound() -> tuple[bytes, ...]:
    """A small picture of every form that this Pillow writes."""
    base = Image.new("RGB", (14, 9))
    base.putdata([(x * 17 % 256, y * 29 % 256, (x * y) % 256) for y in range(9) for x in range(14)])
    made = []
    for form, mode, options in FORMS:
        buffer = io.BytesIO()
        try:
            picture = (
                Image.new(mode, (14, 9)) if mode in ("I;16", "LAB", "F") else base.convert(mode)
            )
            picture.save(buffer, form, **options)
        except (KeyError, OSError, ValueError):
            continue  # this Pillow cannot; others can
        made.append(buffer.getvalue())
    return tuple(made)


def chunk(kind: bytes, data: bytes, honest: bool = True) -> bytes:
    """One chunk of a PNG."""
    check = zlib.crc32(kind + data) if honest else 0xDEADBEEF
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and data of each chunk of a sound PNG."""
    found, at = [], len(SIGNATURE)
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def header(rng: random.Random) -> bytes:
    """IHDR of any size and kind."""
    sides = (0, 1, 9, 14, 300, 9000, 30_000, 65_535, 1 << 20, (1 << 31) - 1, 1 << 31)
    width, height = rng.choice(sides), rng.choice(sides)
    depth = rng.choice((1, 2, 4, 8, 16, 0, 3, 255))
    colour = rng.choice((0, 2, 3, 4, 6, 1, 7))
    return struct.pack(">IIBBBBB", width, height, depth, colour, rng.choice((0, 0, 0, 1)), 0,
                       rng.choice((0, 0, 1, 2)))  # fmt: skip


def stuffing(rng: random.Random) -> bytes:
    """Data of a chunk that nobody expects."""
    bomb = zlib.compress(bytes(rng.choice((1 << 12, 1 << 20, 1 << 23))), 9)
    keyword = rng.choice((b"prompt", b"workflow", b"", b"Comment", b"a" * 90, b"\xff"))
    return rng.choice((
        noise(rng), b"", bomb, keyword + b"\0\0" + bomb, keyword + b"\0" + noise(rng),
        keyword + b"\0\1\0en\0\0" + bomb, keyword + b"\0" + b"{" * 5000, exif(rng),
        struct.pack(">II", rng.choice(NUMBERS), rng.choice(NUMBERS)), bytes(26),
    ))  # fmt: skip


def exif(rng: random.Random) -> bytes:
    """EXIF data with any orientation, or another tag that lies."""
    tag, kind = (
        rng.choice((0x112, 0x112, 0x8769, 0x8825, 0x10F)),
        rng.choice((1, 2, 3, 3, 4, 5, 12, 99)),
    )
    count, word = rng.choice((1, 1, 0, 9999, 0xFFFFFFFF)), rng.choice((*range(10), 8, 26, *NUMBERS))
    entry = struct.pack("<HHII", tag, kind, count, word & 0xFFFFFFFF)
    head = (
        rng.choice((b"", b"Exif\0\0"))
        + b"II*\0\x08\0\0\0"
        + struct.pack("<H", rng.choice((1, 1, 2, 999)))
    )
    return head + entry + rng.choice((b"\0\0\0\0", b"\x08\0\0\0", b""))


def png(rng: random.Random, parts: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, some of them changed."""
    parts = list(parts)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(parts)) if parts else 0
        roll = rng.randrange(9)
        if roll == 0:
            parts[at : at + 1] = []
        elif roll == 1:
            parts.insert(at, rng.choice(parts or [(b"IEND", b"")]))
        elif roll == 2:
            rng.shuffle(parts)
        elif roll == 3 and parts:
            parts[0] = (b"IHDR", header(rng))
        elif roll in (4, 5) and parts:
            parts[at] = (parts[at][0], damaged(rng, parts[at][1]))
        elif roll == 6 and parts:
            parts[at] = (rng.choice(_CHUNKS), parts[at][1])
        else:
            parts.insert(rng.randrange(len(parts) + 1), (rng.choice(_CHUNKS), stuffing(rng)))
    made = SIGNATURE + b"".join(chunk(k, d, rng.random() < 0.98) for k, d in parts)
    return made if rng.random() < 0.85 else damaged(rng, made)


def picture(rng: random.Random) -> bytes:
    """A picture file of any format, mostly damaged."""
    some, roll = sound(), rng.random()
    if roll < 0.3:
        return png(rng, chunks(some[rng.randrange(5)]))
    if roll < 0.4:
        return some[rng.randrange(len(some))]
    if roll < 0.97:
        return damaged(rng, some[rng.randrange(len(some))], some)
    return noise(rng)

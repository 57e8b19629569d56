"""Picture files of strangers: only the promised formats, at a cost that fits the picture."""

from __future__ import annotations

import ast
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from support import source
from support.measured import Cost, cost, linux

from seedstory_core.errors import SeedStoryError
from seedstory_core.picture_files import FORMATS, PNG_ONLY, decode_picture, read_picture
from seedstory_core.picture_headers import Damaged, Spliced, bare

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
SIDE = 3000  # large enough that what a picture takes is more than what Pillow's code does
#: Bytes a pixel: three times RGB. WebP's decoder alone has three copies with alpha.
MOST, MOST_WEBP = 9.0, 16.5


def saved(picture: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()


def noise(width: int = 7, height: int = 5) -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def others() -> dict[str, bytes]:
    """A file of every format that Pillow writes, beside those that are promised."""
    Image.init()
    found = {"EPS": EPS, "PS with a preview": b"\xc5\xd0\xd3\xc6" + bytes(28) + EPS}
    for kind in sorted(set(Image.SAVE) - {*FORMATS, "MPO", "PDF", "DIB"}):
        for mode in ("RGB", "L", "1", "RGBA", "P"):
            try:
                found[kind] = saved(noise().convert(mode), kind)
                break
            except (OSError, ValueError, KeyError, AttributeError, RuntimeError):
                continue
    return found


OTHERS = others()


@pytest.fixture()
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that decoders start, as files that leave a mark; the file of marks."""
    marks = tmp_path / "started"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "gswin32c", "gswin64c", "jbig2dec", "djpeg", "cjpeg", "convert"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} >> "{marks}"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return marks


def test_formats_that_are_not_promised_are_refused(tmp_path: Path, stand_ins: Path) -> None:
    assert len(OTHERS) > 8, "Pillow writes more than the promised ones"
    for kind, data in OTHERS.items():
        (tmp_path / "picture.png").write_bytes(data)
        with pytest.raises(SeedStoryError, match="Expected a whole PNG, JPEG, WebP, BMP"):
            read_picture(tmp_path / "picture.png")
        with pytest.raises(SeedStoryError, match="Expected a whole PNG file"):
            decode_picture(data, kind, PNG_ONLY)
    assert not stand_ins.exists()


def test_the_promised_formats_are_read_and_a_story_takes_png_only() -> None:
    for kind in FORMATS:
        data = saved(noise(), kind)
        assert decode_picture(data).shape == (5, 7, 3)
        if kind != "PNG":
            with pytest.raises(SeedStoryError, match="Expected a whole PNG file"):
                decode_picture(data, "a panel", PNG_ONLY)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_every_turn_of_exif_is_as_pillow_turns(kind: str) -> None:
    how = {"lossless": True} if kind == "WEBP" else {}
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        data = saved(noise(), kind, exif=exif, **how)
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        assert np.array_equal(decode_picture(data).numpy(), expected), f"{kind} {turn}"


MODES = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("TIFF", m, {"compression": "tiff_deflate"}) for m in ("1", "RGB", "CMYK", "I", "F")),
    ("TIFF", "RGBA", {"compression": "tiff_lzw", "tiffinfo": {278: SIDE}}),  # in one strip
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
]


@linux
@pytest.mark.parametrize(("kind", "mode", "how"), MODES)
def test_a_picture_takes_three_times_its_rgb(kind: str, mode: str, how: dict) -> None:
    data = saved(Image.new(mode, (SIDE, SIDE)), kind, **how)
    took = cost(lambda: decode_picture(data).shape)
    assert took.end == "read", took
    most = MOST_WEBP if kind == "WEBP" else MOST
    # 12 MB: a strip and its copies, which do not grow with the picture
    assert took.megabytes < most * SIDE * SIDE / (1 << 20) + 12, took


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes) -> bytes:
    """A sound small PNG with more chunks before its pixels."""
    data = saved(noise(), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def tiff_of(entries: list[tuple[int, int, int, int]], behind: bytes = b"") -> bytes:
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + table + bytes(4) + behind


def exif_of(count: int, size: int) -> bytes:
    """EXIF data of ``count`` tags that all name the same ``size`` bytes."""
    return tiff_of([(40000 + n % 1000, 7, size, 20) for n in range(count)], bytes(size))


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    data = saved(noise(), "JPEG")
    more = b"".join(
        bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body for kind, body in segments
    )
    return data[:2] + more + data[2:]


def gif_with(more: bytes) -> bytes:
    data = saved(noise().convert("P"), "GIF")
    at = data.index(b"\x2c")
    return data[:at] + more + data[at:]


def webp_of(frames: int) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (n % 256, n // 256, 0)) for n in range(frames)]
    return saved(pictures[0], "WEBP", save_all=True, append_images=pictures[1:])


def webp_that_says(side: int) -> bytes:
    """A small WebP whose header has another size."""
    data = saved(Image.new("RGB", (16, 16)), "WEBP", lossless=True)
    at = data.index(b"VP8L") + 9
    return data[:at] + struct.pack("<I", side - 1 | side - 1 << 14) + data[at + 4 :]


def apng_of(frames: int) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (n % 256, n // 256, 0)) for n in range(frames)]
    return saved(pictures[0], "PNG", save_all=True, append_images=pictures[1:])


def scans(count: int) -> bytes:
    """A JPEG of 3000 x 3000 whose last scan comes again and again."""
    data = saved(Image.new("L", (SIDE, SIDE)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def tiff_tile(side: int) -> bytes:
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    entries += [
        (277, 3, 1, 1),
        (322, 4, 1, side),
        (323, 4, 1, side),
        (324, 4, 1, 8),
        (325, 4, 1, 9),
    ]
    return tiff_of(entries)


ZEROS = zlib.compress(bytes(60 << 20), 9)
#: Small files that cost their readers hundreds of times their size, or seconds.
COSTLY: dict[str, Callable[[], bytes]] = {
    "zTXt that unpacks a thousandfold": lambda: png_with(
        *(chunk(b"zTXt", b"a%d\0\0" % n + ZEROS) for n in range(20))
    ),
    "iTXt that unpacks a thousandfold": lambda: png_with(
        *(chunk(b"iTXt", b"a\0\1\0\0\0" + ZEROS) for _ in range(20))
    ),
    "a profile that unpacks a thousandfold": lambda: png_with(chunk(b"iCCP", b"a\0\0" + ZEROS)),
    "a million chunks": lambda: png_with(chunk(b"prIv", b"") * 700_000),
    "a million pieces of pixels": lambda: (
        png_with()[:33] + chunk(b"IDAT", b"") * 700_000 + png_with()[33:]
    ),
    "EXIF whose tags share their bytes": lambda: jpeg_with(
        (0xE1, b"Exif\0\0" + exif_of(2000, 40_000))
    ),
    "the same in a PNG": lambda: png_with(chunk(b"eXIf", exif_of(60_000, 700_000))),
    "the same in a TIFF": lambda: tiff_of(
        [(256, 4, 1, 8), (257, 4, 1, 8), *((700, 1, 700_000, 8) for _ in range(60_000))],
        bytes(700_000),
    ),
    "pictures of several, as cameras write them": lambda: jpeg_with(
        (0xE2, b"MPF\0" + exif_of(2000, 40_000))
    ),
    "a million segments": lambda: jpeg_with(*((0xE9, b"") for _ in range(1_000_000))),
    "a million bytes that fill": lambda: b"\xff\xd8" + b"\xff" * 8_000_000,
    "a thousand scans": lambda: scans(1000),
    "comments of a GIF joined one by one": lambda: gif_with(b"\x21\xfe\x01a\0" * 1_000_000),
    "one comment of a million blocks": lambda: gif_with(b"\x21\xfe" + b"\x01a" * 2_000_000 + b"\0"),
    "a tag of two million places": lambda: tiff_of(
        [(256, 4, 1, 8), (257, 4, 1, 8), (273, 4, 2_000_000, 8)], bytes(8_000_000)
    ),
    "one tile for a continent": lambda: tiff_tile(60_000),
    "frames of a WebP": lambda: webp_of(600),
    "frames of a PNG": lambda: apng_of(600),
    "a long thin line": lambda: saved(Image.new("1", (100_000_000, 1)), "PNG"),
    "a tall thin line": lambda: saved(Image.new("1", (1, 1_000_000)), "PNG"),
    "a WebP larger than it may be": lambda: webp_that_says(8000),
    "a BMP of runs": lambda: (
        saved(noise(), "BMP")[:14]
        + struct.pack("<IiiHHIIiiII", 40, 4000, 4000, 1, 8, 1, 0, 0, 0, 256, 0)
        + bytes(1024)
        + b"\x01\x00" * 4_000_000
    ),
}


@linux
@pytest.mark.parametrize("name", COSTLY)
def test_small_files_cost_little(name: str) -> None:
    data = COSTLY[name]()
    took = cost(lambda: decode_picture(data).shape)
    assert took.end in ("read", "refused"), took
    # all of them are less than 25 MB and at most 17 million pixels: three copies are far below
    assert took.megabytes < 100 and took.seconds < 2, took


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_pictures_are_read_or_refused(data: st.DataObject) -> None:
    """Whatever is cut out, turned over or doubled in a sound file."""
    kind = data.draw(st.sampled_from(FORMATS))
    mode = data.draw(st.sampled_from(("RGB", "L", "P", "1")))
    picture = noise(40, 30).convert("RGB" if kind == "WEBP" or mode == "1" == kind else mode)
    picture = picture.convert("L") if kind == "JPEG" and mode in ("P", "1") else picture
    broken = bytearray(saved(picture, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        size = data.draw(st.integers(1, 40))
        piece = broken[at : at + size]
        how = data.draw(st.sampled_from(("cut", "double", "turn", "other")))
        new = {"cut": b"", "double": piece * 2, "turn": bytes(255 - b for b in piece)}.get(how)
        broken[at : at + size] = data.draw(st.binary(max_size=size)) if new is None else new
        if not broken:
            break
    try:
        found = decode_picture(bytes(broken), "a picture")
    except SeedStoryError as error:
        assert len(str(error)) < 1000
    else:
        assert found.ndim == 3 and found.shape[-1] == 3


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_behind_a_mark_are_read_or_refused(tail: bytes) -> None:
    for mark in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF89a", b"II*\0", b"MM\0*", b"BM", b"RIFF"):
        try:
            decode_picture(mark + tail)
        except SeedStoryError:
            continue


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50), st.data())
@settings(max_examples=60, deadline=None)
def test_a_spliced_file_is_a_file(
    head: bytes, body: bytes, tail: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(body)))
    whole = io.BytesIO(head + body[start:] + tail)
    spliced = Spliced(head, io.BytesIO(body), start, len(body), tail)
    for _ in range(6):
        at, size = data.draw(st.integers(0, 160)), data.draw(st.integers(-1, 160))
        whence = data.draw(st.sampled_from((os.SEEK_SET, os.SEEK_END)))
        place = -min(at, spliced.size) if whence == os.SEEK_END else at
        assert spliced.seek(place, whence) == whole.seek(place, whence)
        assert spliced.read(size) == whole.read(size) and spliced.tell() == whole.tell()


def test_headers_without_end_are_damaged() -> None:
    for data in (b"\xff\xd8\xff", b"GIF89a", b"II*\0\x08", b"\x89PNG\r\n\x1a\n" + bytes(3)):
        with pytest.raises(Damaged):
            bare(io.BytesIO(data))


def test_pictures_are_opened_in_one_place_which_names_formats() -> None:
    """No decoder of Pillow's other formats is reached from anywhere in the library."""
    places = []
    for path in source.modules("seedstory_core/", "nodes/"):
        for node in ast.walk(source.parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                places.append((path, [word.arg for word in node.keywords]))
    assert places == [("seedstory_core/picture_files.py", ["formats"])]


def test_the_cost_of_a_call_is_seen() -> None:
    """The yardstick itself: 100 MB and an error are measured as such."""

    def wasteful() -> None:
        assert len(bytearray(os.urandom(1)) * (100 << 20)) == 100 << 20
        raise KeyError("odd")

    if Path("/proc/self/status").exists():
        took: Cost = cost(wasteful)
        assert took.end == "KeyError" and 95 < took.megabytes < 210, took

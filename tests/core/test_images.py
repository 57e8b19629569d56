"""Pictures: layout, range, size, and every kind of hostile or odd input."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from seedstory_core import images
from seedstory_core.errors import SeedStoryError

GOLDEN = Path(__file__).parents[1] / "golden" / "seed_story"


def noise(height: int, width: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (height, width, channels), generator=generator, dtype=torch.uint8)


def test_clip_input_equals_the_reference() -> None:
    expected = load_file(GOLDEN / "visual_tokenizer_io.safetensors")["preproc_out"]
    picture = images.read_picture(GOLDEN / "preproc_input.png")
    got = images.clip_input([picture], expected.shape[-1])
    torch.testing.assert_close(got[0], expected, atol=1e-6, rtol=0)


def test_png_keeps_every_pixel() -> None:
    picture = noise(37, 53)
    assert torch.equal(images.decode_picture(images.encode_png(picture)), picture)


def test_float_round_trip_is_exact() -> None:
    batch = torch.stack([noise(9, 7), noise(9, 7).flip(0)])
    assert torch.equal(torch.stack(images.from_float(images.to_float(list(batch)))), batch)


def test_vae_range_round_trip_is_exact() -> None:
    picture = noise(16, 24)
    assert torch.equal(images.from_vae(images.to_vae([picture]))[0], picture)


def test_one_pixel_picture_goes_everywhere() -> None:
    dot = torch.tensor([[[10, 20, 30]]], dtype=torch.uint8)
    assert images.clip_input([dot], 28).shape == (1, 3, 28, 28)
    assert images.enlarge(dot, 3).tolist() == [[[10, 20, 30]] * 3] * 3
    assert images.contain(dot, 4, 2).shape == (2, 4, 3)
    assert torch.equal(images.decode_picture(images.encode_png(dot)), dot)


def test_grey_and_alpha_floats_become_rgb_on_white() -> None:
    grey = torch.full((1, 2, 2, 1), 0.5)
    assert images.from_float(grey)[0].unique().tolist() == [128]
    clear_red = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]]])
    assert images.from_float(clear_red)[0].tolist() == [[[255, 255, 255], [255, 0, 0]]]
    half_black = torch.tensor([[[[0.0, 0.0, 0.0, 0.5]]]])
    assert images.from_float(half_black)[0].tolist() == [[[128, 128, 128]]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "1", "P", "CMYK", "I;16", "I", "F"])
def test_every_pillow_mode_becomes_rgb(mode: str) -> None:
    picture = images.from_pil(Image.new(mode, (3, 2)))
    assert picture.shape == (2, 3, 3) and picture.dtype == torch.uint8


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    values = np.array([[0, 32768, 65535]], dtype=np.uint16)
    assert images.from_pil(Image.fromarray(values))[0, :, 0].tolist() == [0, 128, 255]


def test_exif_turns_the_picture_upright(tmp_path: Path) -> None:
    pixels = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate a quarter turn to view
    pixels.save(tmp_path / "turned.jpg", exif=exif)
    assert images.read_picture(tmp_path / "turned.jpg").shape == (4, 2, 3)


def test_values_beyond_the_range_are_cut() -> None:
    batch = torch.tensor([[[[-1.0, 0.5, 7.0]]]])
    assert images.from_float(batch)[0].tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers_are_refused(bad: float) -> None:
    batch = torch.zeros(1, 300, 2, 3)
    batch[0, 299, 1, 2] = bad
    with pytest.raises(SeedStoryError, match="not numbers"):
        images.from_float(batch)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 0, 4, 3), (1, 4, 4, 2), (4, 4)])
def test_odd_batches_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SeedStoryError, match="Expected pictures as"):
        images.from_float(torch.zeros(shape))


def test_a_batch_takes_the_size_of_its_last_picture() -> None:
    batch = images.to_float([noise(10, 40), noise(8, 8)])
    assert batch.shape == (2, 8, 8, 3)
    assert batch[0, 0].min() == 1.0  # white above the wide one
    assert torch.equal(images.from_float(batch)[1], noise(8, 8))


def test_small_pictures_grow_by_whole_factors_only() -> None:
    grown = images.scale_to_fit(images.to_pil(noise(10, 10)), 39, 39)
    assert grown.size == (30, 30)
    assert torch.equal(images.from_pil(grown), images.enlarge(noise(10, 10), 3))


@pytest.mark.parametrize(("box", "times"), [(512, 8), (340, 5), (64, 1), (700, 10)])
def test_enlarged_pixel_art_is_shown_at_whole_multiples_of_itself(box: int, times: int) -> None:
    art = images.enlarge(noise(64, 64), 8)
    shown = images.scale_to_fit(images.to_pil(art), box, box)
    assert torch.equal(images.from_pil(shown), images.enlarge(noise(64, 64), times))


def test_the_squares_of_a_picture_are_found() -> None:
    assert images.pixel_size(noise(64, 64)) == images.pixel_size(noise(1, 1)) == 1
    tall = images.enlarge(noise(300, 20), 6)
    assert images.pixel_size(tall) == 6
    tall[-1, -1] ^= 255  # far below the first rows
    assert images.pixel_size(tall) == 1
    assert images.pixel_size(torch.zeros(300, 200, 3, dtype=torch.uint8)) == 100


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and carries almost nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        )

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    parts = [
        chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0])),
        chunk(b"IDAT", zlib.compress(bytes(1000))),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("size", [(20_000, 20_000), (100_000, 100_000), (12_000, 11_000)])
def test_decompression_bombs_are_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(SeedStoryError, match="too large|at most 128 million"):
        images.decode_picture(png_header(*size), "bomb.png")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = images.encode_png(noise(64, 64))
    path = tmp_path / "cut.png"
    for data in (whole[: len(whole) // 2], b"GIF89a", b"", b"<svg/>", png_header(64, 64)):
        path.write_bytes(data)
        with pytest.raises(SeedStoryError, match=r"cut\.png is not a picture"):
            images.read_picture(path)
    with pytest.raises(SeedStoryError, match="There is no picture"):
        images.read_picture(tmp_path / "none.png")


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert images.decode_picture(buffer.getvalue())[0, 0].tolist() == [255, 0, 0]


BIG = """
import resource, sys, torch
sys.path.insert(0, {root!r})
from seedstory_core import images
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = torch.zeros(8000, 8000, 3, dtype=torch.uint8)
batch = picture[None].expand(1, -1, -1, -1)
assert images.clip_input(images.from_float(batch), 448).shape == (1, 3, 448, 448)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_64_megapixel_picture_stays_within_bounded_memory() -> None:
    root = str(Path(__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", BIG.format(root=root)], capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 900, "MB above the start; the picture itself is 183 MB"

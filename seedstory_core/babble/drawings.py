"""Three small scenes to begin stories with, drawn by rule on a 64 x 64 grid."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIDE = 64
SKIES = {
    "night": ((16, 20, 54), (70, 66, 130)),
    "dusk": ((92, 58, 118), (252, 174, 112)),
    "day": ((96, 176, 236), (214, 238, 246)),
}

#: Texts of the openings, in the order of `drawings`.
TEXTS = (
    "A small fox sat on the hill and looked at the moon.",
    "The red boat sailed out in the evening.",
    "In the morning a kite flew over the little house.",
)


def drawings() -> list[Tensor]:
    """The pictures of the openings, uint8 [64, 64, 3] each."""
    scenes = (_fox_on_the_hill(), _red_boat(), _kite_over_the_house())
    return [torch.from_numpy(np.array(scene)) for scene in scenes]


def _sky(kind: str, down_to: int = SIDE) -> Image.Image:
    """Eight flat bands, dithered where they meet."""
    top, bottom = (np.array(colour, dtype=float) for colour in SKIES[kind])
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    height = rows / down_to * 7 + ((rows + columns) % 2) * 0.5
    share = np.clip(np.floor(height) / 7, 0, 1)[..., None]
    return Image.fromarray((top + (bottom - top) * share).round().astype(np.uint8))


def _hill(draw: ImageDraw.ImageDraw, crown: int, colour: str, edge: str) -> None:
    draw.ellipse([-24, crown, 88, crown + 90], fill=colour, outline=edge)


def _fox_on_the_hill() -> Image.Image:
    image = _sky("night", 48)
    draw = ImageDraw.Draw(image)
    for x, y in ((6, 8), (15, 22), (24, 6), (33, 15), (57, 31), (10, 34), (40, 4), (61, 12)):
        draw.point((x, y), fill="#fff4c2")
    for y in range(8, 23):
        for x in range(42, 57):
            if (x - 49) ** 2 + (y - 15) ** 2 <= 50 and (x - 52.5) ** 2 + (y - 13) ** 2 > 38:
                draw.point((x, y), fill="#fff1b8")
    _hill(draw, 42, "#2f6b4f", "#1d4a3a")
    draw.polygon([(14, 46), (8, 38), (6, 30), (11, 34), (17, 43)], fill="#e8772e")  # tail
    draw.polygon([(6, 30), (9, 33), (8, 36)], fill="#fff3e0")
    draw.ellipse([13, 31, 25, 47], fill="#e8772e")
    draw.ellipse([18, 36, 25, 47], fill="#fff3e0")
    draw.polygon([(16, 22), (17, 14), (21, 19), (27, 19), (31, 14), (32, 24)], fill="#e8772e")
    draw.polygon([(15, 22), (33, 22), (24, 33)], fill="#e8772e")
    draw.polygon([(20, 28), (28, 28), (24, 33)], fill="#fff3e0")
    for x in (20, 28):
        draw.rectangle([x, 24, x, 25], fill="#241c2b")
    draw.point((24, 32), fill="#241c2b")
    return image


def _red_boat() -> Image.Image:
    image = _sky("dusk", 40)
    draw = ImageDraw.Draw(image)
    draw.ellipse([8, 25, 28, 45], fill="#ffe3a0")
    draw.rectangle([0, 40, 63, 63], fill="#3d4f8f")
    for row, (start, step) in enumerate(((3, 11), (8, 13), (1, 9), (6, 15), (2, 12))):
        for x in range(start, 64, step):
            draw.line([(x, 43 + 4 * row), (x + 4, 43 + 4 * row)], fill="#6f80b8")
    for y in range(41, 62, 3):
        draw.line([(12 + y % 5, y), (23 - y % 4, y)], fill="#f3b98a")
    draw.polygon([(30, 45), (56, 45), (51, 53), (35, 53)], fill="#c8343c")
    draw.line([(30, 45), (56, 45)], fill="#8f2030")
    draw.line([(43, 18), (43, 44)], fill="#4a3328")
    draw.polygon([(45, 18), (45, 41), (58, 41)], fill="#fff6e4")
    draw.polygon([(41, 22), (41, 41), (32, 41)], fill="#ffe2b8")
    draw.polygon([(43, 14), (43, 17), (49, 16)], fill="#f2b134")
    return image


def _kite_over_the_house() -> Image.Image:
    image = _sky("day")
    draw = ImageDraw.Draw(image)
    for x, y in ((4, 10), (26, 5)):
        draw.rectangle([x, y + 2, x + 13, y + 4], fill="white")
        draw.rectangle([x + 3, y, x + 9, y + 4], fill="white")
    _hill(draw, 48, "#6fb556", "#4d8f42")
    draw.rectangle([10, 34, 30, 52], fill="#f4e3c3")
    draw.polygon([(7, 35), (20, 23), (33, 35)], fill="#b5503f")
    draw.rectangle([25, 23, 28, 30], fill="#8a3a2f")
    draw.rectangle([17, 42, 22, 52], fill="#7a4f35")
    for x in (12, 25):
        draw.rectangle([x, 38, x + 3, 41], fill="#8fd0f0", outline="#6b5a48")
    draw.polygon([(50, 8), (58, 16), (50, 28), (44, 16)], fill="#e9504a")
    draw.polygon([(50, 8), (58, 16), (50, 16)], fill="#f7c948")
    draw.polygon([(44, 16), (50, 16), (50, 28)], fill="#3fa7a0")
    for step, (x, y) in enumerate(((49, 31), (51, 35), (48, 39), (45, 43), (41, 47))):
        draw.point([(x, y - 1), (x, y), (x - 1, y + 1)], fill="#5a4a42")
        if step % 2 == 0:
            draw.rectangle([x - 1, y, x + 1, y], fill="#f7c948")
    return image

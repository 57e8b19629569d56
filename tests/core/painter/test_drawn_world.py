"""The library's painter paints a drawn world: a palette VAE among diffusers' models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import picture_painter as drawn

from seedstory_core.errors import SeedStoryError
from seedstory_core.painter import open_painter, palette_vae
from seedstory_core.types import Cond, Conditioning, PaintSettings
from seedstory_core.world import load_world

pytest.importorskip("diffusers", reason="diffusers is not installed")


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    return drawn.make_unet(), drawn.make_vae(palette_vae)


@pytest.fixture()
def folder(models: tuple[Any, Any], tmp_path: Path) -> Path:
    return drawn.write_world(tmp_path / "w", *models, half=True)


def test_pictures_have_the_palettes_colours(folder: Path) -> None:
    painter = open_painter(load_world(folder), dtype=torch.bfloat16)
    assert painter.factor == 64 and painter.vae.head.weight.dtype == torch.float32
    noise = painter.noise(1, painter.size)
    assert noise.shape == (1, 16, 8, 8)
    tokens, pooled, _ = drawn.conditions()
    conds = [(Cond(tokens[i : i + 1], pooled[i : i + 1]),) for i in (0, 1)]
    latents = painter.sample(Conditioning(*conds), noise, PaintSettings(2, 1.0))
    pixels = painter.decode(latents)
    assert pixels.shape == (1, 3, 512, 512)
    colours = ((pixels + 1) * 127.5).round().int().movedim(1, -1).reshape(-1, 3).unique(dim=0)
    assert {tuple(c) for c in colours.tolist()} <= {tuple(c) for c in drawn.PALETTE}


def test_files_in_half_precision_hold_the_vae(folder: Path, models: tuple[Any, Any]) -> None:
    painter = open_painter(load_world(folder))
    pixels = drawn.pictures(1).movedim(-1, 1) * 2 - 1
    wanted = models[1].encode(pixels)
    torch.testing.assert_close(painter.vae.encode(pixels), wanted, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cubist"}, "kind 'cubist' is not known"),
        ({"palette": [[0, 0, 0]]}, "2 to 256 colours"),
        ({"width": 64}, "wrongly shaped"),
        ({"blocks": 1}, "misses weights"),
    ],
)
def test_wrong_settings_are_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    manifest = json.loads((folder / "world.json").read_text())
    manifest["painter"]["vae"] |= changes
    (folder / "world.json").write_text(json.dumps(manifest))
    with pytest.raises(SeedStoryError, match=message):
        open_painter(load_world(folder))

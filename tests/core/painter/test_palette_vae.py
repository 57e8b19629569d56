"""The palette autoencoder: exact at its edges, strict about its configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from einops import repeat

from seedstory_core.errors import SeedStoryError
from seedstory_core.ops import cast_ops
from seedstory_core.painter.palette_vae import PaletteVae, PaletteVaeConfig

PALETTE = ((0, 0, 0), (255, 255, 255), (13, 200, 77), (1, 2, 254), (128, 127, 3))
CONFIG = PaletteVaeConfig(PALETTE, patch=4, width=32, blocks=1, latent_channels=4, enlarge=3)


@pytest.fixture
def vae() -> PaletteVae:
    torch.manual_seed(0)
    return PaletteVae(CONFIG).eval()


def pictures(batch: int = 2, height: int = 8, width: int = 16) -> torch.Tensor:
    """Random palette pictures of the world's own size, -1..1."""
    indices = torch.randint(len(PALETTE), (batch, height, width))
    return (torch.tensor(PALETTE)[indices] / 127.5 - 1).permute(0, 3, 1, 2)


def enlarged(native: torch.Tensor) -> torch.Tensor:
    return repeat(native, "b c h w -> b c (h e) (w f)", e=CONFIG.enlarge, f=CONFIG.enlarge)


def test_the_recipes_shapes() -> None:
    config = PaletteVaeConfig(PALETTE)
    vae = PaletteVae(config).eval()
    latents = vae.encode(torch.rand(1, 3, 512, 512) * 2 - 1)
    assert latents.shape == (1, 16, 8, 8)
    assert vae.logits(latents).shape == (1, len(PALETTE), 64, 64)
    assert vae.decode(latents).shape == (1, 3, 512, 512)
    assert vae.factor == config.factor == 64


def test_enlarged_pictures_encode_as_their_originals(vae: PaletteVae) -> None:
    native = pictures()
    assert torch.equal(vae.encode(enlarged(native)), vae.encode_native(native))


def test_decoding_gives_the_likeliest_colour_of_each_pixel_enlarged(vae: PaletteVae) -> None:
    latents = torch.randn(2, 4, 2, 4)
    decoded = vae.decode(latents)
    best = vae.logits(latents).argmax(1)
    expected = torch.tensor(PALETTE)[best].permute(0, 3, 1, 2)
    assert torch.equal(((decoded + 1) * 127.5).round().long(), enlarged(expected))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_colours_are_exact_in_every_precision(vae: PaletteVae, dtype: torch.dtype) -> None:
    decoded = vae.to(dtype).decode(torch.randn(1, 4, 2, 2).to(dtype))
    assert decoded.dtype == torch.float32
    colours = ((decoded + 1) * 127.5).round().long().permute(0, 2, 3, 1).reshape(-1, 3)
    assert {tuple(colour) for colour in colours.tolist()} <= set(PALETTE)


def test_training_whitens_and_running_uses_the_learnt_statistics(vae: PaletteVae) -> None:
    native = pictures(64)
    vae.train()
    for _ in range(100):
        vae.encode_native(native)
    assert vae.encode_native(native).mean((0, 2, 3)).abs().max() < 1e-4
    vae.eval()
    before = vae.whitening.running_mean.clone()
    latents = vae.encode_native(native)
    assert torch.equal(vae.whitening.running_mean, before)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=2e-2)
    assert torch.allclose(latents, vae.whitening(vae.encoder(native)), atol=1e-5)


def test_it_learns_to_reproduce_a_picture(vae: PaletteVae) -> None:
    native = pictures(4)
    target = ((native + 1) * 127.5).round().long()
    labels = (target.permute(0, 2, 3, 1)[..., None, :] == torch.tensor(PALETTE)).all(-1).int()
    optimizer = torch.optim.Adam(vae.parameters(), 1e-2)
    vae.train()
    for _ in range(150):
        logits = vae.logits(vae.encode_native(native))
        loss = torch.nn.functional.cross_entropy(logits, labels.argmax(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    vae.eval()
    right = vae.indices(vae.encode_native(native)) == labels.argmax(-1)
    assert right.float().mean() > 0.9  # with each of 5 seeds all were


def test_weights_in_half_precision_are_cast_where_they_are_used(vae: PaletteVae) -> None:
    other = PaletteVae(CONFIG, ops=cast_ops).eval()
    other.load_state_dict({k: v.half() for k, v in vae.state_dict().items()}, assign=True)
    latents = torch.randn(1, 4, 2, 2)
    torch.testing.assert_close(other.logits(latents), vae.logits(latents), atol=1e-2, rtol=1e-2)
    native = pictures(1)
    wanted = vae.encode_native(native)
    torch.testing.assert_close(other.encode_native(native), wanted, atol=1e-1, rtol=1e-2)


def test_sides_must_be_multiples_of_the_factor(vae: PaletteVae) -> None:
    with pytest.raises(SeedStoryError, match="multiples of 12"):
        vae.encode(torch.zeros(1, 3, 24, 30))


def test_configurations_survive_json() -> None:
    for config in (
        CONFIG,
        PaletteVaeConfig(
            PALETTE, rgb_factors=((0.5, 0.25, -1.0),) * 16, rgb_bias=(0.125, 0.5, 0.75)
        ),
    ):
        assert PaletteVaeConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert CONFIG.to_json()["kind"] == "palette"
    assert CONFIG.to_json()["scaling_factor"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"palette": [[0, 0, 0]]}, "2 to 256 colours"),
        ({"palette": [[0, 0, 0]] * 257}, "2 to 256 colours"),
        ({"palette": [[0, 0, 0], [0, 0, 256]]}, "0 to 255"),
        ({"palette": [[0, 0, 0], [0, 0]]}, "0 to 255"),
        ({"palette": [[0, 0, 0], [0, 0.5, 0]]}, "0 to 255"),
        ({"palette": "black"}, "list of lists"),
        ({"palette": [1, 2]}, "list of lists"),
        ({"patch": 0}, "1 to 32"),
        ({"patch": True}, "1 to 32"),
        ({"width": 40}, "multiple of 32"),
        ({"width": 1 << 20}, "32 to 1024"),
        ({"blocks": 10**9}, "0 to 16"),
        ({"latent_channels": "16"}, "1 to 64"),
        ({"head_width": -1}, "1 to 256"),
        ({"enlarge": 1000}, "1 to 32"),
        ({"scaling_factor": 2.0}, "scaling_factor"),
        ({"kind": "kl"}, "kind"),
        ({"depth": 3}, "no such setting"),
        ({"rgb_factors": [[0, 0, 0]]}, "4 rows"),
        ({"rgb_factors": [[0, 0, float("nan")]] * 4}, "finite"),
        ({"rgb_bias": [1, 2]}, "three finite"),
        ({"rgb_bias": 1}, "three numbers"),
    ],
)
def test_wrong_configurations_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SeedStoryError, match=message):
        PaletteVaeConfig.from_json(CONFIG.to_json() | changes)

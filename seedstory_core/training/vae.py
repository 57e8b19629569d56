"""Stage 0a: the autoencoder of drawn worlds, by classification of sampled pixels."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SeedStoryError
from ..files import atomic_write_json
from ..painter.palette_vae import PALETTE_LIMITS, PaletteVae, PaletteVaeConfig
from ..parts import load_strict
from .data import open_data
from .pictures import load_pictures
from .recipe import StageSettings
from .stage import Job, generator_of, part

NAME, DECODER = "vae", "vae-decoder"
PIXELS = 768  # classified of each picture
NOISE = 0.4  # largest standard deviation of the noise on latents
CHECKED = 256  # held-out pictures
STATISTICS = 4096  # pictures that the whitening is measured on
AT_ONCE = 64
UNKNOWN = -1  # class of a colour that training never saw


def build(job: Job) -> PaletteStage:
    """Joint training of encoder and decoder.

    Raises:
        SeedStoryError: the pictures have too many colours, or the configuration is wrong.
    """
    settings, size = job.settings(NAME), job.recipe.native_size
    pictures = load_pictures(
        open_data(job.data, settings.option("split", "train")), size, job.cache(), job.progress
    )
    held_out = load_pictures(open_data(job.data, "val"), size, job.cache(), job.progress)
    colours = palette_of(pictures)
    palette = tuple((int(r), int(g), int(b)) for r, g, b in colours)
    config = PaletteVaeConfig.from_json({**job.recipe.vae, "palette": palette})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        vae = PaletteVae(config)
    if settings.option("whiten_stem", True):
        whiten_stem(vae, pictures)
    return PaletteStage(job, settings, PaletteTraining(vae), pictures, held_out)


class PaletteTraining(nn.Module):
    """The VAE with its loss."""

    def __init__(self, vae: PaletteVae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``pixels`` [B, 3, H, W] (or ``latents``), ``noise`` [B, C, h, w], ``places`` and
        ``classes`` [B, P] -> loss and the share of sampled pixels that are right."""
        if "latents" in batch:
            latents = batch["latents"]
        else:
            latents = self.vae.encode_native(batch["pixels"])
        return sampled_loss(self.vae, latents + batch["noise"], batch)


def sampled_loss(vae: PaletteVae, latents: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cross-entropy of the pixels at ``places``; the head reads no others."""
    features = rearrange(vae.features(latents), "b c h w -> b (h w) c")
    places = batch["places"][..., None].expand(-1, -1, features.shape[-1])
    head = vae.head
    logits = F.linear(features.gather(1, places), head.weight[:, :, 0, 0], head.bias)
    flat, classes = rearrange(logits.float(), "b p n -> (b p) n"), batch["classes"].flatten()
    right = (flat.detach().argmax(1) == classes).float().mean()
    return {"loss": F.cross_entropy(flat, classes), "right": right}


class PaletteStage:
    """Batches, held-out figures and result of the joint training."""

    name = NAME

    def __init__(
        self,
        job: Job,
        settings: StageSettings,
        module: PaletteTraining,
        pictures: np.ndarray,
        held_out: np.ndarray,
    ) -> None:
        self.job, self.settings, self.module = job, settings, module
        self.config = module.vae.config
        self.pictures, self.held_out = pictures, held_out
        self.classes = class_table(self.config.palette)
        self.points = settings.option("pixels", PIXELS)
        self.strength = settings.option("noise", NOISE)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        settings, config = self.settings, self.config
        count, side = settings.batch, self.pictures.shape[1]
        generator = generator_of(settings.seed, self.name, step)
        rows = torch.randint(len(self.pictures), (count,), generator=generator)
        places = torch.randint(side * side, (count, self.points), generator=generator)
        sigma = torch.rand(count, 1, 1, 1, generator=generator) * self.strength
        latent = side // config.patch
        shape = (count, config.latent_channels, latent, latent)
        noise = sigma * torch.randn(shape, generator=generator)
        mine, places = part(rows, rank, size), part(places, rank, size)
        images = self.pictures[mine.numpy()]
        classes = torch.from_numpy(self.classes[pack(images)].astype(np.int64))
        return {
            **self.inputs(mine, images),
            "noise": part(noise, rank, size),
            "places": places,
            "classes": rearrange(classes, "b h w -> b (h w)").gather(1, places),
        }

    def inputs(self, rows: Tensor, images: np.ndarray) -> dict[str, Tensor]:
        """What the decoder starts from."""
        return {"pixels": to_pixels(images)}

    def check(self, module: nn.Module) -> dict[str, float]:
        vae = self._measured(module, CHECKED)
        return {"pixel_exact": pixel_exact(vae, self.held_out[:CHECKED], self.classes)}

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """Also writes the configuration with its palette, ``vae.json``, beside the weights."""
        vae = self._measured(module, STATISTICS)
        config = with_preview(vae, self.pictures[:STATISTICS])
        atomic_write_json(self.job.folder(self.name) / "vae.json", config.to_json())
        return {"vae": vae.state_dict()}

    def _measured(self, module: nn.Module, count: int) -> PaletteVae:
        """A copy whose whitening has the statistics of the weights as they are."""
        assert isinstance(module, PaletteTraining)
        vae = copy.deepcopy(module.vae).eval()
        raw = []
        device = next(vae.parameters()).device
        for start in range(0, min(count, len(self.pictures)), AT_ONCE):
            images = self.pictures[start : min(start + AT_ONCE, count)]
            raw.append(vae.encoder(to_pixels(images).to(device)).double())
        all_raw = rearrange(torch.cat(raw), "b c h w -> (b h w) c")
        vae.whitening.running_mean = all_raw.mean(0).float()
        vae.whitening.running_var = all_raw.var(0).float()
        return vae


def load_vae(weights: Path) -> PaletteVae:
    """The VAE of a finished stage, in evaluation mode, with ``vae.json`` beside its weights.

    Raises:
        SeedStoryError: files do not fit each other.
    """
    try:
        config = json.loads(weights.with_name("vae.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SeedStoryError(
            f"{weights} lacks its vae.json ({error}). Run `seedstory train vae --finish` again."
        ) from error
    vae = PaletteVae(PaletteVaeConfig.from_json(config))
    load_strict(vae, load_file(weights), str(weights))
    return vae.eval()


def newest_vae(job: Job) -> Path:
    """The best weights of a run: with the decoder trained on if that stage has ended.

    Both have the same encoder, so that caches of latents fit both.
    """
    trained_on = job.folder(DECODER) / "vae.safetensors"
    return trained_on if trained_on.is_file() else job.result(NAME, "vae")


def open_vae(job: Job) -> PaletteVae:
    """`newest_vae`, loaded."""
    return load_vae(newest_vae(job))


def to_pixels(images: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> fp32 [B, 3, H, W] of -1..1."""
    unit = torch.from_numpy(np.array(images)).float() / 127.5 - 1
    return rearrange(unit, "b h w c -> b c h w")


def pack(images: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] -> int32 [...], one number a colour."""
    wide = images.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def palette_of(pictures: np.ndarray) -> np.ndarray:
    """The colours of all pictures, uint8 [N, 3], darkest red first.

    Raises:
        SeedStoryError: there are more than a palette holds.
    """
    seen = np.zeros(1 << 24, dtype=bool)
    for start in range(0, len(pictures), 1024):
        seen[pack(pictures[start : start + 1024]).ravel()] = True
    colours = np.flatnonzero(seen)
    if len(colours) > PALETTE_LIMITS[1]:
        raise SeedStoryError(
            f"The pictures have {len(colours)} colours; a palette VAE takes at most "
            f"{PALETTE_LIMITS[1]}. Reduce them to one palette for all pictures, without dithering "
            "(indexed colours in most programs)."
        )
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)


def class_table(palette: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """int16 [2 ** 24]: the place in the palette of each packed colour, `UNKNOWN` for others."""
    table = np.full(1 << 24, UNKNOWN, dtype=np.int16)
    table[pack(np.array(palette, dtype=np.uint8))] = np.arange(len(palette))
    return table


def pixel_exact(vae: PaletteVae, pictures: np.ndarray, table: np.ndarray) -> float:
    """The share of pixels that come back in exactly their colour."""
    device, right = next(vae.parameters()).device, 0
    for start in range(0, len(pictures), AT_ONCE):
        images = np.ascontiguousarray(pictures[start : start + AT_ONCE])
        indices = vae.indices(vae.encode_native(to_pixels(images).to(device)))
        right += int((indices.cpu().numpy() == table[pack(images)]).sum())
    return right / max(1, pictures[..., 0].size)


@torch.no_grad()
def whiten_stem(vae: PaletteVae, pictures: np.ndarray) -> None:
    """Begin with the principal components of patches, each of unit variance."""
    stem: Any = vae.encoder[0]
    patch = vae.config.patch
    pixels = to_pixels(np.ascontiguousarray(pictures[:: max(1, len(pictures) // 1024)][:1024]))
    pattern = "b c (y p) (x q) -> (b y x) (c p q)"
    patches = rearrange(pixels, pattern, p=patch, q=patch).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
    order = values.argsort(descending=True)[: stem.out_channels]
    rows = vectors[:, order].T / (values[order].clamp_min(0) + 1e-3).sqrt()[:, None]
    stem.weight[: len(rows)] = rearrange(rows, "d (c p q) -> d c p q", p=patch, q=patch).float()
    stem.bias[: len(rows)] = -(rows @ mean).float()


def with_preview(vae: PaletteVae, pictures: np.ndarray) -> PaletteVaeConfig:
    """The configuration with the best linear map from latents to colours, for live previews."""
    device, patch = next(vae.parameters()).device, vae.config.patch
    pixels = to_pixels(np.ascontiguousarray(pictures[:256])).to(device)
    latents = rearrange(vae.encode_native(pixels), "b c h w -> (b h w) c").double().cpu()
    colours = rearrange(F.avg_pool2d(pixels, patch), "b c h w -> (b h w) c").double().cpu()
    ones = torch.ones(len(latents), 1, dtype=torch.double)
    found = torch.linalg.lstsq(torch.cat([latents, ones], 1), colours, driver="gelsd").solution
    rows = [[round(float(value), 4) for value in row] for row in found]
    data = {**vae.config.to_json(), "rgb_factors": rows[:-1], "rgb_bias": rows[-1]}
    return PaletteVaeConfig.from_json(data)

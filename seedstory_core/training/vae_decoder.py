"""Stage 0a, second half: the decoder alone, so that latents stay what other stages learnt on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from ..errors import SeedStoryError
from ..files import atomic_write_json
from .cache import Rows
from .data import open_data
from .encoded import picture_latents
from .pictures import load_pictures
from .recipe import StageSettings
from .stage import Job
from .vae import (
    CHECKED,
    UNKNOWN,
    PaletteStage,
    PaletteTraining,
    class_table,
    load_vae,
    pack,
    palette_of,
    pixel_exact,
)
from .vae import NAME as JOINT

NAME = "vae-decoder"


def build(job: Job) -> DecoderStage:
    """Training of the decoder on the latents of the joint training's encoder.

    Raises:
        SeedStoryError: the joint training has not ended, or was of other pictures.
    """
    settings, size = job.settings(NAME), job.recipe.native_size
    vae = load_vae(job.result(JOINT, "vae"))
    stories = open_data(job.data, settings.option("split", "train"))
    pictures = load_pictures(stories, size, job.cache(), job.progress)
    if (class_table(vae.config.palette)[pack(palette_of(pictures))] == UNKNOWN).any():
        raise SeedStoryError(
            f"The pictures of {job.data} have colours that the VAE's palette lacks: they are not "
            "those it was trained on. Train the VAE on them first (`seedstory train vae`)."
        )
    held_out = load_pictures(open_data(job.data, "val"), size, job.cache(), job.progress)
    latents = picture_latents(job, stories)
    for frozen in (vae.encoder, vae.whitening):
        frozen.requires_grad_(False)
    return DecoderStage(job, settings, PaletteTraining(vae), pictures, held_out, latents)


class DecoderStage(PaletteStage):
    """The joint stage on given latents."""

    name = NAME

    def __init__(
        self,
        job: Job,
        settings: StageSettings,
        module: PaletteTraining,
        pictures: np.ndarray,
        held_out: np.ndarray,
        latents: Rows,
    ) -> None:
        super().__init__(job, settings, module, pictures, held_out)
        self.latents = latents

    def inputs(self, rows: Tensor, images: np.ndarray) -> dict[str, Tensor]:
        return {"latents": self.latents.take(rows)}

    def check(self, module: nn.Module) -> dict[str, float]:
        assert isinstance(module, PaletteTraining)
        exact = pixel_exact(module.vae, self.held_out[:CHECKED], self.classes)
        return {"pixel_exact": exact}

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """Also copies the configuration, ``vae.json``."""
        assert isinstance(module, PaletteTraining)
        folder = self.job.folder(self.name)
        atomic_write_json(folder / "vae.json", self.config.to_json())
        return {"vae": module.vae.state_dict()}

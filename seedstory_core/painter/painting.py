"""Paints panels without ComfyUI: an SDXL-type UNet and VAE on diffusers, the reference's sampler.

Works for worlds that bring their own painter, and for worlds that change an SDXL base. The loop is
our own, so that every step reports and can be stopped; schedule, UNet and VAE are diffusers', but
for the palette VAE of drawn worlds.
Source: StableDiffusionXLPipeline without text encoders, as src/models_ipa/adapter_modules.py:430 of
SEED-Story calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..images import from_vae
from ..story import check_index
from ..types import Cond, Conditioning, Json, PaintSettings, Progress, Story, no_progress
from .palette_vae import PaletteVae

if TYPE_CHECKING:
    from ..engine import Engine

MAX_SIDE = 4096
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Painter:
    """UNet, VAE and schedule of one world, ready to paint; made by `loading.open_painter`.

    Attributes:
        unet: diffusers UNet2DConditionModel with the world's changes already in it.
        vae: diffusers AutoencoderKL, or a `PaletteVae`.
        scheduler: config of diffusers' EulerDiscreteScheduler.
        size: the world's own (width, height).
        upcast: decode in fp32, because the VAE overflows or decides wrongly in fp16.
    """

    unet: Any
    vae: Any
    scheduler: Mapping[str, Any]
    size: tuple[int, int]
    device: torch.device
    dtype: torch.dtype
    upcast: bool = False

    @property
    def factor(self) -> int:
        """Pixels along the side of one latent."""
        if isinstance(self.vae, PaletteVae):
            return self.vae.factor
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def paint(
        self,
        engine: Engine,
        story: Story,
        indices: Sequence[int],
        settings: PaintSettings,
        progress: Progress = no_progress,
        noise: Tensor | None = None,
    ) -> list[Tensor]:
        """Panels of a story by an engine of the conditioning route.

        Args:
            noise: [1, C, h, w] unit noise for every panel instead of the seeded one.

        Returns: uint8 [H, W, 3] each.
        """
        size = self._checked_size(settings)
        pictures = []
        for done, index in enumerate(check_index(story, index) for index in indices):
            conditioning = engine.condition(story, index)
            unit = self.noise(settings.seed_of(index), size) if noise is None else noise

            report = _Share(progress, done, len(indices))
            latents = self.sample(conditioning, unit, settings, report)
            pictures += from_vae(self.decode(latents))
        return pictures

    def noise(self, seed: int, size: tuple[int, int]) -> Tensor:
        """Unit noise [1, C, h, w] fp32, the same on every machine: drawn on the CPU."""
        generator = torch.Generator("cpu").manual_seed(seed)
        width, height = size
        channels = self.unet.config.in_channels
        shape = (1, channels, height // self.factor, width // self.factor)
        return torch.randn(shape, generator=generator)

    @torch.no_grad()
    def sample(
        self,
        conditioning: Conditioning,
        noise: Tensor,
        settings: PaintSettings,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Unit noise [B, 4, h, w] -> denoised latents [B, 4, h, w] fp32 on the painter's device."""
        diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
        schedule = diffusers.EulerDiscreteScheduler.from_config(dict(self.scheduler))
        limit = schedule.config.num_train_timesteps
        if not 1 <= settings.steps <= limit:
            raise SeedStoryError(f"Painting takes 1 to {limit} steps, got {settings.steps}.")
        schedule.set_timesteps(settings.steps, device=self.device)
        latents = noise.to(self.device, torch.float32) * schedule.init_noise_sigma
        progress(0, settings.steps)
        for step, time in enumerate(schedule.timesteps):
            share = step / settings.steps
            x = schedule.scale_model_input(latents, time).to(self.dtype)
            towards = self._predict(x, time, _active(conditioning.positive, share))
            if settings.guidance != 1:
                away = self._predict(x, time, _active(conditioning.negative, share))
                towards = away + settings.guidance * (towards - away)
            latents = schedule.step(towards, time, latents).prev_sample
            progress(step + 1, settings.steps)
        return latents

    def _predict(self, x: Tensor, time: Tensor, conds: Sequence[Cond]) -> Tensor:
        """The UNet's answer to scaled latents [B, 4, h, w], averaged over ``conds``, fp32."""
        height, width = (side * self.factor for side in x.shape[-2:])
        sizes = [[height, width, 0, 0, height, width]] * len(x)  # as adapter_modules.py:449
        time_ids = torch.tensor(sizes, device=self.device, dtype=self.dtype)
        answers = []
        for cond in conds:
            added: dict[str, Tensor] | None = None
            if cond.pooled is not None:
                pooled = cond.pooled.to(self.device, self.dtype)
                added = {"text_embeds": pooled, "time_ids": time_ids}
            tokens = cond.tokens.to(self.device, self.dtype)
            answer = self.unet(x, time, encoder_hidden_states=tokens, added_cond_kwargs=added)
            answers.append(answer.sample.float())
        return torch.stack(answers).mean(0)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> pixels float [B, 3, H, W] around -1..1."""
        dtype = torch.float32 if self.upcast else self.dtype
        if isinstance(self.vae, PaletteVae):
            return self.vae.decode(latents.to(dtype))
        unit = (latents / self.vae.config.scaling_factor).to(dtype)
        return self.vae.decode(unit).sample.float()

    def describe(self, settings: PaintSettings, index: int) -> dict[str, Json]:
        """How panel ``index`` is painted, for its provenance."""
        width, height = settings.size or self.size
        return {
            "sampler": "diffusers EulerDiscreteScheduler",
            "steps": settings.steps,
            "guidance": settings.guidance,
            "seed": settings.seed_of(index),
            "size": [width, height],
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def _checked_size(self, settings: PaintSettings) -> tuple[int, int]:
        width, height = size = settings.size or self.size
        if any(side % self.factor or not self.factor <= side <= MAX_SIDE for side in size):
            raise SeedStoryError(
                f"Pictures of {width} x {height} cannot be painted: both sides must be multiples "
                f"of {self.factor} from {self.factor} to {MAX_SIDE}. This world's own size is "
                f"{self.size[0]} x {self.size[1]}."
            )
        if size != self.size:
            own = f"{self.size[0]} x {self.size[1]}"
            logger.warning("painting at %d x %d; this world has learnt %s", width, height, own)
        return size


@dataclass(frozen=True)
class _Share:
    """Reports one picture's steps as a share of all pictures' steps."""

    progress: Progress
    before: int
    pictures: int

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before * total + done, self.pictures * total, note)


def _active(conds: Sequence[Cond], share: float) -> list[Cond]:
    """The conditions that act when ``share`` of the sampling is done."""
    active = [cond for cond in conds if cond.start <= share < cond.end or share == cond.end == 1]
    if not active:
        raise SeedStoryError(f"No condition acts when {share:.0%} of the picture is sampled.")
    return active

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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..images import from_vae
from ..story import check_index
from ..types import Cond, Conditioning, Json, PaintSettings, Progress, Story, no_progress
from .batches import batches, fitting, joined, paired
from .palette_vae import PaletteVae
from .solvers import SOLVERS, open_schedule

if TYPE_CHECKING:
    from ..engine import Engine

MAX_SIDE = 4096
ASSUMED_FREE = 1 << 30  # bytes, where a device does not say what is free
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
        at_once: int = 1,
    ) -> list[Tensor]:
        """Panels of a story by an engine of the conditioning route.

        Args:
            noise: [1, C, h, w] unit noise for every panel instead of the seeded one.
            at_once: panels in one call of the UNet at most; see `fitting`.

        Returns: uint8 [H, W, 3] each.
        """
        size = self._checked_size(settings)
        pictures: list[Tensor] = []
        for some in batches([check_index(story, index) for index in indices], at_once):
            steers = [engine.condition(story, index) for index in some]
            units = [
                self.noise(settings.seed_of(index), size) if noise is None else noise
                for index in some
            ]
            whole = joined(steers)
            if whole is not None:
                steers, units = [whole], [torch.cat(units)]
            for steer, unit in zip(steers, units, strict=True):
                report = _Share(progress, len(pictures), len(unit), len(indices))
                latents = self.sample(steer, unit, settings, report)
                for latent in latents:  # one by one: decoding is what takes most memory
                    pictures += from_vae(self.decode(latent[None]))
        return pictures

    def fitting(self, settings: PaintSettings) -> int:
        """How many panels can be painted at once in the memory that is free on the device."""
        width, height = self._checked_size(settings)
        latents = (width // self.factor) * (height // self.factor)
        return fitting(free_memory(self.device), latents, self.dtype.itemsize)

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
        schedule = open_schedule(settings, self.scheduler)
        schedule.set_timesteps(settings.steps, device=self.device)
        latents = noise.to(self.device, torch.float32) * schedule.init_noise_sigma
        progress(0, settings.steps)
        for step, time in enumerate(schedule.timesteps):
            share = step / settings.steps
            x = schedule.scale_model_input(latents, time).to(self.dtype)
            towards = self._guided(x, time, conditioning, share, settings)
            latents = schedule.step(towards, time, latents).prev_sample
            progress(step + 1, settings.steps)
        return latents

    def _guided(
        self,
        x: Tensor,
        time: Tensor,
        conditioning: Conditioning,
        share: float,
        settings: PaintSettings,
    ) -> Tensor:
        """The UNet's answer to scaled latents [B, 4, h, w] under guidance, fp32.

        ``share``: of the steps that are done.
        """
        to = _active(conditioning.positive, share)
        if settings.guidance == 1 or share >= settings.guidance_until:
            return self._predict(x, time, to)
        off = _active(conditioning.negative, share)
        both = paired(to, off)
        if both is not None:
            towards, away = self._predict(torch.cat([x, x]), time, [both]).chunk(2)
        else:
            towards, away = self._predict(x, time, to), self._predict(x, time, off)
        return away + settings.guidance * (towards - away)

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
        made: dict[str, Json] = {
            "sampler": f"diffusers {SOLVERS[settings.solver].scheduler}",
            "steps": settings.steps,
            "guidance": settings.guidance,
            "seed": settings.seed_of(index),
            "size": [width, height],
            "dtype": str(self.dtype).removeprefix("torch."),
        }
        if settings.guidance_until < 1:
            made["guidance_until"] = settings.guidance_until
        return made

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
    """Reports the steps of some pictures as a share of all pictures' steps."""

    progress: Progress
    before: int
    some: int
    pictures: int

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before * total + self.some * done, self.pictures * total, note)


def free_memory(device: torch.device) -> int:
    """Bytes free on a CUDA device; of any other, what a small painter surely has."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return ASSUMED_FREE


def _active(conds: Sequence[Cond], share: float) -> list[Cond]:
    """The conditions that act when ``share`` of the sampling is done."""
    active = [cond for cond in conds if cond.start <= share < cond.end or share == cond.end == 1]
    if not active:
        raise SeedStoryError(f"No condition acts when {share:.0%} of the picture is sampled.")
    return active

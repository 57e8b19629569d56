"""What an adaptation trains of each model, and the loss of de-tokenizers that predict noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..engines.seed_story.mllm import Mllm
from ..schedule import SDXL
from .adapt_settings import ALSO, FIXED, AdaptSettings
from .detokenizer import PainterModule
from .diffusion import noised

CROSS_ATTENTION = (".attn2.to_k.", ".attn2.to_v.")
LORA = ".lora_"


def choose_told(mllm: Mllm, settings: AdaptSettings) -> None:
    """Train the adapters, and what ``settings.also`` names, of the LLM; nothing else."""
    wanted = [mark for name in settings.also or () for mark in ALSO[name]]
    for name, value in mllm.named_parameters():
        chosen = any(mark in name for mark in wanted) and FIXED not in name
        value.requires_grad_(LORA in name or chosen)


def choose_painted(module: PainterModule, settings: AdaptSettings) -> None:
    """Train keys and values of the UNet's cross-attention; the rest of the two where asked."""
    module.detokenizer.requires_grad_(settings.whole_detokenizer)
    for name, value in module.unet.named_parameters():
        chosen = any(mark in f".{name}" for mark in CROSS_ATTENTION)
        value.requires_grad_(chosen or bool(settings.whole_unet))


class NoisePainter(PainterModule):
    """`PainterModule` of a UNet that predicts the noise itself, as SDXL does (SPEC 6, stage 3)."""

    def __init__(
        self,
        detokenizer: nn.Module,
        unet: Any,
        scheduler: Mapping[str, Any],
        side: int,
        min_snr: float = 0.0,
    ) -> None:
        shares_of = {**scheduler, "prediction_type": "v_prediction"}
        super().__init__(detokenizer, unet, shares_of, side, min_snr)  # pyright: ignore

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """As of `PainterModule`; the mean square error of the noise."""
        times = batch["times"]
        noisy, _ = noised(batch["latents"], batch["noise"], self.shares[times])
        answer = self.predict(noisy, times, batch["features"])
        return {"loss": (answer - batch["noise"]).square().mean()}


def painter_class(scheduler: Mapping[str, Any]) -> type[PainterModule]:
    """The module that trains for what this schedule predicts."""
    kind = {**SDXL, **scheduler}["prediction_type"]
    return NoisePainter if kind == "epsilon" else PainterModule


def train_in_fp32(module: nn.Module) -> None:
    """What is trained is kept in fp32, whatever the frozen rest is in."""
    for value in module.parameters():
        if value.requires_grad:
            value.data = value.data.float()

"""Small additions to a world's UNet, for the library: LoRAs of any strength, and ControlNets."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SeedStoryError
from ..parts import load_strict
from ..weights.reader import read_tensors

LORA_PREFIX = "lora_unet_"  # kohya's, which every stock loader reads
#: Channels of a ControlNet's hint on its way to the latents' size, an eighth of the hint's.
HINT_CHANNELS = (16, 32, 96, 256)
HINT_FACTOR = 8


def read_addition(path: Path) -> dict[str, Tensor]:
    """Tensors of a LoRA's or ControlNet's file, in fp32.

    Raises:
        SeedStoryError: there is no such file, or it is damaged.
    """
    return {name: value.float() for name, value in read_tensors(path).items()}


def lora_state(unet: nn.Module, adapter: str) -> dict[str, Tensor]:
    """Adapters that peft put into a UNet, in kohya's naming and fp16."""
    state = {}
    for name, module in unet.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        layer: Any = module
        flat = f"{LORA_PREFIX}{name.replace('.', '_')}"
        down, up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        state[f"{flat}.lora_down.weight"] = down.detach().half().contiguous()
        state[f"{flat}.lora_up.weight"] = up.detach().half().contiguous()
        state[f"{flat}.alpha"] = torch.tensor(layer.scaling[adapter] * len(down)).half()
    return state


@torch.no_grad()
def with_lora(unet: Any, state: Mapping[str, Tensor], strength: float) -> Any:
    """A copy of a diffusers UNet with a LoRA of kohya's naming added to its linear layers.

    Raises:
        SeedStoryError: the LoRA has layers that the UNet lacks, or of other sizes.
    """
    changed = copy.deepcopy(unet)
    layers = {f"{LORA_PREFIX}{name.replace('.', '_')}": m for name, m in changed.named_modules()}
    for flat in {name.split(".")[0] for name in state}:
        weight, change = getattr(layers.get(flat), "weight", None), _change(state, flat)
        if weight is None or change is None or weight.shape != change.shape:
            raise SeedStoryError(
                f"The LoRA's layer {flat:.80} does not fit this UNet. Expected a LoRA of linear "
                "layers in kohya's naming, trained for this world."
            )
        weight.add_((strength * change).to(weight))
    return changed


def _change(state: Mapping[str, Tensor], flat: str) -> Tensor | None:
    """What a LoRA adds to one layer [out, in]; None if it is not a linear layer's."""
    down, up = (state.get(f"{flat}.lora_{way}.weight") for way in ("down", "up"))
    if down is None or up is None or down.ndim != 2 or up.ndim != 2 or up.shape[1] != len(down):
        return None
    alpha = state.get(f"{flat}.alpha")
    scale = 1.0 if alpha is None or alpha.numel() != 1 else float(alpha) / len(down)
    return scale * (up.float() @ down.float())


def new_control(unet: Any) -> Any:
    """A diffusers ControlNetModel that begins as a copy of the UNet's first half."""
    diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
    return diffusers.ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=HINT_CHANNELS
    )


def open_control(unet: Any, path: Path) -> Any:
    """The ControlNet of a file in diffusers' naming, made for ``unet``.

    Raises:
        SeedStoryError: the file is damaged, or made for another UNet.
    """
    control = new_control(unet)
    load_strict(control, read_addition(path), str(path))
    return nn.Module.to(control.eval().requires_grad_(False), unet.device, unet.dtype)


class ControlledUnet(nn.Module):
    """A UNet that is always steered by a ControlNet; stands where a painter has its UNet.

    Attributes:
        hints: [B, 3, H, W] of 0..1, one for each picture that is being painted; asked for more
            latents, as for a picture and its negative, it goes through them again.
        strength: 0 changes nothing, 1 is what was trained.
    """

    def __init__(self, unet: Any, control: Any, hints: Tensor, strength: float = 1.0) -> None:
        super().__init__()
        self.unet, self.control, self.hints, self.strength = unet, control, hints, strength

    @property
    def config(self) -> Any:
        return self.unet.config

    def forward(
        self, x: Tensor, time: Tensor, encoder_hidden_states: Tensor, added_cond_kwargs: Any
    ) -> Any:
        """As of diffusers' UNet2DConditionModel."""
        given = {
            "encoder_hidden_states": encoder_hidden_states,
            "added_cond_kwargs": added_cond_kwargs,
        }
        hints = self.hints.to(x.device, x.dtype).repeat(len(x) // len(self.hints), 1, 1, 1)
        down, mid = self.control(
            x,
            time,
            controlnet_cond=hints,
            conditioning_scale=self.strength,
            return_dict=False,
            **given,
        )
        extra = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        return self.unet(x, time, **given, **extra)

"""Reading embedded texts together with the engine's layers; each row sees what it is told to."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from ..engines.seed_story.llama import Llama, rotary

LONG = 192  # rows from which on the fused attention is the faster one on the CPU


def read(model: Llama, x: Tensor, positions: Tensor, see: Tensor, save_memory: bool) -> Tensor:
    """Embedded rows [B, T, D] at positions [B, T], each seeing what ``see`` [B, 1, T, T] says.

    The engine's layers in the engine's order; its own forward reads one causal text.

    Returns: hidden states after the final norm, [B, T, D].
    """
    cos, sin = rotary(positions.flatten(), model.config, x.dtype)
    turn = tuple(rearrange(part, "(b t) d -> b 1 t d", b=len(x)) for part in (cos, sin))
    with _attention(x.shape[1], x.device):
        for layer in model.layers:
            if save_memory:
                again = checkpoint(layer, x, turn, see, None, use_reentrant=False)
                x = cast(Tensor, again)
            else:
                x = layer(x, turn, see, None)
    return model.norm(x)


def _attention(rows: int, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The fused kernel for long texts on the CPU, which the loop does not use otherwise."""
    if device.type != "cpu" or rows < LONG:
        return contextlib.nullcontext()
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH])

"""The query resampler: learned queries read a picture's tokens and give a fixed number of them.

The engine has three: the pool of the visual tokenizer, 256 -> 64 into the LLM, 64 -> 256 out of it.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops import torch_ops
from .config import ResamplerConfig


def read_table(table: nn.Module, rows: int, like: Tensor) -> Tensor:
    """All ``rows`` of an embedding leaf -> [rows, D], on the device and in the dtype of ``like``.

    Learned tables sit in embedding leaves and are read by their forward, so that a host's casting
    and offloading reach them.
    """
    return table(torch.arange(rows, device=like.device)).to(like.dtype)


def resize_grid(table: Tensor, tokens: int) -> Tensor:
    """A square grid of vectors, row by row: [g*g, D] -> [tokens, D], bicubic in fp32.

    Without antialiasing even when it shrinks, as the checkpoints were trained with.
    """
    old, new = round(len(table) ** 0.5), round(tokens**0.5)
    if new == old:
        return table
    grid = rearrange(table.float(), "(y x) d -> 1 d y x", y=old)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return rearrange(grid, "1 d y x -> (y x) d").to(table.dtype)


class Resampler(nn.Module):
    """``grid * grid`` learned queries attend once to the source; no residual, no MLP."""

    def __init__(self, config: ResamplerConfig, ops: Any = torch_ops) -> None:
        super().__init__()
        width = config.width
        self.tokens, self.heads = config.tokens, config.heads
        self.kv_proj = (
            nn.Identity()
            if config.source == width
            else ops.Linear(config.source, width, bias=False)
        )
        self.ln_kv = ops.LayerNorm(width, eps=config.eps)
        self.query = ops.Embedding(config.tokens, width)
        self.ln_q = ops.LayerNorm(width, eps=config.eps)
        self.positions = ops.Embedding(config.tokens, width)  # 2-D sines, from the checkpoint
        self.q_proj = ops.Linear(width, width)
        self.k_proj = ops.Linear(width, width)
        self.v_proj = ops.Linear(width, width)
        self.out_proj = ops.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, source] -> [B, grid*grid, width]; L is a square number too."""
        x = self.ln_kv(self.kv_proj(x))
        positions = read_table(self.positions, self.tokens, x)
        query = self.ln_q(read_table(self.query, self.tokens, x)) + positions
        query = query.expand(len(x), -1, -1)
        key = x + resize_grid(positions, x.shape[1])
        q, k, v = (
            rearrange(part, "b l (h d) -> b h l d", h=self.heads)
            for part in (self.q_proj(query), self.k_proj(key), self.v_proj(x))
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(rearrange(out, "b h l d -> b l (h d)"))

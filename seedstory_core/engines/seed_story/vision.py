"""The visual tokenizer (Qwen-VL's ViT-bigG with an attention pool): picture -> features.

Source: src/models/qwen_visual.py of SEED-Story.
"""

from __future__ import annotations

from typing import Any

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops import torch_ops
from .config import VisionConfig
from .resampler import Resampler, read_table, resize_grid


class Attention(nn.Module):
    """Self-attention without a mask."""

    def __init__(self, config: VisionConfig, ops: Any) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = ops.Linear(config.width, 3 * config.width)
        self.out = ops.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        q, k, v = rearrange(self.qkv(x), "b l (three h d) -> three b h l d", three=3, h=self.heads)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.out(rearrange(x, "b h l d -> b l (h d)"))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: VisionConfig, ops: Any) -> None:
        super().__init__()
        self.ln_1 = ops.LayerNorm(config.width, eps=config.eps)
        self.attn = Attention(config, ops)
        self.ln_2 = ops.LayerNorm(config.width, eps=config.eps)
        self.up = ops.Linear(config.width, config.mlp_width)
        self.down = ops.Linear(config.mlp_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        x = x + self.attn(self.ln_1(x))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class Vision(nn.Module):
    """Preprocessed picture -> [B, 256, D], the picture features the whole engine speaks in."""

    def __init__(self, config: VisionConfig, ops: Any = torch_ops) -> None:
        super().__init__()
        width = config.width
        self.table_rows = config.grid * config.grid
        self.patches = ops.Conv2d(3, width, config.patch, stride=config.patch, bias=False)
        self.positions = ops.Embedding(self.table_rows, width)
        self.ln_pre = ops.LayerNorm(width, eps=config.eps)
        self.blocks = nn.ModuleList(Block(config, ops) for _ in range(config.layers))
        self.pool = Resampler(config.pool, ops)
        self.ln_post = ops.LayerNorm(config.pool.width, eps=config.eps)
        self.proj = ops.Linear(config.pool.width, config.pool.width, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S], CLIP-normalised (`images.py`); S a multiple of the patch -> [B, 256, D]."""
        x = rearrange(self.patches(pixels), "b d y x -> b (y x) d")
        x = x + resize_grid(read_table(self.positions, self.table_rows, x), x.shape[1])
        x = self.ln_pre(x)
        for block in self.blocks:
            x = block(x)
        return self.proj(self.ln_post(self.pool(x)))

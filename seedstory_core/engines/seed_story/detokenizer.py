"""The de-tokenizer: picture features -> the tokens and pooled vector that condition SDXL.

Source: src/models_ipa/resampler.py of SEED-Story (ResamplerXLV2). The other half of the
de-tokenizer is a set of changed UNet weights, which is data (`SeedStoryEngine.unet_patch`).
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops import torch_ops
from .config import DetokenizerConfig
from .resampler import read_table


class PerceiverAttention(nn.Module):
    """Latents attend to the picture and to themselves."""

    def __init__(self, config: DetokenizerConfig, ops: Any) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.norm_x = ops.LayerNorm(config.width, eps=config.eps)
        self.norm_latents = ops.LayerNorm(config.width, eps=config.eps)
        self.to_q = ops.Linear(config.width, inner, bias=False)
        self.to_kv = ops.Linear(config.width, 2 * inner, bias=False)
        self.to_out = ops.Linear(inner, config.width, bias=False)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """[B, L, D], [B, Q, D] -> [B, Q, D]."""
        x, latents = self.norm_x(x), self.norm_latents(latents)
        kv = self.to_kv(torch.cat((x, latents), dim=1))
        q = rearrange(self.to_q(latents), "b l (h d) -> b h l d", h=self.heads)
        k, v = rearrange(kv, "b l (two h d) -> two b h l d", two=2, h=self.heads)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(rearrange(out, "b h l d -> b l (h d)"))


class FeedForward(nn.Module):
    """Norm, widen, GELU, narrow."""

    def __init__(self, config: DetokenizerConfig, ops: Any) -> None:
        super().__init__()
        self.norm = ops.LayerNorm(config.width, eps=config.eps)
        self.up = ops.Linear(config.width, config.mlp_width, bias=False)
        self.down = ops.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Q, D] -> [B, Q, D]."""
        return self.down(F.gelu(self.up(self.norm(x))))


class Layer(nn.Module):
    """One round of reading the picture."""

    def __init__(self, config: DetokenizerConfig, ops: Any) -> None:
        super().__init__()
        self.attn = PerceiverAttention(config, ops)
        self.ff = FeedForward(config, ops)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """[B, L, D], [B, Q, D] -> [B, Q, D]."""
        latents = latents + self.attn(x, latents)
        return latents + self.ff(latents)


class AttentionPool(nn.Module):
    """The mean token asks all tokens; its answer is the pooled vector."""

    def __init__(self, config: DetokenizerConfig, ops: Any) -> None:
        super().__init__()
        self.heads, self.rows = config.heads, config.tokens + 1
        self.positions = ops.Embedding(self.rows, config.width)
        self.q_proj = ops.Linear(config.width, config.width)
        self.k_proj = ops.Linear(config.width, config.width)
        self.v_proj = ops.Linear(config.width, config.width)
        self.out_proj = ops.Linear(config.width, config.pooled_width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Q, D] -> [B, D']."""
        x = torch.cat((reduce(x, "b l d -> b 1 d", "mean"), x), dim=1)
        x = x + read_table(self.positions, self.rows, x)
        q, k, v = (
            rearrange(part, "b l (h d) -> b h l d", h=self.heads)
            for part in (self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x))
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(rearrange(out, "b h 1 d -> b (h d)"))


class Detokenizer(nn.Module):
    """Picture features -> SDXL's cross-attention tokens and pooled vector."""

    def __init__(self, config: DetokenizerConfig, ops: Any = torch_ops) -> None:
        super().__init__()
        self.tokens = config.tokens
        self.proj_in = ops.Linear(config.source, config.width)
        self.latents = ops.Embedding(config.tokens, config.width)
        self.layers = nn.ModuleList(Layer(config, ops) for _ in range(config.depth))
        self.norm_out = ops.LayerNorm(config.width, eps=config.eps)
        self.prompt_1 = ops.Linear(config.width, config.prompt_widths[0])
        self.prompt_2 = ops.Linear(config.width, config.prompt_widths[1])
        self.pool = AttentionPool(config, ops)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 256, source] -> tokens [B, Q, sum(prompt_widths)], pooled [B, D']."""
        # Over the tokens of each channel, not over channels: the weights were trained with it
        # (src/models_ipa/resampler.py:269 calls F.normalize with its default dim=1).
        x = self.proj_in(F.normalize(features, dim=1))
        latents = repeat(read_table(self.latents, self.tokens, x), "q d -> b q d", b=len(x))
        for layer in self.layers:
            latents = layer(x, latents)
        h = self.norm_out(latents)
        return torch.cat((self.prompt_1(h), self.prompt_2(h)), dim=-1), self.pool(h)

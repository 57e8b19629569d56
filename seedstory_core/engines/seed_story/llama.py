"""A Llama decoder with Hugging Face's weight names; the cache is passed in, never stored.

What ComfyUI's own Llama and `transformers` do not give together: a span appended to a filled cache,
explicit positions, the last hidden state of every row, and layer classes of the host's choice.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops import torch_ops
from .config import LlmConfig


class Cache(Protocol):
    """What the decoder asks of a cache (`kv_cache.KvCache`)."""

    @property
    def length(self) -> int:
        """Rows kept so far."""
        ...

    def append(
        self, layer: int, keys: Tensor, values: Tensor, plain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New rows [B, H, L, D] -> keys and values of all rows [B, H, length + L, D].

        ``keys`` are turned by their positions, ``plain`` are the same before.
        """
        ...

    def advance(self, rows: int) -> None:
        """Count the rows appended to every layer as kept."""
        ...


def rotary(positions: Tensor, config: LlmConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Positions [L] -> cosines and sines [L, D], computed in fp32; both halves of D are equal."""
    steps = torch.arange(0, config.head_width, 2, device=positions.device, dtype=torch.float32)
    frequencies = 1.0 / config.theta ** (steps / config.head_width)
    angles = repeat(torch.outer(positions.float(), frequencies), "l d -> l (two d)", two=2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn [B, H, L, D] by [L, D]; dimension i pairs with i + D/2 (not with its neighbour)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def causal_mask(new: int, past: int, device: torch.device) -> Tensor | None:
    """True where row i of ``new`` may look: all ``past`` columns and new ones up to i.

    Returns: [new, past + new], or None for a single row, which sees everything.
    """
    if new == 1:
        return None
    return torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)


class Attention(nn.Module):
    """Causal self-attention over the cache and the new rows."""

    def __init__(self, config: LlmConfig, layer: int, ops: Any) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads = config.heads, config.kv_heads
        kv_width = config.kv_heads * config.head_width
        self.q_proj = ops.Linear(config.width, config.width, bias=False)
        self.k_proj = ops.Linear(config.width, kv_width, bias=False)
        self.v_proj = ops.Linear(config.width, kv_width, bias=False)
        self.o_proj = ops.Linear(config.width, config.width, bias=False)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None
    ) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        q = rotate(rearrange(self.q_proj(x), "b l (h d) -> b h l d", h=self.heads), *turn)
        plain = rearrange(self.k_proj(x), "b l (h d) -> b h l d", h=self.kv_heads)
        k = rotate(plain, *turn)
        v = rearrange(self.v_proj(x), "b l (h d) -> b h l d", h=self.kv_heads)
        if cache is not None:
            k, v = cache.append(self.layer, k, v, plain)
        if self.kv_heads != self.heads:
            group = self.heads // self.kv_heads
            k, v = (repeat(part, "b h l d -> b (h g) l d", g=group) for part in (k, v))
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(rearrange(x, "b h l d -> b l (h d)"))


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, config: LlmConfig, ops: Any) -> None:
        super().__init__()
        self.gate_proj = ops.Linear(config.width, config.mlp_width, bias=False)
        self.up_proj = ops.Linear(config.width, config.mlp_width, bias=False)
        self.down_proj = ops.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Pre-norm decoder layer."""

    def __init__(self, config: LlmConfig, layer: int, ops: Any) -> None:
        super().__init__()
        self.input_layernorm = ops.RMSNorm(config.width, eps=config.eps)
        self.self_attn = Attention(config, layer, ops)
        self.post_attention_layernorm = ops.RMSNorm(config.width, eps=config.eps)
        self.mlp = Mlp(config, ops)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None
    ) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        x = x + self.self_attn(self.input_layernorm(x), turn, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Embedded tokens -> last hidden states after the final norm. The lm_head is `Mllm`'s."""

    def __init__(self, config: LlmConfig, ops: Any = torch_ops) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = ops.Embedding(config.vocab, config.width)
        self.layers = nn.ModuleList(Layer(config, index, ops) for index in range(config.layers))
        self.norm = ops.RMSNorm(config.width, eps=config.eps)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        cache: Cache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """New rows after those of ``cache``.

        Args:
            x: [B, L, D], embedded; its dtype is the compute dtype.
            positions: [L], positions of the new rows.
            cache: gets the new rows. When this raises midway the cache is as long as before.
            mask: bool [L, rows of the cache + L], True where a new row may look; else causal.

        Returns: [B, L, D].
        """
        past = 0 if cache is None else cache.length
        turn = rotary(positions, self.config, x.dtype)
        if mask is None:
            mask = causal_mask(x.shape[1], past, x.device)
        for layer in self.layers:
            x = layer(x, turn, mask, cache)
        if cache is not None:
            cache.advance(len(positions))
        return self.norm(x)

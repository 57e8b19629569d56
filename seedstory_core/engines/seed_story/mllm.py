"""The multimodal LLM: token ids and pictures in, hidden states, scores and pictures out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...ops import torch_ops
from .config import SeedStoryConfig
from .llama import Cache, Llama
from .resampler import Resampler


class Mllm(nn.Module):
    """A Llama with a resampler before it (pictures it reads) and one behind (pictures it says)."""

    def __init__(self, config: SeedStoryConfig, ops: Any = torch_ops) -> None:
        super().__init__()
        self.input_resampler = Resampler(config.input_resampler, ops)
        self.model = Llama(config.llm, ops)
        self.lm_head = ops.Linear(config.llm.width, config.llm.vocab, bias=False)
        self.output_resampler = Resampler(config.output_resampler, ops)

    def embed(self, ids: Tensor, slots: Tensor, pictures: Tensor, dtype: torch.dtype) -> Tensor:
        """Token embeddings, with picture rows in place of image tokens.

        Args:
            ids: [B, L] token ids.
            slots: bool [B, L], True where a picture row goes.
            pictures: [S, D] rows of `input_resampler`, one for each True in order; S may be 0.
            dtype: the dtype to compute in.

        Returns: [B, L, D].
        """
        embeds = self.model.embed_tokens(ids).to(dtype, copy=True)
        embeds[slots] = pictures.to(dtype)
        return embeds

    def forward(
        self,
        embeds: Tensor,
        positions: Tensor,
        cache: Cache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """[B, L, D] at positions [L] -> hidden states after the final norm, [B, L, D].

        ``mask``: as of `Llama.forward`.
        """
        return self.model(embeds, positions, cache, mask)

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., D] -> next-token scores [..., V] in fp32. Pass only rows you need."""
        return self.lm_head(hidden).float()

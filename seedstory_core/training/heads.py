"""Heads that read labels from picture features while a visual tokenizer is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops import torch_ops

HEADS = 4


class Heads(nn.Module):
    """A learned query for each label attends to the tokens; a linear layer names its class.

    Args:
        sizes: the number of classes of each label.
    """

    def __init__(self, tokens: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(tokens, width) * 0.1)
        self.queries = nn.Parameter(torch.randn(len(sizes), width) * 0.1)
        self.key = torch_ops.Linear(width, width)
        self.value = torch_ops.Linear(width, width)
        self.classes = nn.ModuleList(torch_ops.Linear(width, size) for size in sizes)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """[B, L, D] -> logits [B, classes] of each label."""
        x = tokens + self.positions
        pattern = "b l (h d) -> b h l d"
        k, v = (rearrange(part(x), pattern, h=HEADS) for part in (self.key, self.value))
        queries = rearrange(self.queries, "q (h d) -> h q d", h=HEADS)
        q = repeat(queries, "h q d -> b h q d", b=len(x)).to(k.dtype)
        read = rearrange(F.scaled_dot_product_attention(q, k, v), "b h q d -> b q (h d)")
        return [layer(read[:, index]) for index, layer in enumerate(self.classes)]

"""The probes' network: a small convolutional trunk on 8 px cells, and a head for each question.

It shares nothing with the models it judges: its own weights, trained on true renders only.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops import torch_ops
from ..picture_world.scene import ACTIONS, MAX_ACTORS, MOODS, PLACES, PROPS, TIMES, WEATHERS
from .sight import KNOWN

SIDE = 64  # pixels of the pictures the probes read
CELL = 8
WIDTH = 112
DEPTH = 3  # 3 x 3 convolutions on cells

#: Questions about the whole picture, and how many answers each has.
PICTURE: dict[str, int] = {
    "place": len(PLACES),
    "time": len(TIMES),
    "weather": len(WEATHERS),
    "prop": len(PROPS) + 1,  # the last is none
    "count": MAX_ACTORS + 2,  # 0 to 3, or more
}
#: Questions about each known character, asked where it stands.
FIGURE: dict[str, int] = {
    "action": len(ACTIONS),
    "mood": len(MOODS),
    "holds": 2,
    "accessory": 2,
    "colours": 2,
}
#: Asked of each known character too, to teach the network where to look: the first column of cells
#: it stands in.
COLUMN = "column"
#: Is a creature there that is nobody known, and where? It has a map of its own, as everybody has.
STRANGER, STRANGER_COLUMN = "stranger", "stranger_column"
#: Where a file of probes says how they were made.
NOTES = "probes"
IGNORE = -100  # label of a question that has no answer, as the mood of someone absent


class Probes(nn.Module):
    """[B, 3, 64, 64] in 0..1 -> logits by question.

    ``present`` is [B, K, 2] for K known characters and `COLUMN` [B, K, 8]; questions of `PICTURE`
    are [B, answers], those of `FIGURE` [B, K, answers], read where that character stands.
    `STRANGER` is [B, 2] and `STRANGER_COLUMN` [B, 8].
    """

    def __init__(self) -> None:
        super().__init__()
        self.colours = torch_ops.Conv2d(3, 12, 1)
        self.cells = torch_ops.Conv2d(12, WIDTH, CELL, CELL)
        self.windows = nn.ModuleList(
            torch_ops.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(DEPTH)
        )
        self.norms = nn.ModuleList(torch_ops.GroupNorm(1, WIDTH) for _ in range(DEPTH))
        self.who = torch_ops.Conv2d(WIDTH, len(KNOWN) + 1, 1)  # the last is a stranger
        self.picture = torch_ops.Linear(2 * WIDTH, sum(PICTURE.values()))
        self.figure = torch_ops.Conv2d(WIDTH, sum(FIGURE.values()), 1)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return self.answers(self.trunk(pixels))

    def trunk(self, pixels: Tensor) -> Tensor:
        """[B, 3, 64, 64] -> what is seen in each cell and around it, [B, WIDTH, 8, 8]."""
        x = self.cells(F.relu(self.colours(pixels - 0.5)))
        for norm, window in zip(self.norms, self.windows, strict=True):
            x = x + window(F.relu(norm(x)))
        return F.relu(x)

    def answers(self, x: Tensor) -> dict[str, Tensor]:
        """[B, WIDTH, 8, 8] -> logits by question."""
        pooled = torch.cat(
            (reduce(x, "b c h w -> b c", "mean"), reduce(x, "b c h w -> b c", "max")), 1
        )
        whole = self.picture(pooled).split(list(PICTURE.values()), dim=1)
        who = self.who(x)
        where = rearrange(who, "b k h w -> b k (h w)")
        here = where.logsumexp(-1)
        there = torch.stack((torch.zeros_like(here), here), dim=-1)
        columns = who.logsumexp(-2)
        shares = where[:, :-1].softmax(-1)
        told = rearrange(self.figure(x), "b a h w -> b a (h w)")
        each = einsum(shares, told, "b k n, b a n -> b k a").split(list(FIGURE.values()), dim=2)
        return {
            **dict(zip(PICTURE, whole, strict=True)),
            **dict(zip(FIGURE, each, strict=True)),
            "present": there[:, :-1],
            COLUMN: columns[:, :-1],
            STRANGER: there[:, -1],
            STRANGER_COLUMN: columns[:, -1],
        }


def probe_loss(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> Tensor:
    """Sum of the questions' cross-entropies; labels [B] or [B, K] with `IGNORE` where unasked."""
    losses = []
    for name, scores in logits.items():
        flat = rearrange(scores, "... a -> (...) a")
        asked = labels[name].reshape(-1)
        total = F.cross_entropy(flat, asked, ignore_index=IGNORE, reduction="sum")
        losses.append(total / (asked != IGNORE).sum().clamp(min=1))
    return torch.stack(losses).sum()

"""An LLM that learns a new series and is held to what it said before.

On rehearsed stories its targets are the answers of its own base, read from the same rows: the
whole distribution of the next token and the features of the picture, not the one word that was
drawn. So rehearsing teaches nothing by heart (Li and Hoiem, "Learning without Forgetting", 2016).
On the few captions of a new series the base has a share in the target, too: which word comes next
is learnt where the base is wrong, as with a new name, and stays open where many words would do
(Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..engines.seed_story.mllm import Mllm
from .llm import TellingModule

REHEARSED = "rehearsed"  # in a batch: bool [B], which windows are
BASE_SHARE = 0.3  # of the base's expectation in the target of a new caption's word


class Reminder(nn.Module):
    """What a module's trained parameters were when the reminder was made.

    The values are no part of any checkpoint: a resumed training builds its module from the same
    base again.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._names = [name for name, value in module.named_parameters() if value.requires_grad]
        for place, name in enumerate(self._names):
            value = module.get_parameter(name).detach().clone()
            self.register_buffer(f"value_{place}", value, persistent=False)

    @contextmanager
    def before(self, module: nn.Module) -> Iterator[None]:
        """``module`` as it was, without gradients, until the block is left."""
        values = [module.get_parameter(name) for name in self._names]
        own = [value.data for value in values]
        torch.clear_autocast_cache()  # it knows weights by their place, not by their values
        try:
            for place, value in enumerate(values):
                value.data = self.get_buffer(f"value_{place}")
            with torch.no_grad():
                yield
        finally:
            for value, data in zip(values, own, strict=True):
                value.data = data
            torch.clear_autocast_cache()


class RemindedTelling(TellingModule):
    """`TellingModule` for batches that say which of their windows are `REHEARSED`.

    Batches that do not are judged as ever, by the words and pictures of the stories.

    Args:
        new: ids of tokens that the base does not have; its own stories never hold one.
    """

    def __init__(
        self,
        mllm: Mllm,
        save_memory: bool = False,
        rec_weight: float = 1.0,
        new: slice = slice(0, 0),
    ) -> None:
        super().__init__(mllm, save_memory, rec_weight)
        self.reminder, self.new = Reminder(mllm), new

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """As of `TellingModule`; words count as the base expects them, in new stories in part."""
        if REHEARSED not in batch:
            return super().forward(batch)
        if "fed" in batch:
            batch = self.fed(batch)
        with self.reminder.before(self.mllm):
            likely, meant = self.says(batch)
            likely[:, self.new].masked_fill_(
                self._is_old(batch, batch["said"])[:, None], -torch.inf
            )
            likely = likely.softmax(-1)
        scores, told = self.says(batch)
        ce = self._words(scores, likely, batch)
        rec = self._pictures(told, meant, batch)
        right = (scores.detach().argmax(-1) == batch["labels"]).float().mean()
        loss = ce + self.rec_weight * rec
        return {"loss": loss, "ce": ce, "rec": rec, "right": right}

    def says(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [M, V] of the rows that say something; pictures told, [R, L, D]."""
        hidden = self.hidden(batch)
        scores = self.mllm.lm_head(hidden[batch["said"]]).float()
        return scores, self.answers(hidden, batch).float()

    def _words(self, scores: Tensor, likely: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of words, a scalar; ``likely`` [M, V] is what the base says."""
        drawn = F.cross_entropy(scores, batch["labels"], reduction="none")
        expected = -(likely * scores.log_softmax(-1)).sum(-1)
        labels = batch["labels"]
        unknown = (labels >= self.new.start) & (labels < self.new.stop)  # the base cannot know it
        share = torch.where(unknown, 0.0, BASE_SHARE)
        share = share.masked_fill(self._is_old(batch, batch["said"]), 1.0)
        return torch.lerp(drawn, expected, share).mean()

    def _pictures(self, told: Tensor, meant: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of pictures: from true ones, of rehearsed stories from what the base meant."""
        old = self._is_old(batch, batch["answers"][:, 0])[:, None, None]
        targets = torch.where(old, meant, batch["targets"])
        return (1 - F.cosine_similarity(told, targets, dim=-1)).mean()

    def _is_old(self, batch: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        return batch[REHEARSED][rows // batch["ids"].shape[1]]

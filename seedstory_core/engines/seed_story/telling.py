"""One panel by the LLM: prompt and picture features in, token ids and picture features out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...context import ContextPolicy
from ...decoding import Markers, decode, picture_rows
from ...errors import SeedStoryError
from ...parts import Part
from ...repeats import NOTHING
from ...sampling import Sampling
from ...types import Story
from .captions import Captions
from .config import SeedStoryConfig
from .mllm import Mllm
from .prompt import Prompt, Vocabulary
from .reader import Page, Reader, ReadingSpeaker, page


@dataclass(frozen=True, eq=False)
class Told:
    """What the LLM said.

    Attributes:
        ids: generated ids, image tokens and a final EOS included.
        features: [L, D] on the CPU, the picture it means, or None where it made none.
    """

    ids: tuple[int, ...]
    features: Tensor | None


class Teller:
    """The LLM part, its vocabulary, and what it has read so far."""

    def __init__(self, config: SeedStoryConfig, words: Vocabulary, part: Part[Mllm]) -> None:
        self.reader = Reader(config.llm)
        self._words, self._part, self._limit = words, part, config.llm.max_positions
        self._markers = Markers(words.begin, words.end, words.slots, words.eos)
        self._captions = Captions(words)

    def tell(
        self,
        prompt: Prompt,
        pictures: Sequence[Tensor],
        policy: ContextPolicy,
        sampling: Sampling,
        seed: int,
        blind: bool,
        on_tokens: Callable[[Sequence[int]], None],
        story: Story | None = None,
    ) -> Told:
        """Text and picture, as the model pleases.

        Args:
            pictures: [L, D] features for each image span of the prompt.
            blind: take the picture's rows as the reference does (`decoding.picture_rows`).
            on_tokens: called with all ids so far; may raise to cancel.
            story: so far; ``sampling`` may ban that its captions come again.
        """
        self.check_room(prompt.ids)
        budget = min(sampling.max_new_tokens, self._limit - len(prompt.ids))
        earlier = self._captions.earlier(story, sampling.no_repeat_story) if story else NOTHING
        with torch.inference_mode():
            llm, like, text = self._open(prompt, pictures, policy, len(prompt.ids) + budget)
            hidden = self.reader.read_page(llm, text, like)[-1]
            speaker = ReadingSpeaker(self.reader, llm, like)
            sampling = replace(sampling, max_new_tokens=budget)
            said = decode(speaker, hidden, self._markers, sampling, seed, on_tokens, earlier)
            rows = picture_rows(said, self._markers, blind)
            return Told(said.ids, None if rows is None else _picture(llm, rows))

    def illustrate(self, prompt: Prompt, pictures: Sequence[Tensor], policy: ContextPolicy) -> Told:
        """The picture for a prompt that ends with the given caption, in one pass."""
        self.check_room(prompt.ids)
        words = self._words
        span = (words.begin, *words.slots)
        with torch.inference_mode():
            rows = len(prompt.ids) + len(span)
            llm, like, text = self._open(prompt, pictures, policy, rows)
            whole = replace(text, ids=(*text.ids, *span), keys=(*text.keys, *span))
            hidden = self.reader.read_page(llm, whole, like)
            features = _picture(llm, hidden[-len(words.slots) :])
        return Told((*span, words.end), features)

    def check_room(self, ids: Sequence[int], caption: str = "", what: str = "caption") -> None:
        """Refuse a prompt behind which no picture fits into the model's positions."""
        picture = len(self._words.slots) + 2
        spare = self._limit - picture - len(ids)
        if spare >= 0:
            return
        own = len(self._words.tokenizer.encode(caption))
        advice = (
            f"Your {what} has {own} tokens; at most {max(0, own + spare)} fit here."
            if own + spare > 0
            else "Let fewer panels stay in view (a smaller Window)."
        )
        raise SeedStoryError(
            f"The prompt has {len(ids)} tokens and a picture needs {picture} more, but this model "
            f"reads {self._limit} at most. {advice}"
        )

    def _open(
        self, prompt: Prompt, pictures: Sequence[Tensor], policy: ContextPolicy, rows: int
    ) -> tuple[Mllm, Tensor, Page]:
        """The model, an empty tensor on its device and in its dtype, and the page to read."""
        part = self._part
        text = page(prompt.ids, self._words.slots, pictures, policy)
        llm = part.acquire(self.reader.bytes_for(rows, part.dtype))
        like = torch.empty(0, device=part.device, dtype=part.dtype)
        self.reader.begin(text, part.dtype, part.device)
        return llm, like, text


def _picture(llm: Mllm, rows: Tensor) -> Tensor:
    """Hidden states [n, D] of the image tokens -> picture features [L, D] on the CPU."""
    features = llm.output_resampler(rows[None])[0].cpu()
    if not features.isfinite().all():
        raise SeedStoryError(
            "The model's picture features are not numbers (NaN or infinite): damaged weights, or a "
            "precision too small for them. Try bf16 or fp32, or check the files: "
            "python -m seedstory_core doctor"
        )
    with torch.inference_mode(False):
        return features.clone()  # a plain tensor, usable in any mode

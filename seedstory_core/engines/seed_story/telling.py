"""One panel by the LLM: prompt and picture features in, token ids and picture features out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...context import ContextPolicy
from ...decoding import Markers, Read, Score, answered, begins_picture, picture_rows, saying
from ...errors import SeedStoryError
from ...parts import Part
from ...repeats import NOTHING, Earlier
from ...sampling import Sampling
from ...types import Story
from .captions import Captions
from .config import SeedStoryConfig
from .graphs import Graphs
from .mllm import Mllm
from .prompt import Prompt, Vocabulary
from .reader import DENSE, Page, Reader, ReadingSpeaker, page, spans

OnTokens = Callable[[Sequence[int]], None]


@dataclass(frozen=True, eq=False)
class Told:
    """What the LLM said.

    Attributes:
        ids: generated ids, image tokens and a final EOS included.
        features: [L, D] on the CPU, the picture it means, or None where it made none.
        would_write_on: of a given caption, whether the LLM itself would have gone on writing
            instead of beginning the picture; None where it was free.
    """

    ids: tuple[int, ...]
    features: Tensor | None
    would_write_on: bool | None = None


Asking = Generator[Read | Score, Tensor, Told]


class Teller:
    """The LLM part, its vocabulary, and what it has read so far."""

    def __init__(self, config: SeedStoryConfig, words: Vocabulary, part: Part[Mllm]) -> None:
        self.graphs = Graphs(part, len(words.slots))
        self.reader = Reader(config.llm, self.graphs.cache_for, self.graphs)
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
        on_tokens: OnTokens,
        story: Story | None = None,
    ) -> Told:
        """Text and picture, as the model pleases.

        Args:
            pictures: [L, D] features for each image span of the prompt.
            blind: take the picture's rows as the reference does (`decoding.picture_rows`).
            on_tokens: called with all ids so far; may raise to cancel.
            story: so far; ``sampling`` may ban that its captions come again.
        """
        sampling = self.within(prompt, policy, sampling)
        earlier = self.earlier(story, sampling)
        with torch.inference_mode():
            llm, like, text = self._open(prompt, pictures, policy, sampling.max_new_tokens)
            hidden = self.reader.read_page(llm, text, like, lambda: on_tokens(()))[-1]
            asking = self.telling(llm, hidden, sampling, seed, on_tokens, earlier, blind)
            return answered(asking, ReadingSpeaker(self.reader, llm, like))

    def illustrate(
        self,
        prompt: Prompt,
        pictures: Sequence[Tensor],
        policy: ContextPolicy,
        sampling: Sampling,
        seed: int,
        on_tokens: OnTokens,
    ) -> Told:
        """The picture for a prompt that ends with the given caption, in one pass.

        The same pass tells whether the model would begin the picture there. If not, the picture
        stands all the same, unless ``sampling.write_on`` has the model write on first.
        """
        span = self.span
        sampling = self.within(prompt, policy, sampling)
        new = sampling.max_new_tokens if sampling.write_on else len(span)
        with torch.inference_mode():
            llm, like, text = self._open(prompt, pictures, policy, new)
            whole = replace(text, ids=(*text.ids, *span), keys=(*text.keys, *span))
            rows = self.reader.read_page(llm, whole, like, lambda: on_tokens(()))
            caption = text.ids[text.pictures[-1].end + 1 :]
            unread = self.reader.unread
            asking = self.illustrating(llm, rows, caption, sampling, seed, on_tokens, unread)
            return answered(asking, ReadingSpeaker(self.reader, llm, like))

    def telling(
        self,
        llm: Mllm,
        hidden: Tensor,
        sampling: Sampling,
        seed: int,
        on_tokens: OnTokens,
        earlier: Earlier,
        blind: bool = False,
    ) -> Asking:
        """What `tell` asks of the LLM behind its prompt, whose last hidden state [D] is given."""
        said = yield from saying(hidden, self._markers, sampling, seed, on_tokens, earlier)
        rows = picture_rows(said, self._markers, blind)
        return Told(said.ids, None if rows is None else _picture(llm, rows))

    def illustrating(
        self,
        llm: Mllm,
        rows: Tensor,
        caption: Sequence[int],
        sampling: Sampling,
        seed: int,
        on_tokens: OnTokens,
        unread: Callable[[int], object],
    ) -> Asking:
        """What `illustrate` asks of the LLM behind its prompt and the picture's `span`.

        Args:
            rows: [L, D], hidden states of the last rows: one of the prompt's and the span's.
            caption: its ids.
            unread: takes back so many rows.
        """
        span, slots = self.span, self._words.slots
        last, rows = rows[-len(span) - 1], rows[-len(slots) :]
        begins = begins_picture((yield Score(last)), caption, self._markers, sampling)
        if begins or not sampling.write_on:
            return Told((*span, self._words.end), _picture(llm, rows), not begins)
        unread(len(span))
        said = yield from saying(last, self._markers, sampling, seed, on_tokens, given=caption)
        added = picture_rows(said, self._markers)
        return Told(said.ids, None if added is None else _picture(llm, added), True)

    @property
    def span(self) -> tuple[int, ...]:
        """Ids that ask for a picture."""
        return (self._words.begin, *self._words.slots)

    def earlier(self, story: Story | None, sampling: Sampling) -> Earlier:
        """Captions of ``story`` that may not come again."""
        return self._captions.earlier(story, sampling.no_repeat_story) if story else NOTHING

    def check_room(
        self,
        ids: Sequence[int],
        policy: ContextPolicy = DENSE,
        caption: str = "",
        what: str = "caption",
    ) -> int:
        """Refuse a prompt behind which no picture fits into the model's positions.

        Returns: how many tokens fit behind it.
        """
        used = self._in_view(ids, policy) if policy.reindexes else len(ids)
        picture = len(self._words.slots) + 2
        spare = self._limit - picture - used
        if spare >= 0:
            return self._limit - used
        own = len(self._words.tokenizer.encode(caption))
        advice = (
            f"Your {what} has {own} tokens; at most {max(0, own + spare)} fit here."
            if own + spare > 0
            else "Let fewer panels stay in view (a smaller Window), or choose a sink that counts "
            "positions anew (reindexed)."
        )
        raise SeedStoryError(
            f"The prompt takes {used} positions and a picture needs {picture} more, but this model "
            f"reads {self._limit} at most. {advice}"
        )

    def _in_view(self, ids: Sequence[int], policy: ContextPolicy) -> int:
        return policy.in_view(spans(ids, self._words.slots), len(ids))

    def within(self, prompt: Prompt, policy: ContextPolicy, sampling: Sampling) -> Sampling:
        """``sampling`` that says no more than the model's positions are enough for."""
        room = self.check_room(prompt.ids, policy)
        return replace(sampling, max_new_tokens=min(sampling.max_new_tokens, room))

    def _open(
        self, prompt: Prompt, pictures: Sequence[Tensor], policy: ContextPolicy, new: int
    ) -> tuple[Mllm, Tensor, Page]:
        """The model, an empty tensor on its device and in its dtype, and the page to read, with
        memory for it and ``new`` rows more."""
        part = self._part
        text = page(prompt.ids, self._words.slots, pictures, policy)
        rows = self._in_view(prompt.ids, policy) + new
        llm = part.acquire(self.reader.bytes_for(rows, part.dtype, policy))
        self.graphs.prepare(llm)
        like = torch.empty(0, device=part.device, dtype=part.dtype)
        self.reader.begin(text, (part.dtype, part.version), part.device)
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

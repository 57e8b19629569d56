"""Several stories told in one batch, each as `SeedStoryEngine.tell` alone would tell it.

Every story is a generator that lays out its own prompts, chooses its own words and adds its own
panels; only what it asks of the LLM is done together with the others. None waits for another: one
reads a picture, or begins its next panel, while the others are in the middle of a sentence.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...context import Block, ContextPolicy, Dense, Window
from ...decoding import Read, Score
from ...decoding_batch import together
from ...futures import Captions, OnPanel, Plan, numbered, one_after_the_other, plans_of
from ...sampling import Sampling
from ...story import check_story
from ...types import Progress, Story, no_progress
from .features import panel_features
from .mllm import Mllm
from .prompt import Prompt, clean, display
from .reader import page
from .shared_reader import SharedReader
from .telling import Asking, Teller

if TYPE_CHECKING:
    from .engine import SeedStoryEngine

#: Policies under which a prompt has whole panels only. A sink's rows leave and move up, each
#: story's at another time; its stories are told one after the other.
TOGETHER = (Dense, Window, Block)
AT_ONCE = 8  # stories in one batch: beyond it memory grows more than speed


def tell_together(
    engine: SeedStoryEngine,
    teller: Teller,
    usual: tuple[Sampling, ContextPolicy],
    stories: Sequence[Story],
    captions: Sequence[Captions] | None = None,
    sampling: Sampling | None = None,
    context: ContextPolicy | None = None,
    seeds: Sequence[int] | None = None,
    progress: Progress = no_progress,
    *,
    panels: int | Sequence[int] = 1,
    on_panel: OnPanel = lambda number, story: None,
) -> list[Story]:
    """As `futures.tell_futures`, at most `AT_ONCE` stories in one batch.

    Args:
        teller: the engine's own.
        usual: sampling and context where none is given.
    """
    for story in stories:
        check_story(story, engine)
    sampling, context = sampling or usual[0], context or usual[1]
    plans = plans_of(stories, captions, seeds, panels)
    if not isinstance(context, TOGETHER) or len(plans) == 1:
        return one_after_the_other(engine, plans, sampling, context, progress, on_panel)
    told: list[Story] = []
    for start in range(0, len(plans), AT_ONCE):
        some = plans[start : start + AT_ONCE]
        before = sum(plan.panels for plan in plans[:start])
        report = _share(progress, before, sum(plan.panels for plan in plans))
        told += _Batch(engine, teller, some, sampling, context, report, on_panel).tell()
    return told


def _share(progress: Progress, before: int, panels: int) -> Progress:
    """Reports what a batch has done, in tokens of ``total`` a panel, as a share of all panels."""

    def report(done: int, total: int, note: str = "") -> None:
        progress(before * total + done, panels * total, note)

    return report


class _Batch:
    """Some stories on their way through the LLM together."""

    def __init__(
        self,
        engine: SeedStoryEngine,
        teller: Teller,
        plans: Sequence[Plan],
        sampling: Sampling,
        context: ContextPolicy,
        progress: Progress,
        on_panel: OnPanel,
    ) -> None:
        self._engine, self._teller, self._part = engine, teller, engine.parts["llm"]
        self._plans, self._sampling, self._context = plans, sampling, context
        self._progress, self._on_panel = progress, on_panel
        self._reader = SharedReader(engine.config.llm, len(plans), teller.reader.on_forward)
        self._features: dict[int, Mapping[str, Tensor]] = {}  # pictures of each line's prompt
        self._done, self._notes = [0] * len(plans), [""] * len(plans)
        self._coming = [0] * len(plans)  # tokens that each line may still say of its panel
        self._llm: Mllm | None = None
        self._begun = False  # a panel has, since the LLM was acquired last

    def tell(self) -> list[Story]:
        """The stories, longer."""
        self._report()
        self._teller.reader.forget()  # one story's rows would lie beside those of all
        with torch.inference_mode():
            lines = {line: self._story(line, plan) for line, plan in enumerate(self._plans)}
            told = together(lines, self._read, self._score)
        return [told[line] for line in range(len(lines))]

    def _story(self, line: int, plan: Plan) -> Generator[Read | Score, Tensor, Story]:
        """One story to its end."""
        story, words = plan.story, self._engine.words
        for panel in range(plan.panels):
            if story.ended:
                break
            caption, seed = plan.caption(panel), plan.seed(panel)
            given = None if caption is None else words.check_caption(caption, "caption")
            prompt = self._engine.prompt(story, given, self._context)
            self._teller.check_room(prompt.ids, self._context, given or "")
            told = yield from self._panel(line, story, prompt, given, seed)
            story = self._engine.add(story, told, given, seed, self._sampling, self._context)
            self._done[line] = (panel + 1) * self._sampling.max_new_tokens
            self._notes[line] = story.closing or story.panels[-1].caption
            self._on_panel(plan.number, story)
        self._done[line], self._coming[line] = plan.panels * self._sampling.max_new_tokens, 0
        return story

    def _panel(
        self, line: int, story: Story, prompt: Prompt, given: str | None, seed: int
    ) -> Asking:
        """One panel, as `Teller.tell` and `Teller.illustrate` have it."""
        teller, words, begun = self._teller, self._engine.words, self._done[line]
        sampling = teller.within(prompt, self._context, self._sampling)
        pictures = [
            panel_features(story.panels[i], i, self._engine.config) for i in prompt.pictures
        ]
        text = page(prompt.ids, words.slots, pictures, self._context)
        caption = prompt.ids[text.pictures[-1].end + 1 :]
        span = () if given is None else teller.span
        text = replace(text, ids=(*text.ids, *span), keys=(*text.keys, *span))
        self._features[line], self._notes[line] = text.features, given or ""

        writes = given is None or sampling.write_on
        self._coming[line] = most = sampling.max_new_tokens if writes else 0

        def on_tokens(ids: Sequence[int]) -> None:
            self._done[line], self._coming[line] = begun + len(ids), most - len(ids)
            self._notes[line] = display(clean(words.tokenizer.decode(ids)))

        self._begun = True
        rows = yield Read(self._reader.begin(line, text, 1 + len(span)))
        llm = self._acquired
        if given is None:
            earlier = teller.earlier(story, sampling)
            return (yield from teller.telling(llm, rows[-1], sampling, seed, on_tokens, earlier))

        def unread(count: int) -> None:
            self._reader.unread(line, count)

        return (
            yield from teller.illustrating(llm, rows, caption, sampling, seed, on_tokens, unread)
        )

    @property
    def _acquired(self) -> Mllm:
        assert self._llm is not None, "something was read"
        return self._llm

    def _acquire(self, new: int) -> None:
        """The LLM, with memory for the rows that are kept, for ``new`` ones, and for all that the
        stories may still say."""
        rows = self._reader.rows + new + sum(self._coming)
        self._llm = self._part.acquire(self._teller.reader.bytes_for(rows, self._part.dtype))
        self._begun = False

    def _read(self, asked: Mapping[int, Read]) -> Mapping[int, Tensor]:
        """What some lines read next, in one go; all can be cancelled before each pass."""
        wanted = {line: ask.keys for line, ask in asked.items()}
        if self._begun:
            self._acquire(self._reader.rows_for(wanted))
        features = {name: row for line in asked for name, row in self._features[line].items()}
        like = torch.empty(0, device=self._part.device, dtype=self._part.dtype)
        return self._reader.read(self._acquired, wanted, features, like, self._report)

    def _score(self, hidden: Tensor) -> Tensor:
        """Hidden states [N, D] -> next-token scores [N, V], fp32 on the CPU."""
        return self._acquired.scores(hidden).cpu()

    def _report(self) -> None:
        notes = [numbered(plan.number, self._notes[line]) for line, plan in enumerate(self._plans)]
        self._progress(sum(self._done), self._sampling.max_new_tokens, "\n".join(notes))

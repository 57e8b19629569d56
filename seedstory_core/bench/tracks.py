"""A track is one mode's story, told panel by panel beside those of the other modes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ..context import ContextPolicy, Window
from ..engines.seed_story.engine import SeedStoryEngine
from ..engines.seed_story.features import SPACE
from ..engines.seed_story.prompt import TURN, Vocabulary, clean, display
from ..story import append
from ..types import Panel, Story
from .baseline import Baseline
from .meter import Cost, Meter
from .modes import Mode
from .quantised import quantised
from .stage import Stage
from .stock_cache import keys_and_values


class Track(ABC):
    """One mode's story and the panels' costs.

    Attributes:
        story: so far.
        costs: one a told panel.
        decoder: what passes rows; ``head``: what scores them.
    """

    decoder: nn.Module
    head: nn.Module

    def __init__(self, mode: Mode, stage: Stage) -> None:
        self.mode, self.stage = mode, stage
        self.story = stage.opening
        self.costs: list[Cost] = []

    def advance(self, meter: Meter) -> None:
        """Tell and measure the next panel."""
        self.prepare()
        caption = self.stage.captions[len(self.costs)] if self.mode.given else None
        with meter.panel(self, 0 if self.mode.given else self.stage.length) as cost:
            self.story = self.tell(caption)
        self.costs.append(cost)

    def prepare(self) -> None:
        """What is done before the clock runs."""
        return

    @contextmanager
    def listening(
        self, forward: Callable[[int], None], head: Callable[[int], None]
    ) -> Iterator[None]:
        """See `meter.Source`."""

        def scored(module: nn.Module, args: tuple[Any, ...]) -> None:
            head(args[0].numel() // args[0].shape[-1])

        hook = self.head.register_forward_pre_hook(scored)
        try:
            with self.counting(forward):
                yield
        finally:
            hook.remove()

    def read_bytes(self) -> tuple[int, int]:
        """What decoding a word reads: all weights of layers and head, and a row of the KV."""
        layers = self.decoder.get_submodule("layers")
        read = (*layers.parameters(), *layers.buffers(), *self.head.parameters())
        llm, dtype = self.stage.config.llm, self.stage.weights.dtype
        row = 2 * llm.layers * llm.kv_heads * llm.head_width * dtype.itemsize
        return sum(value.nbytes for value in read), row

    @abstractmethod
    def tell(self, caption: str | None) -> Story:
        """The story and one more panel."""

    @abstractmethod
    def counting(self, forward: Callable[[int], None]) -> AbstractContextManager[None]:
        """Inside, ``forward`` hears of every pass through the decoder."""

    @abstractmethod
    def held(self) -> tuple[int, int]:
        """Rows and bytes of the KV."""


class EngineTrack(Track):
    """Told by our engine, through its public calls."""

    def __init__(self, mode: Mode, stage: Stage) -> None:
        super().__init__(mode, stage)
        self.decoder, self.head = stage.weights.mllm.model, stage.weights.mllm.lm_head
        self._engine, self._sampling = stage.engine(mode.graphs), stage.sampling()

    def prepare(self) -> None:
        """A mode that keeps nothing begins with an engine that has read nothing."""
        if self.mode.fresh:
            self._engine = self.stage.engine(self.mode.graphs)

    def tell(self, caption: str | None) -> Story:
        return self._engine.tell(self.story, caption, self._sampling, self.mode.policy)

    @contextmanager
    def counting(self, forward: Callable[[int], None]) -> Iterator[None]:
        """The reader tells, since a captured graph calls no module."""
        reader = self._engine.reader
        before, reader.on_forward = reader.on_forward, forward
        try:
            yield
        finally:
            reader.on_forward = before

    def held(self) -> tuple[int, int]:
        return self._engine.reader.rows, self._engine.reader.nbytes


class ReferenceTrack(Track):
    """Told by the baseline; prompts are laid out by the engine, as ours are."""

    def __init__(self, mode: Mode, stage: Stage, baseline: Baseline) -> None:
        super().__init__(mode, stage)
        self.decoder, self.head = baseline.llama.model, baseline.llama.lm_head
        self._engine, self._baseline = stage.engine(), baseline

    def tell(self, caption: str | None) -> Story:
        panel = referenced(
            self._baseline, self._engine, self.story, caption, self.stage.length, self.mode.policy
        )
        return append(self.story, panel)

    @contextmanager
    def counting(self, forward: Callable[[int], None]) -> Iterator[None]:
        """A hook tells."""

        def passing(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            embeds = kwargs.get("inputs_embeds")
            forward((kwargs["input_ids"] if embeds is None else embeds).shape[1])

        hook = self.decoder.register_forward_pre_hook(passing, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def held(self) -> tuple[int, int]:
        cache = self._baseline.take_cache()
        size = sum(keys.nbytes + values.nbytes for keys, values in keys_and_values(cache))
        return cache.get_seq_length(), size


def referenced(
    baseline: Baseline,
    engine: SeedStoryEngine,
    story: Story,
    caption: str | None,
    length: int,
    policy: ContextPolicy,
) -> Panel:
    """The panel behind ``story`` by the baseline, from the prompt that ``policy`` asks for."""
    prompt = engine.prompt(story, caption, policy)
    pictures = [story.panels[i].features[SPACE] for i in prompt.pictures]
    ids, features = baseline.tell(prompt.ids, pictures, length if caption is None else 0)
    if caption is None:
        text, origin = clean(engine.words.tokenizer.decode(ids)), "told"
    else:
        text, origin = TURN + caption, "illustrated"
    return Panel(display(text), text, origin, ids, {SPACE: features})


class Theatre:
    """Makes tracks; baselines share one stock model for each kind of weights."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._baselines: dict[bool, Baseline] = {}
        self._stages = {"": stage}

    def baseline(self, merged: bool) -> Baseline:
        """The stock model with its LoRA merged or not."""
        if merged not in self._baselines:
            config, tokenizer = self.stage.config, self.stage.tokenizer
            words = Vocabulary(tokenizer, config.image_tokens, config.llm.vocab)
            self._baselines[merged] = Baseline(config.llm, words, self.stage.weights, merged)
        return self._baselines[merged]

    def tracks(self, modes: Sequence[Mode]) -> list[Track]:
        """A track at its beginning for each mode."""
        return [
            ReferenceTrack(mode, self.stage, self.baseline(mode.merged))
            if mode.reference
            else EngineTrack(mode, self.staged(mode.form))
            for mode in modes
        ]

    def staged(self, form: str) -> Stage:
        """The stage with weights quantised as ``form``; "": as they are."""
        if form not in self._stages:
            weights = quantised(self.stage.config, self.stage.weights, form)
            self._stages[form] = replace(self.stage, weights=weights)
        return self._stages[form]


def features_at(story: Story, index: int) -> Tensor:
    """The features of panel ``index``, fp64."""
    return story.panels[index].features[SPACE].double()


def wide(size: int) -> Window:
    """A window that never slides in a story of ``size`` panels."""
    return replace(Window(), size=size + 1)

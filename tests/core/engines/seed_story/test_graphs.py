"""Captured steps: when they may be used, and that they say what plain passes say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.tiny_tales import CONFIG, SLOTS, SWELL, TinyTeller, opening, rounding, tiny_llm

from seedstory_core.context import Block, ContextPolicy, Dense, MultimodalSink, Window
from seedstory_core.engines.seed_story.graphs import Graphs, Situation, Verdict, judge, look
from seedstory_core.engines.seed_story.reader import Reader
from seedstory_core.engines.seed_story.static_cache import ROWS, Static
from seedstory_core.kv_cache import STEP

CPU = torch.device("cpu")
PICTURE = len(SLOTS) + 1  # rows of a picture without its end, or without its begin
POLICIES = [
    pytest.param(Dense(), id="dense"),
    pytest.param(Window(2), id="window"),
    pytest.param(Block(3, 2), id="block"),
    pytest.param(MultimodalSink(2, 2, 1, 2, 2, 1, cap=2), id="sink"),
    pytest.param(MultimodalSink(2, 2, 1, 2, 2, 1, cap=2, positions="original"), id="sink-original"),
]


class Uncaptured:
    """A double of `CudaRecorder`: the same steps over the same tensors, run by Python.

    Attributes:
        recorded: how many steps were recorded; ``run``: how many were run again.
    """

    def __init__(self) -> None:
        self.recorded = self.run = 0

    def record(self, step: Callable[[], None], device: Any) -> tuple[Callable[[], None], int]:
        self.recorded += 1
        step()
        step()  # as the warm-up does: the inputs are computed more than once

        def again() -> None:
            self.run += 1
            step()

        return again, 7


def allow(situation: Situation) -> Verdict:
    return Verdict(True, "a test")


def with_graphs(policy: ContextPolicy, dtype: torch.dtype = torch.float32) -> Any:
    """A teller that reads by uncaptured steps, with its `Graphs` and its recorder."""
    part: Any = SimpleNamespace(device=CPU, dtype=dtype)
    recorder = Uncaptured()
    graphs = Graphs(part, len(SLOTS), recorder, allow)
    teller = TinyTeller(policy, dtype, Reader(CONFIG.llm, graphs.cache_for, graphs))
    graphs.prepare(teller.llm)
    return SimpleNamespace(teller=teller, graphs=graphs, recorder=recorder)


def told(made: Any, panels: int = 3) -> list[Any]:
    story = opening(torch.float32)
    for _ in range(panels):
        story = made.teller.tell(story)
    return story


# -- the decision ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("situation", "allowed", "reason"),
    [
        (Situation("cuda"), True, "rest on the GPU"),
        (Situation("cpu"), False, "need an NVIDIA GPU; the LLM is on cpu"),
        (Situation("mps"), False, "the LLM is on mps"),
        (Situation("cuda", rocm=True), False, "AMD"),
        (Situation("cuda", unwanted=True), False, "SEEDSTORY_CUDA_GRAPHS is 0"),
        (Situation("cuda", dynamic=True), False, "dynamic memory moves weights"),
        (Situation("cuda", away=3), False, "3 of the LLM's weights are not on the GPU"),
        (Situation("cuda", patched=2), False, "2 layers are patched while they are used"),
        (Situation("cuda", failed="no memory"), False, "capturing failed: no memory"),
        (Situation("cuda", dynamic=True, away=9), False, "dynamic"),  # the mode, not its effect
        (Situation("cpu", dynamic=True, away=9), False, "NVIDIA"),
    ],
)
def test_graphs_are_for_weights_that_stay_on_the_card(
    situation: Situation, allowed: bool, reason: str
) -> None:
    verdict = judge(situation)
    assert verdict.allowed is allowed and reason in verdict.reason


class Wrapped(torch.Tensor):
    """A tensor of two, as libraries keep quantised weights."""

    @staticmethod
    def __new__(cls, values: torch.Tensor, scale: torch.Tensor) -> Wrapped:
        made = torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=torch.float32)
        made.values_, made.scale = values, scale
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["values_", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, parts: Any, *_: Any) -> Wrapped:
        return cls(parts["values_"], parts["scale"])

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, _types: Any, args: Any = (), _more: Any = None
    ) -> Any:
        assert function is torch.ops.aten.detach.default, function
        return args[0]


def test_the_situation_is_read_from_the_part_and_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def weights(*tensors: torch.Tensor) -> Any:
        layer = torch.nn.Module()
        for number, tensor in enumerate(tensors):
            layer.register_parameter(f"w{number}", torch.nn.Parameter(tensor, requires_grad=False))
        return SimpleNamespace(model=layer)

    here, gone = torch.zeros(2), torch.zeros(2, device="meta")
    part: Any = SimpleNamespace(device=CPU)
    monkeypatch.delenv("SEEDSTORY_CUDA_GRAPHS", raising=False)
    assert look(part, weights(here)) == Situation("cpu")
    assert look(part, weights(here, gone, gone), "once").away == 2
    assert look(part, weights(here), "once").failed == "once"
    assert look(part, weights(Wrapped(torch.zeros(2, 2), gone))).away == 1
    dynamic: Any = SimpleNamespace(device=CPU, is_dynamic=lambda: True)
    assert look(dynamic, weights(here)).dynamic
    patched = weights(here)
    patched.model.weight_function = [abs]
    assert look(part, patched).patched == 1
    monkeypatch.setenv("SEEDSTORY_CUDA_GRAPHS", "0")
    assert look(part, weights(here)) == Situation("cpu", unwanted=True)


def test_on_the_cpu_nothing_is_static_and_nothing_captured() -> None:
    part: Any = SimpleNamespace(device=CPU)
    graphs = Graphs(part, len(SLOTS))
    cache = graphs.cache_for(Dense(), CONFIG.llm)
    graphs.prepare(tiny_llm(torch.float32))
    assert not isinstance(cache, Static) and not graphs.verdict.allowed


# -- the same story --------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_steps_over_static_buffers_tell_the_same_story(policy: ContextPolicy) -> None:
    """In fp64: what a picture is off by goes into the next panels, where this model swells it."""
    dtype = torch.float64
    plain, made = TinyTeller(policy, dtype), with_graphs(policy, dtype)
    ours, theirs = opening(dtype), opening(dtype)
    short = 0
    for panel in range(7):
        given = (8, 9, 10) if panel == 4 else None
        ours = made.teller.give(ours, given) if given else made.teller.tell(ours)
        theirs = plain.give(theirs, given) if given else plain.tell(theirs)
        assert ours[-1].words == theirs[-1].words
        near = rounding(dtype, SWELL)
        torch.testing.assert_close(made.teller.hidden, plain.hidden, **near)
        torch.testing.assert_close(ours[-1].features, theirs[-1].features, **near)
        assert made.teller.forwards == plain.forwards
        short += sum(rows in (1, PICTURE, PICTURE + 1) for rows in plain.forwards)
    assert made.teller.reader.rows == plain.reader.rows
    assert made.recorder.run == short  # all of them, and the others plainly


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, PICTURE, PICTURE + 1])
def test_one_step_is_one_plain_pass(count: int, policy: ContextPolicy) -> None:
    """Over the same rows, but for rounding; and it leaves the same rows behind."""
    made = with_graphs(policy)
    told(made, 4)
    llm, cache = made.teller.llm, made.teller.reader._cache
    length = cache.length
    embeds = torch.randn(1, count, 32, generator=torch.Generator().manual_seed(1))
    positions = torch.arange(length, length + count)
    with torch.no_grad():
        plain = llm(embeds, positions, cache)
        rows = [part.clone() for layer in range(3) for part in cache.rows(layer)]
        cache.crop(length)
        stepped = made.graphs(llm, embeds, positions, cache)
        torch.testing.assert_close(stepped, plain, **rounding(torch.float32))
    assert cache.length == length + count and made.recorder.run
    for kept, wanted in zip(
        [part for layer in range(3) for part in cache.rows(layer)], rows, strict=True
    ):
        torch.testing.assert_close(kept, wanted, **rounding(torch.float32))


@pytest.mark.parametrize("rows", [STEP - 30, ROWS - 30])
def test_the_story_goes_on_over_the_end_of_a_span_and_of_the_buffers(rows: int) -> None:
    """In fp64, as above: 6 panels swell what fp32 rounds."""
    dtype = torch.float64
    plain, made = TinyTeller(Dense(), dtype), with_graphs(Dense(), dtype)
    story = opening(dtype)
    story = [story[0]._replace(words=tuple(5 + i % 20 for i in range(rows)))]
    ours, theirs = story, story
    for _ in range(6):
        ours, theirs = made.teller.tell(ours), plain.tell(theirs)
        torch.testing.assert_close(made.teller.hidden, plain.hidden, **rounding(dtype, SWELL))
    assert [panel.words for panel in ours] == [panel.words for panel in theirs]
    spans = {span for _, span in made.teller.reader._cache.captured}
    assert spans == ({STEP, 2 * STEP} if rows < STEP else {ROWS + STEP})  # grown: captured anew


def test_each_shape_is_captured_once() -> None:
    made = with_graphs(Window(2))
    story = opening(torch.float32)
    for _ in range(6):
        story = made.teller.tell(story)
    captured = made.teller.reader._cache.captured
    assert set(captured) == {(1, STEP), (PICTURE, STEP)}  # said and read back alike
    assert made.recorder.recorded == 2
    own = sum(step.nbytes for step in captured.values())
    buffers = 2 * 3 * 2 * ROWS * 8 * 4  # keys and values, layers, heads, rows, width, fp32
    assert own > 14 and made.teller.reader.nbytes == buffers + own


# -- letting go ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["park", "forget"])
def test_parked_or_forgotten_nothing_captured_is_left(how: str) -> None:
    made = with_graphs(Window(2))
    told(made)
    cache = made.teller.reader._cache
    assert cache.captured
    if how == "park":  # to somewhere as far from here as the CPU is from a card
        cache.to(torch.device("meta"))
        assert not cache.captured
    else:
        made.teller.reader.forget()
        assert not made.teller.reader._cache.captured and made.teller.reader.nbytes == 0


def test_weights_that_moved_are_captured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_graphs(Window(2))
    story = told(made)
    made.teller.tell(story)
    assert made.recorder.recorded == 2
    weight = made.teller.llm.model.norm.weight
    monkeypatch.setattr(weight, "data", weight.data.clone())
    made.graphs.prepare(made.teller.llm)
    made.teller.tell(story)
    assert made.recorder.recorded == 4


def test_a_verdict_against_it_drops_what_was_captured() -> None:
    made = with_graphs(Window(2))
    story, plain = told(made), TinyTeller(Window(2))
    made.graphs._judge = judge
    made.graphs.prepare(made.teller.llm)
    assert made.teller.tell(story)[-1].words == plain.tell(story)[-1].words
    assert not made.teller.reader._cache.captured


def test_a_capture_that_fails_is_said_once_and_plain_passes_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, plain = with_graphs(Window(2)), TinyTeller(Window(2))
    made.graphs._judge = lambda situation: Verdict(not situation.failed, situation.failed)

    def fail(step: Callable[[], None], device: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nsecond line")

    monkeypatch.setattr(made.recorder, "record", fail)
    theirs = opening(torch.float32)
    for _ in range(3):
        theirs = plain.tell(theirs)
    with caplog.at_level(logging.WARNING):
        ours = told(made)
    assert [panel.words for panel in ours] == [panel.words for panel in theirs]
    assert not made.graphs.verdict.allowed
    assert len(caplog.records) == 1 and "stream is capturing" in caplog.text
    made.graphs.prepare(made.teller.llm)
    assert not made.graphs.verdict.allowed  # nor is it tried again


def test_a_step_that_is_cancelled_leaves_the_cache_as_it_was() -> None:
    made, plain = with_graphs(Window(2)), TinyTeller(Window(2))
    story = told(made)
    rows = made.teller.reader.rows
    layer = made.teller.llm.model.layers[1]
    hook = layer.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        made.teller.tell(story)
    hook.remove()
    assert made.teller.reader.rows <= rows
    assert made.teller.tell(story)[-1].words == plain.tell(story)[-1].words

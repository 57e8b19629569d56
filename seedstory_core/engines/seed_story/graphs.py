"""The LLM's short passes as CUDA graphs, captured by hand.

A panel is some fifty passes of one row and two of a picture's rows. In each of them the processor
that starts hundreds of small kernels is slower than the card that runs them. A captured graph
starts them all at once. What a graph reads and writes must stay in place, so a pass is captured
only while all weights rest on the card, over a static cache, with its inputs in fixed tensors::

    embeds [1, L, D], positions [L], rows [L]  ->  layers, final norm  ->  hidden [1, L, D]

Two traps (PERFORMANCE 7): Inductor's graph trees break on cudaMallocAsync, which ComfyUI allocates
with, so nothing here compiles; and nothing allocated during a capture outlives it (the result is
copied into a tensor made before), so that either allocator can reuse it all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ...context import ContextPolicy
from ...kv_cache import STEP, KvCache
from ...parts import Part
from .config import LlmConfig
from .llama import Llama
from .mllm import Mllm
from .static_cache import Lane, Static, static_cache_for
from .turning import cache_for

SWITCH = "SEEDSTORY_CUDA_GRAPHS"  # environment variable
WARM_UPS = 2  # kernels are chosen and workspaces made in the first, used again in the second

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Situation:
    """What the decision for or against graphs rests on.

    Attributes:
        device: type of the device that the LLM computes on.
        rocm: torch is built for AMD.
        dynamic: the host pages weights in and out by itself.
        away: weights that are not on the device.
        patched: layers whose weights are patched while they are used.
        failed: why a capture has failed before, empty if none has.
        unwanted: the user says no (`SWITCH` is 0).
    """

    device: str
    rocm: bool = False
    dynamic: bool = False
    away: int = 0
    patched: int = 0
    failed: str = ""
    unwanted: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether graphs may be used, and why (not)."""

    allowed: bool
    reason: str


def judge(situation: Situation) -> Verdict:
    """The one decision: graphs only over weights that stay where they are."""
    if situation.device != "cuda":
        return Verdict(False, f"CUDA graphs need an NVIDIA GPU; the LLM is on {situation.device}")
    if situation.unwanted:
        return Verdict(False, f"{SWITCH} is 0")
    if situation.rocm:
        return Verdict(False, "CUDA graphs are untried on AMD")
    if situation.dynamic:
        return Verdict(False, "ComfyUI's dynamic memory moves weights at any time")
    if situation.away:
        return Verdict(False, f"{situation.away} of the LLM's weights are not on the GPU")
    if situation.patched:
        return Verdict(False, f"{situation.patched} layers are patched while they are used")
    if situation.failed:
        return Verdict(False, f"capturing failed: {situation.failed}")
    return Verdict(True, "all weights rest on the GPU")


def look(part: Part[Mllm], llm: Mllm, failed: str = "") -> Situation:
    """The situation of a part that has just been acquired."""
    dynamic: Callable[[], bool] = getattr(part, "is_dynamic", bool)
    model = llm.model
    return Situation(
        device=part.device.type,
        rocm=torch.version.hip is not None,
        dynamic=dynamic(),
        away=sum(tensor.device.type != part.device.type for tensor in _tensors(model)),
        patched=sum(bool(getattr(layer, "weight_function", ())) for layer in model.modules()),
        failed=failed,
        unwanted=os.environ.get(SWITCH) == "0",
    )


class Recorder(Protocol):
    """Turns a step into one that repeats itself without Python."""

    def record(
        self, step: Callable[[], None], device: torch.device
    ) -> tuple[Callable[[], None], int]:
        """Run ``step`` on the tensors that it reads and writes, which are on ``device`` -> how to
        run it again, and the memory that this takes."""
        ...


class CudaRecorder:
    """Captures CUDA graphs on a stream of its own; all graphs share one pool of memory."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._pool: Any = None

    def record(
        self, step: Callable[[], None], device: torch.device
    ) -> tuple[Callable[[], None], int]:
        """Nothing of ``step`` is kept but addresses."""
        with torch.cuda.device(device):
            return self._record(step)

    def _record(self, step: Callable[[], None]) -> tuple[Callable[[], None], int]:
        self._stream = self._stream or torch.cuda.Stream()
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                step()
        current.wait_stream(self._stream)
        before = torch.cuda.memory_reserved()
        graph = torch.cuda.CUDAGraph()
        how = {"pool": self._pool, "stream": self._stream, "capture_error_mode": "thread_local"}
        with torch.cuda.graph(graph, **how):  # other threads may go on using the card
            step()
        self._pool = graph.pool()
        return graph.replay, max(0, torch.cuda.memory_reserved() - before)


def run_step(model: Llama, x: Tensor, positions: Tensor, rows: Tensor, lane: Lane) -> Tensor:
    """A pass of fixed shape: each new row sees all rows of the lane up to its own.

    Args:
        x: [1, L, D], embedded.
        positions: [L], for turning.
        rows: [L], rows of the cache that the new rows become.

    Returns: [1, L, D], hidden states.
    """
    mask = torch.arange(lane.span, device=rows.device) <= rows[:, None]  # [L, span]
    return model(x, positions, lane, mask)


class Step:
    """A pass of so many rows, captured: its inputs and its result in fixed tensors.

    Args:
        embeds, positions: of the first pass, [1, L, D] and [L].
        weights: where the weights lie while it is captured.

    Attributes:
        nbytes: memory held by its own tensors and by the graph.
    """

    def __init__(self, embeds: Tensor, positions: Tensor, weights: int) -> None:
        self.weights = weights
        with torch.inference_mode(False):  # they outlive the mode they are made in
            self._x, self._out = torch.empty_like(embeds), torch.empty_like(embeds)
            self._positions = torch.empty_like(positions)
            self._offsets = torch.arange(embeds.shape[1], device=embeds.device)
            self._rows = self._offsets.clone()
        own = (self._x, self._out, self._positions, self._offsets, self._rows)
        self.nbytes = sum(tensor.nbytes for tensor in own)

    def fill(self, embeds: Tensor, start: int, positions: Tensor) -> Step:
        """Set the inputs: new rows [1, L, D] at ``positions`` [L], from row ``start`` on."""
        self._x.copy_(embeds)
        self._positions.copy_(positions)
        torch.add(self._offsets, start, out=self._rows)
        return self

    def record(self, recorder: Recorder, model: Llama, cache: Static, span: int) -> None:
        """Capture; what is filled in is computed on the way, and may be again."""
        lane = cache.lane(self._rows, span)

        def run() -> None:
            self._out.copy_(run_step(model, self._x, self._positions, self._rows, lane))

        self._replay, taken = recorder.record(run, self._x.device)
        self.nbytes += taken

    def replay(self) -> Tensor:
        """Hidden states [1, L, D] of what is filled in."""
        self._replay()
        return self._out.clone()


class Graphs:
    """How one LLM part reads: by captured steps where that is allowed, plainly elsewhere.

    Args:
        part: the LLM.
        slots: image tokens of a picture.
        recorder: captures steps.
        judge: decides; called once a panel.

    Attributes:
        verdict: of the last `prepare`.
    """

    def __init__(
        self,
        part: Part[Mllm],
        slots: int,
        recorder: Recorder | None = None,
        judge: Callable[[Situation], Verdict] = judge,
    ) -> None:
        self._part, self._judge = part, judge
        self._recorder = recorder or CudaRecorder()
        # one word; a picture as it is said, and read back; the same with its end said too
        self._shapes = frozenset({1, slots + 1, slots + 2})
        self._weights, self._failed = 0, ""
        self.verdict = Verdict(False, "nothing has been read yet")

    def cache_for(self, policy: ContextPolicy, config: LlmConfig) -> KvCache:
        """An empty cache: a static one where graphs could be captured over it."""
        device = Situation(self._part.device.type, torch.version.hip is not None)
        return (static_cache_for if self._judge(device).allowed else cache_for)(policy, config)

    def prepare(self, llm: Mllm) -> None:
        """Decide for the passes to come; ``llm`` has just been acquired."""
        verdict = self._judge(look(self._part, llm, self._failed))
        if verdict != self.verdict:
            logger.info("CUDA graphs: %s, %s", "on" if verdict.allowed else "off", verdict.reason)
        self.verdict = verdict
        if verdict.allowed:
            self._weights = hash(tuple(tensor.data_ptr() for tensor in _tensors(llm.model)))

    def __call__(self, llm: Mllm, embeds: Tensor, positions: Tensor, cache: KvCache) -> Tensor:
        """As ``llm(embeds, positions, cache)``: [1, L, D] at [L] -> hidden states [1, L, D]."""
        step = None
        if isinstance(cache, Static):
            if not self.verdict.allowed:
                cache.captured.clear()
            elif cache.length and embeds.shape[0] == 1 and embeds.shape[1] in self._shapes:
                step = self._step(llm, embeds, positions, cache)
        if step is None:
            return llm(embeds, positions, cache)
        hidden = step.fill(embeds, cache.length, positions).replay()
        cache.advance(embeds.shape[1])
        return hidden

    def _step(self, llm: Mllm, embeds: Tensor, positions: Tensor, cache: Static) -> Step | None:
        """The captured step for this pass; None where it cannot be captured."""
        count = embeds.shape[1]
        span = -(-(cache.length + count) // STEP) * STEP
        cache.reserve(span)
        known = cache.captured.get((count, span))
        if isinstance(known, Step) and known.weights == self._weights:
            return known
        step = Step(embeds, positions, self._weights).fill(embeds, cache.length, positions)
        try:
            step.record(self._recorder, llm.model, cache, span)
        except RuntimeError as error:  # no memory for it, or a kernel that cannot be captured
            self._failed = str(error).splitlines()[0]
            self.verdict = Verdict(False, f"capturing failed: {self._failed}")
            logger.warning("CUDA graphs: off, %s", self.verdict.reason)
            cache.captured.clear()
            return None
        cache.captured[count, span] = step
        return step


def _tensors(module: nn.Module) -> list[Tensor]:
    """All tensors with memory of their own; quantised weights are taken apart."""
    found: list[Tensor] = []
    left: list[Tensor] = [*module.parameters(), *module.buffers()]
    while left:
        tensor = left.pop()
        if is_traceable_wrapper_subclass(tensor):
            left += [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        else:
            found.append(tensor)
    return found

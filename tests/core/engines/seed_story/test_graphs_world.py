"""Captured steps in a whole engine: without a card by their double, with one for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seedstory_core.babble import make_world
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.graphs import CudaRecorder, Graphs, Situation, Verdict
from seedstory_core.engines.seed_story.reader import Reader
from seedstory_core.engines.seed_story.static_cache import Static
from seedstory_core.hosts import local_host
from seedstory_core.kv_cache import KvCache
from seedstory_core.sampling import Sampling
from seedstory_core.types import Opening
from seedstory_core.world import World

ROOT = Path(__file__).parents[4]
PANELS = 3
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: CUDA graphs cannot be captured here"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("graphs") / "babble")


class Uncaptured:
    """The steps of `CudaRecorder`, run by Python."""

    def record(self, step: Callable[[], None], device: Any) -> tuple[Callable[[], None], int]:
        step()
        return step, 0


def allow(situation: Situation) -> Verdict:
    return Verdict(True, "a test")


def engine_on(world: World, device: str) -> Any:
    return open_engine(world, local_host(torch.device(device), torch.float32))


def replaced(engine: Any, graphs: Graphs) -> Any:
    """``engine`` with another way to read."""
    teller = engine._teller
    teller.graphs = graphs
    teller.reader = Reader(engine.config.llm, graphs.cache_for, graphs)
    return engine


def told(engine: Any, sampling: Sampling | None = None) -> Any:
    opening = Opening("A fox.", torch.zeros(8, 8, 3, dtype=torch.uint8))
    story = engine.start(opening)
    for index in range(PANELS):
        given = "The fox sleeps." if index == 1 else None
        story = engine.tell(story, given, sampling or Sampling(max_caption_tokens=9))
    return story


def assert_same(mine: Any, theirs: Any) -> None:
    """Ids exact, features within 1e-4: as "same seed, same story" is defined."""
    for ours, panel in zip(mine.panels, theirs.panels, strict=True):
        assert ours.token_ids == panel.token_ids
        for space, features in panel.features.items():
            torch.testing.assert_close(ours.features[space], features, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stop", [True, False], ids=["stop-at-image", "to-the-end"])
def test_an_engine_tells_the_same_by_steps(world: World, stop: bool) -> None:
    sampling = Sampling(max_caption_tokens=9, stop_at_image=stop, max_new_tokens=90)
    plain, engine = engine_on(world, "cpu"), engine_on(world, "cpu")
    slots = engine.config.image_tokens
    replaced(engine, Graphs(engine.parts["llm"], slots, Uncaptured(), allow))
    assert_same(told(engine, sampling), told(plain, sampling))
    shapes = {count for count, _ in engine._teller.reader._cache.captured}
    assert shapes == ({1, slots + 1} if stop else {1, slots + 1, slots + 2})


def test_an_engine_on_the_cpu_says_why_it_captures_nothing(world: World) -> None:
    engine = engine_on(world, "cpu")
    told(engine)
    verdict = engine._teller.graphs.verdict
    assert not verdict.allowed and "NVIDIA GPU; the LLM is on cpu" in verdict.reason
    assert not isinstance(engine._teller.reader._cache, Static)


# -- with a card -----------------------------------------------------------------------------


def plainly(llm: Any, embeds: torch.Tensor, positions: torch.Tensor, cache: KvCache) -> Any:
    return llm(embeds, positions, cache)


@needs_cuda
def test_cuda_graphs_tell_what_plain_passes_tell(world: World) -> None:
    engine, plain = engine_on(world, "cuda"), engine_on(world, "cuda")
    plain._teller.reader._forward = plainly
    mine = told(engine)
    verdict = engine._teller.graphs.verdict
    assert verdict.allowed, verdict.reason
    cache = engine._teller.reader._cache
    slots = engine.config.image_tokens
    assert {count for count, _ in cache.captured} == {1, slots + 1}
    assert_same(mine, told(plain))
    assert_same(told(engine), mine)  # again, over the steps that are there
    engine.park()
    assert not cache.captured
    assert_same(told(engine), mine)


@needs_cuda
def test_cuda_graphs_need_nothing_that_cudamallocasync_lacks(world: World) -> None:
    """ComfyUI's allocator; it can only be chosen before a process first uses the card."""
    name = "test_cuda_graphs_tell_what_plain_passes_tell"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", name, str(Path(__file__))],
        cwd=ROOT,
        env={**os.environ, "PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-4000:]


@needs_cuda
def test_a_replay_runs_no_python_and_gives_back_its_memory() -> None:
    x, out = torch.randn(1, 8, device="cuda"), torch.zeros(1, 8, device="cuda")
    calls: list[int] = []

    def step() -> None:
        calls.append(1)
        out.copy_((x * 2).relu() + 1)

    replay, _ = CudaRecorder().record(step, x.device)
    before = torch.cuda.memory_allocated()
    done = len(calls)
    for value in (1.0, -1.0):
        x.fill_(value)
        replay()
        assert out.tolist() == [[max(0.0, 2 * value) + 1] * 8]
    assert len(calls) == done and torch.cuda.memory_allocated() == before


@needs_cuda
def test_weights_left_behind_forbid_graphs(world: World) -> None:
    engine = engine_on(world, "cuda")
    told(engine)
    llm = engine.parts["llm"].acquire()
    llm.model.norm.to("cpu")
    engine._teller.graphs.prepare(llm)
    assert "1 of the LLM's weights are not on the GPU" in engine._teller.graphs.verdict.reason

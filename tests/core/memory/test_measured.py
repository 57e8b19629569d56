"""A real run holds what the plan says it will: tensors on the CPU, and a process's own memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.sized_world import make_sized_world

from seedstory_core.context import Window
from seedstory_core.engine import open_engine
from seedstory_core.hosts import local_host
from seedstory_core.memory import Run, budget, kept_by, library_loading
from seedstory_core.memory.counting import LiveBytes
from seedstory_core.types import Opening
from seedstory_core.world import load_world

ROOT = Path(__file__).parents[3]
PICTURE_WORLD = ROOT / "worlds" / "picture-world"
CAPTION = "Pim the fox finds a red ball under the big tree and shows it to everybody."
TOLERANCE = 1.2  # plan / measured at most
CPU = torch.device("cpu")

CHILD = """
import sys; sys.path[:0] = [{root!r}, {tests!r}]
import json, torch
from pathlib import Path
from rehearsal.memory import Peak, rss
from seedstory_core.engines.seed_story.config import SeedStoryConfig
from seedstory_core.engines.seed_story.parts import part_specs
from seedstory_core.hosts import LocalPart
from seedstory_core.kv_cache import KvCache
from seedstory_core.world import load_world
torch.set_num_threads(1)
world = load_world(Path(sys.argv[1]))
config = SeedStoryConfig.from_json(world.sizes)
spec = next(spec for spec in part_specs(world, config) if spec.name == "llm")
part = LocalPart(spec, torch.device("cpu"), torch.float32)
with torch.device("meta"):
    spec.build(torch.nn)  # imports what the meta device needs
torch.ones(64, 64) @ torch.ones(64, 64)
before = rss()["anonymous"]
with Peak() as peak, torch.inference_mode():
    llm, cache = part.acquire(), KvCache(config.llm.layers)
    rows = int(sys.argv[2])
    hidden = llm(torch.zeros(1, rows, config.llm.width), torch.arange(rows), cache)
    llm.scores(hidden[0, -1:])
    llm.output_resampler(hidden[:, -config.image_tokens:])
print(json.dumps({{"grown": peak.bytes["anonymous"] - before}}))
"""


def test_a_told_panel_holds_what_the_plan_says() -> None:
    """Nine panels in view of Window(8), read anew at once: the most that telling ever takes."""
    world = load_world(PICTURE_WORLD)
    engine = open_engine(world, local_host(CPU, torch.float32))
    keeper = kept_by(engine)
    assert keeper is not None
    story = engine.start(Opening(CAPTION, torch.zeros(64, 64, 3, dtype=torch.uint8)))
    for _ in range(9):
        story = engine.tell(story, CAPTION, context=Window(8))
    keeper.forget()  # type: ignore[attr-defined]
    with LiveBytes() as ledger:
        engine.tell(story, CAPTION, context=Window(8))
    words = len(engine.words.tokenizer.encode(f"[INST]{CAPTION}"))  # type: ignore[attr-defined]
    run = Run(context=Window(8), caption=words, new_tokens=0, paint=False)
    tell = budget(world, run, library_loading(torch.float32)).phases[1]
    assert ledger.most <= tell.kept + tell.working <= TOLERANCE * ledger.most
    assert keeper.nbytes == tell.kept


@pytest.fixture(scope="module")
def middling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose LLM has 44 M weights: large beside a process's own noise."""
    return make_sized_world(tmp_path_factory.mktemp("worlds") / "middling", 768, 2048, 6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_process_grows_by_what_the_plan_says(middling: Path) -> None:
    """Weights turned into fp32, keys and values, activations; pages of files are not counted."""
    world = load_world(middling)
    run = Run(context=Window(4), caption=60, new_tokens=0, paint=False)
    need = budget(world, run, library_loading(torch.float32))
    tell = need.phases[1]
    code = CHILD.format(root=str(ROOT), tests=str(ROOT / "tests"))
    child = [sys.executable, "-c", code, str(middling), str(need.rows)]
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back at once
    done = subprocess.run(child, capture_output=True, text=True, check=True, env=env)
    grown = json.loads(done.stdout)["grown"]
    assert tell.weights > 100 << 20
    assert 0.9 * grown <= tell.peak <= 1.2 * grown, (grown, tell)

"""The rehearsal's last act: a told panel and a denoising step, each stage freed before the next.

Run as a child process, so that its memory is its own: ``python story.py WORLD VAE_FOLDER REPORT``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402

from rehearsal.memory import Peak  # noqa: E402
from seedstory_core.engine import open_engine  # noqa: E402
from seedstory_core.hosts import local_host  # noqa: E402
from seedstory_core.painter import open_painter  # noqa: E402
from seedstory_core.sampling import Sampling  # noqa: E402
from seedstory_core.types import Opening, PaintSettings  # noqa: E402
from seedstory_core.world import load_world  # noqa: E402

CAPTION_TOKENS = 4  # random weights never end a caption by themselves


@dataclass
class Log:
    """Seconds and peak memory by step, written after each."""

    path: Path
    steps: dict[str, dict] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[dict]:
        more: dict = {}
        start = time.monotonic()
        with Peak() as peak:
            yield more
        seconds = round(time.monotonic() - start, 1)
        self.steps[name] = {"seconds": seconds, "peak": peak.bytes, **more}
        self.path.write_text(json.dumps(self.steps, indent=1))


def picture() -> torch.Tensor:
    """A seeded picture, uint8 [360, 480, 3]: soft coloured waves."""
    y, x = torch.meshgrid(torch.linspace(0, 6, 360), torch.linspace(0, 9, 480), indexing="ij")
    waves = torch.stack([torch.sin(x + y), torch.sin(2 * y), torch.cos(x - y)], dim=-1)
    return ((waves + 1) * 127.5).to(torch.uint8)


def finite(tensor: torch.Tensor, what: str) -> dict:
    """The tensor's shape and spread; stops where it is not finite."""
    if not bool(torch.isfinite(tensor).all()):
        raise SystemExit(f"{what} is not finite")
    return {"shape": list(tensor.shape), "spread": round(float(tensor.float().std()), 4)}


def perform(world_folder: Path, vae: Path, report: Path) -> None:
    log = Log(report)
    world = load_world(world_folder)
    cpu = torch.device("cpu")
    with log.step("open"):
        engine = open_engine(world, local_host(cpu, torch.float32, cast=True))
    with log.step("encode the opening") as more:
        story = engine.start(Opening("A small boat left the harbour at dawn.", picture()))
        more.update(finite(story.panels[0].features["seed_story.image"], "the opening's features"))
        engine.parts["vision"].release()
    with log.step("tell one panel") as more:
        story = engine.tell(story, sampling=Sampling(max_caption_tokens=CAPTION_TOKENS))
        panel = story.panels[1]
        more.update(finite(panel.features["seed_story.image"], "the told features"))
        more["tokens"] = len(panel.token_ids)
        engine.park()
        engine.parts["llm"].release()
    with log.step("condition") as more:
        conditioning = engine.condition(story, 1)
        more.update(finite(conditioning.positive[0].tokens, "the conditioning"))
        engine.parts["detokenizer"].release()
    del engine
    with log.step("open the painter"):
        painter = open_painter(world, vae, cpu, torch.float32)
    with log.step("one denoising step at 1024") as more:
        noise = painter.noise(42, (1024, 1024))
        latents = painter.sample(conditioning, noise, PaintSettings(steps=1))
        more.update(finite(latents, "the latents"))


if __name__ == "__main__":
    perform(*(Path(argument) for argument in sys.argv[1:4]))

"""The whole chain by its command: from drawn stories and nothing else to a world that tells."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_run import complete
from torch import Tensor

from seedstory_core.cli import main
from seedstory_core.story_store import load_story
from seedstory_core.training import detokenizer
from seedstory_core.training.adapt_detokenizer import open_painter_module
from seedstory_core.training.detokenizer import PainterModule, exact_share
from seedstory_core.training.diffusion import sample
from seedstory_core.training.metrics import read_metrics
from seedstory_core.training.recipe import Recipe
from seedstory_core.training.stage import Job, quiet

STEPS = {
    "vae": 200,
    "vision": 120,
    "vae-decoder": 100,
    "detokenizer": 300,
    "llm": 150,
    "adapt-detokenizer": 80,
}
#: What a loss falls to at least; the last two begin with weights that are good already.
FALL = {"vae-decoder": 0.98, "adapt-detokenizer": 1.0}
TOLD = 3


@pytest.mark.slow
def test_from_nothing_to_a_world(
    tiny_recipe: dict[str, Any], story_folder: Path, tmp_path: Path
) -> None:
    recipe = complete(tiny_recipe)
    for name, steps in STEPS.items():
        recipe["stages"][name] |= {"steps": steps, "save_every": steps // 2, "ema": 0.95}
    recipe["stages"]["adapt-detokenizer"] |= {"lr": 1e-3, "options": {"train": "all"}}
    path, run = tmp_path / "recipe.json", tmp_path / "run"
    path.write_text(json.dumps(recipe))
    folders = ["--data", str(story_folder), "--recipe", str(path), "--run", str(run)]
    assert main(["train", "all", *folders, "--cpu"]) == 0

    for name in STEPS:
        losses = [line["loss"] for line in read_metrics(run / name) if "loss" in line]
        begin, end = sum(losses[:2]) / 2, sum(losses[-3:]) / 3
        assert end < FALL.get(name, 0.7) * begin, name

    job = Job(Recipe.from_json(recipe), story_folder, run, quiet)
    right, wrong, floor = shares(job)
    assert right > wrong + 0.05 and right > floor + 0.2

    out = tmp_path / "story"
    told = ["tell", "--world", str(run / "world"), "--panels", str(TOLD), "--out", str(out)]
    assert main([*told, "--opening", "1"]) == 0
    story = load_story(out)
    assert len(story) <= TOLD + 1 and all(panel.image is not None for panel in story.panels)
    words = " ".join(panel.caption for panel in story.panels[1:])
    assert len(story) == 1 or "is in the" in words


def shares(job: Job) -> tuple[float, float, float]:
    """Exact pixels of training pictures painted from their features, from another picture's, and
    by a painter that has learnt nothing."""
    fresh = detokenizer.build(job)
    trained = open_painter_module(
        job.recipe,
        *(load_file(job.result("adapt-detokenizer", stem)) for stem in ("detokenizer", "unet")),
        side=512,
    )
    places = torch.arange(12)
    pictures = fresh.train.pictures[places.numpy()]
    noise = torch.randn(12, *fresh.train.latents.shape, generator=torch.manual_seed(0))
    true = fresh.train.features.take(places)

    @torch.no_grad()
    def share(module: PainterModule, features: Tensor) -> float:
        module.eval()
        painted = sample(
            lambda x, times: module.predict(x, times, features), noise, 4, job.recipe.scheduler
        )
        return exact_share(fresh.vae, painted, pictures)

    return share(trained, true), share(trained, true.roll(1, 0)), share(fresh.module, true)

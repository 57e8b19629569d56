"""From a run to a world that tells and paints."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_run import untrained_run

from seedstory_core.engine import open_engine
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.images import read_picture
from seedstory_core.painter import open_painter
from seedstory_core.sampling import Sampling
from seedstory_core.training import assemble, detokenizer, llm
from seedstory_core.training.stage import Job
from seedstory_core.types import Opening, PaintSettings
from seedstory_core.world import load_world


@pytest.fixture
def job(tiny_recipe: dict[str, Any], story_folder: Path, tmp_path: Path) -> Job:
    """Stages 1 and 2 have results of no training."""
    job = untrained_run(tiny_recipe, story_folder, tmp_path / "run")
    for name, module in (("detokenizer", detokenizer), ("llm", llm)):
        stage = module.build(job)
        for stem, state in stage.result(stage.module).items():
            job.folder(name).mkdir(exist_ok=True)
            save_file(dict(state), job.folder(name) / f"{stem}.safetensors")
    return job


def test_the_world_tells_and_paints(job: Job, tmp_path: Path) -> None:
    out = tmp_path / "worlds" / "tiny"
    assemble.run(dataclasses.replace(job, out=out))
    world = load_world(out)
    assert world.panel_size == (512, 512) and world.title == "Tiny"
    assert len(world.openings) == 10
    engine = open_engine(world, local_host(torch.device("cpu"), torch.float32))
    path, text = world.opening(1)
    picture = read_picture(path)
    assert picture.shape == (512, 512, 3)
    story = engine.start(Opening(text=text, image=picture))
    told = engine.tell(story, caption="Mila is in the lake with a ball.")
    said = engine.tell(told, sampling=Sampling(max_new_tokens=30, max_caption_tokens=8))
    assert said.panels[-1].features or said.ended
    painter = open_painter(world)
    (painted,) = painter.paint(engine, told, [1], PaintSettings(steps=2, guidance=2.0))
    assert painted.shape == (512, 512, 3)
    vae = json.loads((out / "world.json").read_text())["painter"]["vae"]
    colours = painted.flatten(0, 1).unique(dim=0).tolist()
    assert all(colour in vae["palette"] for colour in colours)


def test_the_negative_is_what_training_dropped_to(job: Job) -> None:
    assemble.run(job)
    world = load_world(job.run / "world")
    stage = detokenizer.build(job)
    with torch.no_grad():
        tokens, pooled = stage.module.detokenizer(stage.zero[None])
    state = load_file(world.file("detokenizer"))
    torch.testing.assert_close(state["negative.tokens"].float(), tokens, atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(state["negative.pooled"].float(), pooled, atol=5e-3, rtol=5e-3)
    assert all(value.dtype == torch.float16 for value in state.values())


def test_it_says_how_it_was_made(job: Job) -> None:
    (job.run / "figures.json").write_text('{"place": 0.99}')
    assemble.run(job)
    provenance = load_world(job.run / "world").provenance
    assert provenance["figures"] == {"place": 0.99}
    assert provenance["recipe"]["stages"]["llm"]["seed"] == 0
    assert provenance["data"]["train"]["pictures"] == 24
    assert str(job.run) not in json.dumps(json.loads((job.run / "world/world.json").read_text()))


def test_the_adapted_painter_is_taken_where_there_is_one(job: Job) -> None:
    folder = job.folder("adapt-detokenizer")
    folder.mkdir()
    for stem in ("detokenizer", "unet"):
        state = load_file(job.result("detokenizer", stem))
        save_file(
            {name: value + 1 for name, value in state.items()}, folder / f"{stem}.safetensors"
        )
    assemble.run(job)
    world = load_world(job.run / "world")
    adapted = load_file(folder / "unet.safetensors")["conv_in.bias"]
    assert load_file(world.file("unet"))["conv_in.bias"].equal(adapted.half())


def changed(job: Job, **world: Any) -> Job:
    recipe = dataclasses.replace(job.recipe, world={**job.recipe.world, **world})
    return dataclasses.replace(job, recipe=recipe)


def test_the_recipe_has_the_last_word(job: Job) -> None:
    chosen = {"paint": {"steps": 3}}
    assemble.run(changed(job, defaults=chosen, notice="It is tiny."))
    world = load_world(job.run / "world")
    assert world.defaults["paint"] == {"steps": 3} and world.notice == "It is tiny."
    assert world.defaults["context"] == {"class": "Window", "size": 3}


def test_too_large_a_world_is_refused(job: Job) -> None:
    with pytest.raises(SeedStoryError, match="max_bytes"):
        assemble.run(changed(job, max_bytes=1000))
    assert not (job.run / "world").exists()
    with pytest.raises(SeedStoryError, match="Unknown in the recipe's world: colour"):
        assemble.run(changed(job, colour="red"))


def test_numbers_that_fp16_cannot_hold_are_refused(job: Job) -> None:
    path = job.folder("llm") / "llm.safetensors"
    state = load_file(path)
    state["lm_head.weight"][0, 0] = 1e6
    save_file(state, path)
    with pytest.raises(SeedStoryError, match=r"lm_head\.weight"):
        assemble.run(job)

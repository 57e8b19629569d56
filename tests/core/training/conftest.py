"""Tiny data and recipes for the trainer's tests."""

import copy
import dataclasses
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.tiny_palette_world import write_tiny_world

from seedstory_core.engines.seed_story.config import SeedStoryConfig
from seedstory_core.engines.seed_story.prompt import Vocabulary
from seedstory_core.picture_world.render import any_freedom, render, rgb
from seedstory_core.picture_world.scene import ACTIONS, CAST, PLACES, PROPS, TIMES, Actor, Scene
from seedstory_core.training.cache import Rows
from seedstory_core.training.data import Stories, Tale
from seedstory_core.training.words import train_words, with_words
from seedstory_core.world import World

TINY: dict[str, Any] = {
    "sizes": {
        "vision": {
            "image_size": 64,
            "patch": 8,
            "width": 32,
            "layers": 1,
            "heads": 2,
            "mlp_width": 64,
            "grid": 8,
            "pool": {"grid": 2, "width": 32, "source": 32, "heads": 2},
        },
        "llm": {
            "vocab": 700,
            "width": 32,
            "mlp_width": 64,
            "layers": 1,
            "heads": 2,
            "kv_heads": 2,
            "max_positions": 512,
        },
        "input_resampler": {"grid": 2, "width": 32, "source": 32, "heads": 2},
        "output_resampler": {"grid": 2, "width": 32, "source": 32, "heads": 2},
        "detokenizer": {
            "source": 32,
            "width": 32,
            "depth": 1,
            "heads": 2,
            "head_width": 16,
            "mlp_width": 64,
            "tokens": 4,
            "prompt_widths": [16, 16],
            "pooled_width": 32,
        },
    },
    "vae": {
        "kind": "palette",
        "patch": 8,
        "width": 32,
        "blocks": 1,
        "latent_channels": 4,
        "head_width": 4,
        "enlarge": 8,
        "scaling_factor": 1.0,
    },
    "unet": {},
    "scheduler": {},
    "stages": {
        "vae": {"steps": 60, "batch": 8, "lr": 8e-3, "warmup": 3, "ema": 0.9, "save_every": 20},
        "vision": {"steps": 80, "batch": 8, "lr": 3e-3, "warmup": 3, "ema": 0.9, "save_every": 20},
        "vae-decoder": {"steps": 20, "batch": 8, "lr": 3e-3, "warmup": 3, "save_every": 10},
    },
}


def tiny_scene(rng: random.Random) -> Scene:
    actor = Actor(rng.choice(CAST), rng.choice(ACTIONS))
    return Scene(rng.choice(PLACES), rng.choice(TIMES), "clear", (actor,), rng.choice(PROPS))


def write_stories(folder: Path, stories: int, panels: int = 6, held_out: int = 1) -> Path:
    """A StoryStream folder of drawn scenes with their scene graphs."""
    for split, count in (("train", stories), ("val", held_out)):
        rng, lines, graphs = random.Random(split), [], []
        for number in range(count):
            name = f"{split}{number}"
            scenes = [tiny_scene(rng) for _ in range(panels)]
            freedoms = [any_freedom(rng) for _ in range(panels)]
            paths = [f"images/{name}/{panel:02}.png" for panel in range(panels)]
            for path, scene, freedom in zip(paths, scenes, freedoms, strict=True):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rgb(render(scene, freedom))).save(folder / path)
            captions = [f"{s.actors[0].name} is in the {s.place} with a {s.item}." for s in scenes]
            lines.append({"id": name, "images": paths, "captions": captions})
            told = [scene.to_json() for scene in scenes], [asdict(one) for one in freedoms]
            graphs.append({"id": name, "scenes": told[0], "freedoms": told[1]})
        _write_lines(folder / f"{split}.jsonl", lines)
        _write_lines(folder / "scenes" / f"{split}.jsonl", graphs)
    return folder


def _write_lines(path: Path, values: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


@pytest.fixture(scope="session")
def story_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn stories; nobody may write into it."""
    return write_stories(tmp_path_factory.mktemp("stories"), stories=4)


@pytest.fixture
def judged_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With 120 held-out pictures: a share of six moves by a sixth at every rounding."""
    return write_stories(tmp_path_factory.mktemp("judged"), stories=4, held_out=20)


@pytest.fixture
def tiny_recipe() -> dict[str, Any]:
    """The JSON of a recipe that trains in seconds."""
    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A whole world of weights that mean nothing; nobody may write into it."""
    return write_tiny_world(tmp_path_factory.mktemp("tiny_world"))


WHERE = ("meadow", "forest", "lake", "kitchen")
STORIES, PANELS = 6, 5


@pytest.fixture(scope="module")
def stories() -> Stories:
    tales = [
        Tale(
            str(number),
            tuple(f"{number}/{panel}.png" for panel in range(PANELS)),
            tuple(f"Mila is in the {WHERE[(number + i) % 4]}." for i in range(PANELS)),
        )
        for number in range(STORIES)
    ]
    return Stories(Path(), "train", tuple(tales))


@pytest.fixture(scope="module")
def words(stories: Stories, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    tokenizer = train_words(stories.captions, tmp_path_factory.mktemp("words"), 4, pieces=400)
    return Vocabulary(tokenizer, 4, len(tokenizer))


@pytest.fixture
def sizes(tiny_recipe: dict[str, Any], words: Vocabulary) -> SeedStoryConfig:
    config = SeedStoryConfig.from_json(tiny_recipe["sizes"])
    config = dataclasses.replace(config, llm=dataclasses.replace(config.llm, layers=2))
    return with_words(config, words.tokenizer)


@pytest.fixture(scope="module")
def features() -> Rows:
    draw = torch.Generator().manual_seed(0)
    places = torch.randn(4, 4, 32, generator=draw)  # as many different pictures as places
    rows = [places[(story + panel) % 4] for story in range(STORIES) for panel in range(PANELS)]
    return Rows([torch.stack(rows).half().numpy()])

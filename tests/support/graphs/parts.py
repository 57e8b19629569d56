"""What several example graphs have in common."""

from __future__ import annotations

import json
from typing import Any

from ..server import ROOT
from .ui_graph import Group, Link, Node

WORLD = "picture-world"
MANIFEST = json.loads((ROOT / "worlds" / WORLD / "world.json").read_text(encoding="utf-8"))
OPENING = MANIFEST["openings"][0]["text"]
STEPS, CFG = MANIFEST["defaults"]["paint"]["steps"], MANIFEST["defaults"]["paint"]["guidance"]
#: Steps through the noise levels of the world's trailing, zero-SNR schedule.
SCHEDULER = "simple"
PAINTING = {"steps": STEPS, "cfg": CFG, "scheduler": SCHEDULER}

LLM, VISION, DETOKENIZER = (Link("world", slot) for slot in range(3))
LOAD = Group("1 · Load", ("world", "painter", "picture"))


def load() -> tuple[Node, ...]:
    """The loaders: world, its painter, a picture."""
    return (
        Node("world", "SeedStory_LoadWorld", 0, {"world": WORLD}),
        Node("painter", "SeedStory_LoadWorldPainter", 0, {"world": WORLD}),
        picture(),
    )


def picture() -> Node:
    """The world's own first picture, so that a graph runs as it is."""
    return Node("picture", "SeedStory_WorldOpening", 0, {"world": WORLD})


def start(run: str, column: int = 1) -> Node:
    """The opening: the picture and a sentence."""
    inputs = {"vision": VISION, "text": OPENING, "run": run, "image": Link("picture")}
    return Node("start", "SeedStory_StartStory", column, inputs)


def tell(story: Link, column: int, key: str = "tell", title: str = "") -> Node:
    """Tell Panel."""
    return Node(key, "SeedStory_TellPanel", column, {"story": story, "llm": LLM}, title)


def tell_story(column: int, **inputs: Any) -> Node:
    """Tell Story, from the opening on."""
    wired = {"story": Link("start"), "llm": LLM}
    return Node("tell", "SeedStory_TellStory", column, wired | inputs)


def paint(story: Link, column: int, model: str = "painter", **how: Any) -> Node:
    """Paint Story with the world's own painter, as the world says but for ``how``."""
    wired = {"story": story, "model": Link(model), "vae": Link("painter", 1)}
    wired |= {"detokenizer": DETOKENIZER}
    return Node("paint", "SeedStory_PaintStory", column, wired | PAINTING | how)


def show(story: Link, column: int) -> Node:
    """The story in a node."""
    return Node("show", "SeedStory_ShowStory", column, {"story": story}, wide=460)


def page(story: Link, column: int, prefix: str) -> tuple[Node, Node]:
    """The story on a page, saved."""
    return (
        Node("page", "SeedStory_StoryPage", column, {"story": story}),
        Node("save", "SaveImage", column, {"images": Link("page"), "filename_prefix": prefix}),
    )


def conditioning(features: Link, column: int) -> Node:
    """Features as conditioning."""
    inputs = {"features": features, "detokenizer": DETOKENIZER}
    return Node("conditioning", "SeedStory_Conditioning", column, inputs)


def apply_detokenizer(model: Link, column: int) -> Node:
    """The patched model."""
    inputs = {"model": model, "detokenizer": DETOKENIZER}
    return Node("model", "SeedStory_ApplyDetokenizer", column, inputs)


def latent(column: int) -> Node:
    """Where sampling begins."""
    return Node("latent", "SeedStory_EmptyPanelLatent", column, {"detokenizer": DETOKENIZER})


def sample(
    column: int, vae: Link, model: str = "model", steer: str = "conditioning", seed: int | Link = 42
) -> tuple[Node, Node]:
    """The stock sampler and decoder."""
    wired = {"model": Link(model), "positive": Link(steer, 0), "negative": Link(steer, 1)}
    settings = {"latent_image": Link("latent"), "seed": seed}
    return (
        Node("sample", "KSampler", column, wired | settings | PAINTING),
        Node("decode", "VAEDecode", column, {"samples": Link("sample"), "vae": vae}),
    )


def attach(column: int) -> Node:
    """The decoded picture into the told story."""
    inputs = {"story": Link("tell", 0), "image": Link("decode")}
    return Node("attach", "SeedStory_AttachImage", column, inputs)

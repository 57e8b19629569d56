"""How near an LLM of another precision is to a told story: both read the very same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seedstory_core.context import Window
from seedstory_core.engines.seed_story.features import panel_features
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.reader import Reader, page
from seedstory_core.images import read_picture
from seedstory_core.types import Opening, Story
from seedstory_core.world import World

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Said:
    """What an LLM makes of told panels.

    Attributes:
        words: [W], the likeliest token in place of each told one, ``<img>`` included.
        pictures: [N, L, D], features of each panel's picture.
    """

    words: Tensor
    pictures: Tensor


@dataclass(frozen=True)
class Fidelity:
    """Share of equal words; cosine of the features, over all panels and of the worst."""

    top1: float
    cosine: float
    worst: float
    words: int
    panels: int


def tell(engine: Any, world: World, stories: int, panels: int) -> list[Story]:
    """Stories from the world's first openings, told as the world tells."""
    told = []
    for number in range(1, stories + 1):
        picture, text = world.opening(number)
        story = engine.start(Opening(text, read_picture(picture), run=f"story {number}"))
        for _ in range(panels):
            story = engine.tell(story, seed=1000 * number + len(story))
        told.append(story)
    return told


@torch.inference_mode()
def read_again(engine: Any, llm: Mllm, stories: Sequence[Story]) -> Said:
    """Every told panel of ``stories``, each read in one pass behind its own prompt."""
    words, pictures = [], []
    for story in stories:
        for index in range(1, len(story)):
            hidden, count = _read(engine, llm, story, index)
            slots = engine.config.image_tokens
            words.append(llm.scores(hidden[-count - slots - 1 : -slots - 1]).argmax(-1))
            pictures.append(llm.output_resampler(hidden[None, -slots:])[0])
    return Said(torch.cat(words), torch.stack(pictures))


def _read(engine: Any, llm: Mllm, story: Story, index: int) -> tuple[Tensor, int]:
    """Hidden states [R, D] up to the picture's last slot, and how many words lead to ``<img>``."""
    policy = Window()
    before = replace(story, panels=story.panels[:index], closing=None)
    prompt = engine.prompt(before, None, policy)
    features = [panel_features(before.panels[i], i, engine.config) for i in prompt.pictures]
    ids = list(story.panels[index].token_ids or ())
    words = ids.index(engine.words.begin)
    said = tuple(ids[: words + 1 + engine.config.image_tokens])
    text = page(prompt.ids, engine.words.slots, features, policy)
    text = replace(text, ids=(*text.ids, *said), keys=(*text.keys, *said))
    reader = Reader(engine.config.llm)
    reader.begin(text, "fidelity", CPU)
    return reader.read_page(llm, text, torch.empty(0)), words + 1


def compare(said: Said, reference: Said) -> Fidelity:
    """``said`` against ``reference``."""
    cosines = F.cosine_similarity(
        said.pictures.flatten(1).double(), reference.pictures.flatten(1).double()
    )
    return Fidelity(
        float((said.words == reference.words).double().mean()),
        float(cosines.mean()),
        float(cosines.min()),
        len(said.words),
        len(cosines),
    )

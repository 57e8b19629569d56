"""What is made and what reads it, a class for each kind of input."""

from __future__ import annotations

from pathlib import Path

from ..harness import Kind
from .authors import Cards, FontFiles, Recipes, TrainingData
from .documents import Balloons, Captions, Scripts, Templates
from .pickles import Checkpoints
from .stories import (
    Folders,
    Pages,
    Pdfs,
    Pictures,
    PngCarriers,
    Sound,
    StoryFiles,
    Workflows,
    ZipBooks,
)
from .worlds import Tokenizers, Weights, World, Worlds

RECIPE = Path(__file__).parents[3] / "worlds" / "picture-world" / "recipe.json"


def all_kinds(place: Path, hosted: bool = False) -> dict[str, Kind]:
    """Every kind by name; what they share is made below ``place``.

    Args:
        hosted: also those that need a ComfyUI, which is brought into this process for good.
    """
    sound = Sound(place)
    carriers = (StoryFiles, Folders, PngCarriers, Pages, Pdfs, ZipBooks, Workflows)
    made: list[Kind] = [kind(sound) for kind in carriers]
    made += [Pictures(), Scripts(), Templates(), Balloons(), Captions()]
    made += [Cards(), FontFiles(), TrainingData(), Recipes(RECIPE), Checkpoints()]
    world = World(place)
    made += [Worlds(world), Weights(world), Tokenizers(world)]
    found = {kind.name: kind for kind in made}
    if hosted:
        from .hosted import hosted_kinds

        found |= hosted_kinds(place, sound)
    return found

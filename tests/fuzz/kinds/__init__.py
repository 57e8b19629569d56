"""What is made and what reads it, a class for each kind of input."""

from __future__ import annotations

from pathlib import Path

from ..harness import Kind
from .documents import Balloons, Captions, Scripts, Templates
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


def all_kinds(place: Path) -> dict[str, Kind]:
    """Every kind that needs no ComfyUI, by name; what they share is made below ``place``."""
    sound = Sound(place)
    carriers = (StoryFiles, Folders, PngCarriers, Pages, Pdfs, ZipBooks, Workflows)
    made: list[Kind] = [kind(sound) for kind in carriers]
    made += [Pictures(), Scripts(), Templates(), Balloons(), Captions()]
    return {kind.name: kind for kind in made}

"""What is wrong with a node's other inputs, said before its story is told.

A story is dear: it is asked for last. ComfyUI calls `check_lazy_status` of a node when all but its
lazy inputs are there; what that raises is shown on the node like any error, and nothing was told.
"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..seedstory_core.types import Story
from . import host, types
from .types import EngineHandle

STORY = ["story"]  # what a check asks for when all else is right


def late_story(tooltip: str) -> io.Input:
    """The story of a node that checks its other inputs first.

    Without the host's cache it comes like any input, and the checks after it: asked for later, it
    would run what it shares with the others twice.
    """
    return types.Story.Input("story", lazy=host.keeps_results(), tooltip=tooltip)


def check_painter(model: Any, vae: Any, detokenizer: EngineHandle) -> None:
    """MODEL and VAE are what the world paints with, and carry what it changes."""
    host.check_model(model, detokenizer.world)
    host.check_vae(vae, detokenizer.world)
    host.check_changed(model, detokenizer.world, detokenizer.engine)


def with_note(texts: list[str], *notes: str) -> dict[str, Any]:
    """Text for a node's field, and what else there is to say, if anything."""
    return host.text_ui(*texts, *filter(None, notes))


def openings(story: Story, indices: tuple[int, ...]) -> list[int]:
    """Those of ``indices`` whose picture was given."""
    return [i for i in indices if story.panels[i].origin == "opening"]

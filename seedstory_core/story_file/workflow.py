"""The ComfyUI workflow that made a panel, in its provenance.

``{"workflow": ..., "prompt": ...}`` as ComfyUI puts them into its own PNG files: the first is the
graph as drawn, the second the graph as run. Panels share one object; on disk it is kept once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..story_reader import WORKFLOW
from ..types import Json, Story


def with_workflow(story: Story, workflow: Mapping[str, Json]) -> Story:
    """``story`` whose panels without a workflow have this one; no uid changes."""
    if not workflow or all(WORKFLOW in panel.provenance for panel in story.panels):
        return story
    shared: dict[str, Json] = dict(workflow)
    panels = tuple(
        panel
        if WORKFLOW in panel.provenance
        else replace(panel, provenance={**panel.provenance, WORKFLOW: shared})
        for panel in story.panels
    )
    return replace(story, panels=panels)


def workflow_of(story: Story) -> dict[str, Json]:
    """The workflow of the newest panel that has one; empty where none has."""
    for panel in reversed(story.panels):
        known = panel.provenance.get(WORKFLOW)
        if isinstance(known, dict):
            return known
    return {}

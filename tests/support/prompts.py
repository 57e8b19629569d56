"""API prompts for tests: the shipped twins, and changes to them by node class."""

from __future__ import annotations

import copy
import json
from typing import Any

from .server import ROOT

Prompt = dict[str, dict[str, Any]]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def ui_graph(name: str) -> dict[str, Any]:
    """A shipped workflow in UI form."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def api_prompt(name: str) -> Prompt:
    """Its API twin."""
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def ids(prompt: Prompt, node_class: str) -> list[str]:
    """Ids of all nodes of a class, in order."""
    return [key for key, node in prompt.items() if node["class_type"] == node_class]


def the(prompt: Prompt, node_class: str) -> str:
    """Id of the only node of a class."""
    (found,) = ids(prompt, node_class)
    return found


def changed(prompt: Prompt, node_class: str, **inputs: Any) -> Prompt:
    """A copy in which every node of the class has these inputs."""
    made = copy.deepcopy(prompt)
    for key in ids(made, node_class):
        made[key]["inputs"].update(inputs)
    return made


def quick(prompt: Prompt) -> Prompt:
    """A copy that samples three steps only, and tells at most four panels at once."""
    made = changed(prompt, "KSampler", steps=3)
    made = changed(made, "SeedStory_TellStory", panels=4)
    made = changed(made, "SeedStory_TellFutures", panels=2)
    return changed(made, "SeedStory_PaintStory", steps=3)

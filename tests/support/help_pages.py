"""What a node's help page must hold, made from its translation file.

``web/docs/<node id>.md`` is English, ``web/docs/<node id>/zh.md`` Chinese: a title and the node's
description, notes written by hand, then tables of the sockets that no hand keeps in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .comfy_places import ROOT

HEADS = {
    "en": ("Inputs", "Outputs", "Name", "What it is"),
    "zh": ("\u8f93\u5165", "\u8f93\u51fa", "\u540d\u79f0", "\u8bf4\u660e"),
}


def page_path(node_id: str, language: str) -> Path:
    """Where ComfyUI looks for the page: the language's own first, then the plain one."""
    docs = ROOT / "web" / "docs"
    return docs / f"{node_id}.md" if language == "en" else docs / node_id / f"{language}.md"


def head(node: Mapping[str, Any]) -> str:
    """The top of the page."""
    return f"# {node['display_name']}\n\n{node['description']}\n"


def tables(node: Mapping[str, Any], language: str) -> str:
    """The bottom of the page: all inputs and outputs."""
    inputs, outputs, name, meaning = HEADS[language]
    parts = []
    for title, sockets in ((inputs, node.get("inputs", {})), (outputs, node["outputs"])):
        rows = [f"| {socket['name']} | {socket['tooltip']} |" for socket in sockets.values()]
        if rows:
            parts.append(
                "\n".join([f"## {title}\n", f"| {name} | {meaning} |", "| --- | --- |", *rows])
            )
    return "\n\n".join(parts) + "\n"

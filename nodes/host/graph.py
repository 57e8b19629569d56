"""The running prompt as a graph, for nodes that rewrite it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from comfy_execution.graph_utils import ExecutionBlocker


class PromptGraph:
    """Read access to the nodes of the running prompt that stand beside one node.

    Nodes that another expansion made are left out: they belong to that expansion's own level.
    Nodes are read as they were wired, whatever has been put in their place since: ComfyUI's own
    Start Loop takes the connections of its End Loop away while it runs.
    """

    def __init__(self, dynprompt: Any, beside: str) -> None:
        self._prompt = dynprompt
        level = dynprompt.get_parent_node_id(beside)
        self.nodes: dict[str, dict[str, Any]] = {
            node_id: _wired(dynprompt, node_id)
            for node_id in dynprompt.all_node_ids()
            if dynprompt.get_parent_node_id(node_id) == level
        }

    def display_id(self, node_id: str) -> str:
        """Id of the node that users see for ``node_id``."""
        return self._prompt.get_display_node_id(node_id)

    def is_output(self, node_id: str) -> bool:
        """Whether the node runs for its own sake, as a preview or a saver does."""
        registry = import_module("nodes")  # ComfyUI's own: this pack is never on sys.path
        kind = registry.NODE_CLASS_MAPPINGS.get(self.nodes[node_id]["class_type"])
        return bool(getattr(kind, "OUTPUT_NODE", False))


def _wired(dynprompt: Any, node_id: str) -> dict[str, Any]:
    made: dict[str, dict[str, Any]] = dynprompt.ephemeral_prompt
    return made[node_id] if node_id in made else dynprompt.original_prompt[node_id]


def keeps_results() -> bool:
    """Whether nodes' outputs are kept while a prompt runs (not with ``--cache-none``).

    Where they are not, whatever is asked for only later (a lazy input, a node that another one
    becomes) runs everything it depends on once more.
    """
    from comfy.cli_args import args

    return not getattr(args, "cache_none", False)


def can_expand() -> bool:
    """Whether a node can become others: old hosts cannot without their cache."""
    return keeps_results() or hasattr(import_module("execution").CacheType, "NONE")


def nothing(why: str | None = None) -> ExecutionBlocker:
    """An output without a value: the nodes that need it are left out, or fail and say ``why``."""
    return ExecutionBlocker(why)

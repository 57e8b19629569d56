"""Unrolling a loop: the nodes between Open and Close, copied for every turn but the first.

Turn 0 are the user's own nodes. A copy of turn i is called ``<close>.<node>@<i>``, shows its
progress on the node it was copied from, and reads the story of turn i - 1. Each copy is cached
like any node, so that only what changed runs again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..seedstory_core.errors import SeedStoryError

Link = list[Any]


class Graph(Protocol):
    """What unrolling needs to know of a prompt."""

    @property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]: ...

    def display_id(self, node_id: str) -> str: ...

    def is_output(self, node_id: str) -> bool: ...


def unroll(
    graph: Graph, open_id: str, close_id: str, count: int, open_type: str
) -> tuple[dict[str, dict[str, Any]], Link]:
    """Copies of the body for turns 1 to ``count`` - 1, and the link to the last turn's story.

    Raises:
        SeedStoryError: Open is missing or not upstream of Close, or the body holds a loop of
            ComfyUI's own, which cannot be copied.
    """
    if graph.nodes.get(open_id, {}).get("class_type") != open_type:
        raise SeedStoryError("Connect 'loop' of Story Loop Close straight from Story Loop Open.")
    body = body_of(graph, open_id, close_id)
    _check_body(graph, body)
    end: Link = graph.nodes[close_id]["inputs"]["story"]
    first = graph.nodes[open_id]["inputs"].get("index", 0)
    clones: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for turn in range(1, count):
        names = {node_id: f"{close_id}.{node_id}@{turn}" for node_id in body}
        for node_id, name in names.items():
            node = graph.nodes[node_id]
            inputs = {key: _moved(value, names) for key, value in node["inputs"].items()}
            clones[name] = {
                "class_type": node["class_type"],
                "inputs": inputs,
                "override_display_id": graph.display_id(node_id),
            }
        clones[names[open_id]]["inputs"] |= {
            "story": end_before(end, names, turn),
            "index": first + turn,
        }
    return clones, _moved(graph.nodes[close_id]["inputs"]["story"], names)


def body_of(graph: Graph, open_id: str, close_id: str) -> list[str]:
    """Nodes that run in every turn, Open first.

    These are the nodes on a path from Open to Close, and previews and savers that hang off such a
    path with what lies between.
    """
    sources = _all_sources(graph.nodes)
    after_open = _downstream(sources, open_id)
    if graph.nodes[close_id]["inputs"]["story"][0] not in after_open:
        raise SeedStoryError(
            "Nothing leads from Story Loop Open to Story Loop Close: wire the story through the "
            "body."
        )
    after_close = _downstream(sources, close_id)
    inside = after_open - after_close
    ends = [node_id for node_id in inside if graph.is_output(node_id)]
    needed = _upstream(sources, [close_id, *ends])
    body = sorted((inside & needed) - {open_id}, key=list(graph.nodes).index)
    return [open_id, *body]


def _check_body(graph: Graph, body: Iterable[str]) -> None:
    """ComfyUI's own loops keep private fields beside their inputs, which copies would lose."""
    for node_id in body:
        node = graph.nodes[node_id]
        if any(key.startswith("_loop") for key in node):
            raise SeedStoryError(
                f"The body of a story loop holds {node['class_type']!r}, a loop of ComfyUI's "
                "own; it cannot be repeated. Nest Story Loops instead, or put this loop inside "
                "that one."
            )
    index = graph.nodes[next(iter(body))]["inputs"].get("index", 0)
    if not isinstance(index, int):
        raise SeedStoryError("'index' of Story Loop Open must be a number, not a connection.")


def _all_sources(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """What each node depends on.

    The end of a loop of ComfyUI's own counts as behind its start and its body even where the host
    has taken its connections away.
    """
    sources = {node_id: _sources(node) for node_id, node in nodes.items()}
    for node_id, node in nodes.items():
        if node.get("_loop_end") in sources:
            sources[node["_loop_end"]] |= {node_id, *node.get("_loop_body", ())}
    return sources


def _sources(node: Mapping[str, Any]) -> set[str]:
    return {value[0] for value in node["inputs"].values() if is_link(value)}


def is_link(value: object) -> bool:
    """``[node id, output]`` as prompts write connections."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], (int, float))
    )


def _downstream(sources: Mapping[str, set[str]], start: str) -> set[str]:
    """``start`` and all nodes that depend on it."""
    users: dict[str, list[str]] = {}
    for node_id, before in sources.items():
        for source in before:
            users.setdefault(source, []).append(node_id)
    return _reach([start], users)


def _upstream(sources: Mapping[str, set[str]], starts: Iterable[str]) -> set[str]:
    """``starts`` and all nodes they depend on."""
    return _reach(starts, sources)


def _reach(starts: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    found = set(starts)
    waiting = list(found)
    while waiting:
        for other in edges.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _moved(value: Any, names: Mapping[str, str]) -> Any:
    """A link into the body, pointed at this turn's copy; anything else as it is."""
    if is_link(value) and value[0] in names:
        return [names[value[0]], value[1]]
    return value


def end_before(end: Link, names: Mapping[str, str], turn: int) -> Link:
    """The link to the story that the turn before ``turn`` ended with."""
    if turn == 1 or end[0] not in names:
        return list(end)
    before = names[end[0]]
    return [before[: before.rindex("@")] + f"@{turn - 1}", end[1]]

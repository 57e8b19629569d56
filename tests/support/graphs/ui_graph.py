"""From a graph in a few words to both of its files: ComfyUI's UI form and its API form.

The words say which nodes there are, what is wired to what and in which column a node stands; slots,
widget order, types and defaults come from a live server's ``/object_info``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Info = Mapping[str, Any]

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
WIDTH, GAP_X, GAP_Y = 340, 90, 70
TITLE, ROW, WIDGET, TEXT_BOX, PICTURE = 40, 24, 30, 150, 300
TELLING = ("SeedStory_TellPanel", "SeedStory_IllustrateCaption", "SeedStory_TellStory")
TELLING += ("SeedStory_TellFutures", "SeedStory_EditCaption", "SeedStory_RerollPanel")
TELLING += ("SeedStory_InsertPanel", "SeedStory_BestTake", "SeedStory_ReadScript")
TELLING += ("SeedStory_SaveCharacter", "SeedStory_SaveStoryFile", "SeedStory_PressBook")
TALL = {"LoadImage": PICTURE, "PreviewImage": PICTURE, "SaveImage": PICTURE, "KSampler": 260}
TALL |= {"SeedStory_ShowStory": 640, "SeedStory_PaintStory": 340, "SeedStory_StoryView": 600}
TALL |= dict.fromkeys(TELLING, 100)
TALL |= {"PreviewAny": 160, "MarkdownNote": 0}
NOTE_WIDTH = 420


class Link(NamedTuple):
    """The output ``slot`` of the node ``key``."""

    key: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """One node: a key to link to, class, column, and the inputs that differ from the defaults."""

    key: str
    type: str
    column: int
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    wide: int = WIDTH


@dataclass(frozen=True)
class Group:
    """A titled frame around nodes."""

    title: str
    keys: tuple[str, ...]
    color: str = "#3f5159"


@dataclass(frozen=True)
class Graph:
    """One example: file name, nodes from left to right, frames, and a help text beside them."""

    name: str
    title: str
    note: str
    nodes: tuple[Node, ...]
    groups: tuple[Group, ...] = ()


class Box(NamedTuple):
    """Where a node stands on the canvas, in its pixels."""

    x: int
    y: int
    wide: int
    high: int


class Slot(NamedTuple):
    """One input of a node class."""

    name: str
    type: str
    options: Mapping[str, Any]
    widget: bool


def slots(info: Info) -> list[Slot]:
    """Inputs of a class in the order the front end knows them."""
    found = []
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, ()):
            spec = info["input"][kind][name]
            options = spec[1] if len(spec) > 1 else {}
            listed = isinstance(spec[0], list)
            options = options | {"options": spec[0]} if listed else options
            type_ = "COMBO" if listed else spec[0]
            widget = type_ in WIDGET_TYPES and not options.get("forceInput")
            found.append(Slot(name, type_, options, widget))
    return found


def default(slot: Slot) -> Any:
    """What the front end puts into a fresh widget."""
    if "default" in slot.options:
        return slot.options["default"]
    if slot.type == "COMBO":
        return next(iter(slot.options.get("options", ())), None)
    return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}[slot.type]


@dataclass(frozen=True)
class Wiring:
    """A graph with what the server says of its classes."""

    graph: Graph
    info: Info

    def number(self, key: str) -> int:
        """The id of a node: its place in the graph, from 1."""
        return next(at for at, node in enumerate(self.graph.nodes, 1) if node.key == key)

    def type_of(self, link: Link) -> str:
        """The type of the value that comes out of the link's source."""
        return self.info[self.graph.nodes[self.number(link.key) - 1].type]["output"][link.slot]

    def values(self, node: Node) -> list[tuple[Slot, Any]]:
        """Every input of a node with its link, its constant, or None."""
        own = slots(self.info[node.type])
        unknown = set(node.inputs) - {slot.name for slot in own}
        assert not unknown, f"{node.type} has no input {sorted(unknown)}"
        return [
            (slot, node.inputs.get(slot.name, default(slot) if slot.widget else None))
            for slot in own
        ]


def api_form(graph: Graph, info: Info) -> dict[str, Any]:
    """The prompt that the front end would send for the graph."""
    wiring = Wiring(graph, info)
    prompt = {}
    for node in graph.nodes:
        inputs: dict[str, Any] = {}
        for slot, value in wiring.values(node):
            if isinstance(value, Link):
                inputs[slot.name] = [str(wiring.number(value.key)), value.slot]
            elif value is not None:
                inputs[slot.name] = value
        title = node.title or info[node.type]["display_name"] or node.type
        prompt[str(wiring.number(node.key))] = {
            "inputs": inputs,
            "class_type": node.type,
            "_meta": {"title": title},
        }
    return prompt


def ui_form(graph: Graph, info: Info) -> dict[str, Any]:
    """The workflow file: nodes in columns, links, frames, and the note, if any, at the left."""
    wiring = Wiring(graph, info)
    boxes = layout(graph, info)
    links: list[list[Any]] = []
    nodes = [_ui_node(wiring, node, boxes[node.key], links) for node in graph.nodes]
    for link in links:
        source = nodes[link[1] - 1]["outputs"][link[2]]
        source["links"] = [*(source["links"] or []), link[0]]
    if graph.note:
        nodes.append(_note(graph, len(nodes) + 1))
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"seedstory/{graph.name}")),
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [_frame(at, group, boxes) for at, group in enumerate(graph.groups, 1)],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def layout(graph: Graph, info: Info) -> dict[str, Box]:
    """Columns side by side, the nodes of a column below each other."""
    boxes: dict[str, Box] = {}
    x = 0
    for column in sorted({node.column for node in graph.nodes}):
        inside = [node for node in graph.nodes if node.column == column]
        y = 0
        for node in inside:
            high = _height(node, info[node.type])
            boxes[node.key] = Box(x, y, node.wide, high)
            y += high + GAP_Y
        x += max(node.wide for node in inside) + GAP_X
    return boxes


def _height(node: Node, info: Info) -> int:
    inputs = slots(info)
    texts = sum(slot.widget and bool(slot.options.get("multiline")) for slot in inputs)
    widgets = sum(slot.widget for slot in inputs) - texts
    widgets += sum(bool(slot.options.get("control_after_generate")) for slot in inputs)
    rows = max(sum(not slot.widget for slot in inputs), len(info["output"]))
    return TITLE + rows * ROW + widgets * WIDGET + texts * TEXT_BOX + TALL.get(node.type, 0)


def _ui_node(wiring: Wiring, node: Node, box: Box, links: list[list[Any]]) -> dict[str, Any]:
    own = wiring.info[node.type]
    at = wiring.number(node.key)
    inputs: list[dict[str, Any]] = []
    widgets: list[Any] = []
    for slot, value in wiring.values(node):
        linked = isinstance(value, Link)
        if slot.widget:
            widgets.append(default(slot) if linked else value)
            if slot.options.get("control_after_generate"):
                widgets.append("fixed")
        if linked or not slot.widget:
            entry = {
                "name": slot.name,
                "type": slot.type,
                "link": len(links) + 1 if linked else None,
            }
            inputs.append(entry | ({"widget": {"name": slot.name}} if slot.widget else {}))
        if isinstance(value, Link):
            source = wiring.number(value.key)
            row = [len(links) + 1, source, value.slot, at, len(inputs) - 1, wiring.type_of(value)]
            links.append(row)
    outputs = [
        {"name": name, "type": type_, "links": None, "slot_index": place}
        for place, (name, type_) in enumerate(zip(own["output_name"], own["output"], strict=True))
    ]
    made = _shell(at, node.type, box) | {
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"Node name for S&R": node.type},
        "widgets_values": widgets,
    }
    return made | ({"title": node.title} if node.title else {})


def _shell(at: int, type_: str, box: Box) -> dict[str, Any]:
    pos, size = [box.x, box.y], [box.wide, box.high]
    place = {"id": at, "type": type_, "pos": pos, "size": size}
    return place | {"flags": {}, "order": at - 1, "mode": 0}


def _note(graph: Graph, at: int) -> dict[str, Any]:
    """The help text, to the left of everything."""
    high = 100 + 18 * len(graph.note.splitlines())
    made = _shell(at, "MarkdownNote", Box(-NOTE_WIDTH - GAP_X, 0, NOTE_WIDTH, high))
    filled = {"inputs": [], "outputs": [], "properties": {}, "widgets_values": [graph.note]}
    return made | filled | {"title": graph.title, "color": "#432", "bgcolor": "#653"}


def _frame(at: int, group: Group, boxes: Mapping[str, Box]) -> dict[str, Any]:
    inside = [boxes[key] for key in group.keys]
    left, top = min(box.x for box in inside), min(box.y for box in inside)
    right = max(box.x + box.wide for box in inside)
    bottom = max(box.y + box.high for box in inside)
    bounding = [left - 25, top - 85, right - left + 50, bottom - top + 110]
    look = {"color": group.color, "font_size": 24, "flags": {}}
    return {"id": at, "title": group.title, "bounding": bounding} | look

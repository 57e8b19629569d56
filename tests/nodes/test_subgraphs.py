"""The ready-made turn fits the nodes as they are: sockets, widget values, links."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from support.comfy_places import ROOT

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
FILES = sorted((ROOT / "subgraphs").glob("*.json"))


@pytest.fixture(scope="module")
def infos(pack: ModuleType) -> dict[str, Any]:
    return {i["name"]: i for i in (kind.GET_NODE_INFO_V1() for kind in pack.nodes.NODES)}


def widgets(info: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(name, options) of each positional widget value; a seed is followed by its control."""
    found = []
    for name, (kind, options) in info["input"]["required"].items():
        if kind in WIDGETS:
            found.append((name, options))
            found += [("control", {})] if options.get("control_after_generate") else []
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nodes_inside_are_as_the_schemas_say(infos: dict[str, Any], path: Any) -> None:
    graph = json.loads(path.read_text(encoding="utf-8"))
    (subgraph,) = graph["definitions"]["subgraphs"]
    assert graph["nodes"][0]["type"] == subgraph["id"] and subgraph["name"] == path.stem
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    for node in nodes.values():
        info = infos[node["type"]]
        sockets = info["input"]["required"] | info["input"].get("optional", {})
        assert {i["name"]: i["type"] for i in node["inputs"]} == {
            n: s[0] for n, s in sockets.items()
        }
        assert [o["type"] for o in node["outputs"]] == list(info["output"])
        assert len(node["widgets_values"]) == len(widgets(info))
        for (name, options), value in zip(widgets(info), node["widgets_values"], strict=True):
            assert name == "control" or type(value) is type(options["default"])
    for node_id, widget in graph["nodes"][0]["properties"]["proxyWidgets"]:
        assert widget in dict(widgets(infos[nodes[int(node_id)]["type"]]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_links_inside_join_equal_types(path: Any) -> None:
    (subgraph,) = json.loads(path.read_text(encoding="utf-8"))["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    for link in subgraph["links"]:
        source = nodes.get(link["origin_id"], {"outputs": subgraph["inputs"]})["outputs"]
        target = nodes.get(link["target_id"], {"inputs": subgraph["outputs"]})["inputs"]
        ends = source[link["origin_slot"]], target[link["target_slot"]]
        assert [end["type"] for end in ends] == [link["type"]] * 2
        assert link["id"] in (ends[0].get("links") or ends[0].get("linkIds"))
        assert link["id"] in (ends[1].get("linkIds") or [ends[1].get("link")])
    assert FILES

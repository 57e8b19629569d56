"""Rules that every node keeps, read from the schemas ComfyUI serves."""

from __future__ import annotations

import asyncio
import inspect
import re
from types import ModuleType
from typing import Any

import pytest

IDS = """
LoadWorld LoadWorldPainter ApplyDetokenizer EncodeImage StartStory TellPanel IllustrateCaption
TellStory Conditioning PaintStory AttachImage Panels StoryPage ShowStory LoadStory
StoryLoopOpen StoryLoopClose Sampling WindowContext DenseContext ReferenceSigmas ReferenceNoise
AttachPicture WorldOpening LoadWorldControlNet EmptyPanelLatent MemoryPlan BlockContext
SinkContext TellFutures GuidanceUntil StoryView BookSettings PressBook BookPages StoryVideo
EditCaption RerollPanel InsertPanel RewindStory BranchStory JoinStories RemovePanels ReorderPanels
GetPanel BestTake AttachBestImage LoadScript ReadScript SaveCharacter LoadCharacter CharacterLoras
SaveStoryFile LoadStoryFile SaveStoryImages
""".split()
STOCK = {"MODEL", "VAE", "IMAGE", "CONDITIONING", "SIGMAS", "NOISE", "INT", "FLOAT", "STRING"}
STOCK |= {"BOOLEAN", "COMBO", "LATENT", "CONTROL_NET", "VIDEO"}
OURS = re.compile(r"SEEDSTORY_[A-Z]+")
MAX_LINES = 20  # of an execute


@pytest.fixture(scope="module")
def nodes(pack: ModuleType) -> dict[str, Any]:
    """Node classes by id, asked for as ComfyUI does."""

    async def listed() -> list[Any]:
        extension = await pack.comfy_entrypoint()
        return await extension.get_node_list()

    found = asyncio.run(listed())
    named = {kind.GET_SCHEMA().node_id: kind for kind in found}
    assert len(named) == len(found)
    return named


@pytest.fixture(scope="module")
def infos(nodes: dict[str, Any]) -> dict[str, Any]:
    """What ``/object_info`` says of each node."""
    return {node_id: kind.GET_NODE_INFO_V1() for node_id, kind in nodes.items()}


def inputs_of(info: dict[str, Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Input name -> (type, options), hidden ones left out."""
    groups = [info["input"].get(group, {}) for group in ("required", "optional")]
    return {name: (spec[0], spec[1]) for group in groups for name, spec in group.items()}


def test_ids_are_the_published_ones(nodes: dict[str, Any]) -> None:
    assert set(nodes) == {f"SeedStory_{name}" for name in IDS}


def test_every_node_says_what_it_is(infos: dict[str, Any]) -> None:
    for info in infos.values():
        assert len(info["description"]) > 30, info["name"]
        assert info["category"].startswith("SEED-Story/"), info["name"]
        assert info["display_name"] != info["name"]
    names = [info["display_name"] for info in infos.values()]
    assert len(set(names)) == len(names)


def test_every_socket_has_a_tooltip(infos: dict[str, Any]) -> None:
    for info in infos.values():
        for name, (_, options) in inputs_of(info).items():
            assert len(options.get("tooltip", "")) > 10, (info["name"], name)
        assert len(info["output_tooltips"]) == len(info["output"])
        assert all(len(tip or "") > 5 for tip in info["output_tooltips"]), info["name"]


def test_every_widget_has_a_default_it_accepts(infos: dict[str, Any]) -> None:
    for info in infos.values():
        for name, (kind, options) in inputs_of(info).items():
            if kind in ("INT", "FLOAT"):
                assert options["min"] <= options["default"] <= options["max"], (info["name"], name)
            elif kind in ("STRING", "BOOLEAN"):
                assert isinstance(options["default"], str | bool), (info["name"], name)
            elif kind == "COMBO" or isinstance(kind, list):
                choices = kind if isinstance(kind, list) else options["options"]
                assert options["default"] in choices, (info["name"], name)


def test_types_are_stock_or_clearly_ours(infos: dict[str, Any]) -> None:
    for info in infos.values():
        kinds = [kind for kind, _ in inputs_of(info).values()] + list(info["output"])
        for kind in kinds:
            assert isinstance(kind, list) or kind in STOCK or OURS.fullmatch(kind), kind


def test_each_of_our_types_is_made_and_used(infos: dict[str, Any]) -> None:
    made = {kind for info in infos.values() for kind in info["output"]} - STOCK
    used = {
        kind for info in infos.values() for kind, _ in inputs_of(info).values() if kind not in STOCK
    }
    assert made == {kind for kind in used if isinstance(kind, str)}


def test_nodes_fit_into_the_body_of_a_core_loop(
    nodes: dict[str, Any], infos: dict[str, Any]
) -> None:
    """An output to end the branch with on each node, and nothing tied to identity."""
    for node_id, info in infos.items():
        assert info["output"], node_id
        schema = nodes[node_id].GET_SCHEMA()
        assert not schema.not_idempotent, node_id
        if schema.is_output_node:
            ends = {"SeedStory_SaveCharacter"}  # keeps a card, and has no story
            assert "SEEDSTORY_STORY" in info["output"] or node_id in ends
        hidden = {str(item) for item in schema.hidden or []}
        if any("unique_id" in item for item in hidden):
            assert schema.enable_expand, f"{node_id} is tied to its place in the graph"
    for node_id in ("SeedStory_TellPanel", "SeedStory_TellStory", "SeedStory_PaintStory"):
        assert "seed" in inputs_of(infos[node_id])
    assert "index" in inputs_of(infos["SeedStory_AttachImage"])


def test_a_story_goes_in_once_and_comes_out_first(infos: dict[str, Any]) -> None:
    """One carried value: whatever changes the story hands it on as its first output."""
    for info in infos.values():
        ins = [name for name, (kind, _) in inputs_of(info).items() if kind == "SEEDSTORY_STORY"]
        assert ins in ([], ["story"], ["story", "stories"])  # the second: branches to look at
        outs = [kind for kind in info["output"] if kind == "SEEDSTORY_STORY"]
        if outs and info["name"] != "SeedStory_StoryLoopOpen":
            assert info["output"][0] == "SEEDSTORY_STORY" and len(outs) == 1


def test_seeds_come_with_control_after_generate(infos: dict[str, Any]) -> None:
    for info in infos.values():
        options = inputs_of(info).get("seed", (None, {"control_after_generate": True}))[1]
        assert options["control_after_generate"] is True
        assert options.get("max", 2**64 - 1) == 2**64 - 1


def test_bodies_of_nodes_are_short(nodes: dict[str, Any]) -> None:
    for node_id, kind in nodes.items():
        source = inspect.getsource(kind.execute.__func__)
        body = source[source.index("io.NodeOutput:") :].strip().splitlines()[1:]
        assert len(body) <= MAX_LINES, (node_id, len(body))


def test_execute_takes_exactly_the_inputs(nodes: dict[str, Any], infos: dict[str, Any]) -> None:
    for node_id, kind in nodes.items():
        parameters = inspect.signature(kind.execute).parameters
        names = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        inputs = set(inputs_of(infos[node_id]))
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        assert names <= inputs and (open_ended or names == inputs), node_id


def test_new_schema_fields_are_dropped_on_old_hosts(pack: ModuleType) -> None:
    made = pack.nodes.host.schema(node_id="X", inputs=[], outputs=[], not_a_field_yet=True)
    assert made.node_id == "X" and not hasattr(made, "not_a_field_yet")

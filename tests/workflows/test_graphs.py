"""Every shipped workflow: true to the live schemas, and run by a real ComfyUI."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from support.graphs import build
from support.prompts import FOLDER, NAMES, api_prompt, quick, ui_graph
from support.server import PACK, ComfyServer

pytestmark = [pytest.mark.comfyui]

MAX_THUMBNAIL = 100_000  # bytes


@pytest.fixture(scope="module")
def info(comfy: ComfyServer) -> dict[str, Any]:
    return comfy.object_info()


def test_the_files_are_what_the_builder_makes(info: dict[str, Any]) -> None:
    made = build.files(info)
    assert set(made) == set(FOLDER.rglob("*.json"))
    for path, content in made.items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run graphs.build again"


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_small_thumbnail(name: str) -> None:
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size < MAX_THUMBNAIL
    with Image.open(path) as picture:
        assert min(picture.size) >= 200


@pytest.mark.parametrize("name", NAMES)
def test_nodes_and_frames_do_not_overlap(name: str) -> None:
    graph = ui_graph(name)
    boxes = [(*node["pos"], *node["size"]) for node in graph["nodes"]]
    frames = [tuple(group["bounding"]) for group in graph["groups"]]
    for kind in (boxes, frames):
        for at, one in enumerate(kind):
            assert not [other for other in kind[at + 1 :] if overlap(one, other)]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two (x, y, width, height) share ground."""
    across = one[0] < other[0] + other[2] and other[0] < one[0] + one[2]
    return across and one[1] < other[1] + other[3] and other[1] < one[1] + one[3]


def test_the_template_browser_finds_them(comfy: ComfyServer) -> None:
    listed = comfy.get("/workflow_templates")[PACK]
    assert sorted(set(listed)) == NAMES
    for name in NAMES:
        comfy.get(f"/api/workflow_templates/{PACK}/{name}.json")
        comfy.get_bytes(f"/api/workflow_templates/{PACK}/{name}.jpg")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(comfy: ComfyServer, name: str) -> None:
    prompt = quick(api_prompt(name))
    run = comfy.run(prompt)
    assert run.status == "success", run.error()
    assert {*run.executed, *run.cached} >= set(prompt), "every node of the graph took part"
    assert run.outputs

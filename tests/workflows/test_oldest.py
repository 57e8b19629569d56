"""A smoke run on the oldest supported ComfyUI: the same files, told and painted."""

from __future__ import annotations

import pytest
from support.prompts import NAMES, api_prompt, changed, quick
from support.server import ComfyServer

pytestmark = [pytest.mark.comfyui]


def test_every_node_of_the_examples_is_listed(comfy_oldest: ComfyServer) -> None:
    listed = set(comfy_oldest.object_info())
    for name in NAMES:
        missing = {node["class_type"] for node in api_prompt(name).values()} - listed
        assert not missing, f"{name} needs {missing}"


def test_a_story_is_told_and_painted(comfy_oldest: ComfyServer) -> None:
    prompt = changed(quick(api_prompt("03-whole-story")), "SeedStory_StartStory", run="smoke")
    run = comfy_oldest.run(prompt)
    assert run.status == "success", run.error()
    folder = comfy_oldest.base / "output" / "seedstory" / "smoke"
    assert len(list((folder / "panels").glob("*.png"))) == 5
    assert len(list((folder / "features").glob("*.safetensors"))) == 5


@pytest.mark.parametrize("name", NAMES)
def test_every_example_runs(comfy_oldest: ComfyServer, name: str) -> None:
    run = comfy_oldest.run(quick(api_prompt(name)))
    assert run.status == "success", run.error()


def test_the_loop_with_stock_nodes_runs(comfy_oldest: ComfyServer) -> None:
    prompt = changed(quick(api_prompt("04-loop-lora-controlnet")), "KSampler", steps=2)
    run = comfy_oldest.run(prompt)
    assert run.status == "success", run.error()
    turns = {key.split("@")[1].split(".")[0] for key in run.executed if "@" in key}
    assert turns == {"1", "2"}

"""How prompts behave on a real server: what runs again, what a stop leaves, what errors say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.prompts import Prompt, api_prompt, changed, ids, quick, the
from support.server import ComfyServer, PromptRefused

pytestmark = [pytest.mark.comfyui]

WHOLE, LOOP = "03-whole-story", "04-loop-lora-controlnet"


def named(prompt: Prompt, run: str) -> Prompt:
    """The prompt with a story folder of its own."""
    return changed(prompt, "SeedStory_StartStory", run=run)


def story(server: ComfyServer, run: str) -> Path:
    return server.base / "output" / "seedstory" / run


def captions_of(folder: Path) -> list[str]:
    return [panel["caption"] for panel in json.loads((folder / "story.json").read_text())["panels"]]


def wait_until(ready: Callable[[], bool], what: str, timeout: float = 300.0) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(0.02)


def turn_of(key: str) -> str:
    """``17.9@2.attach`` -> ``2``."""
    return key.split("@")[1].split(".")[0]


def load_and_count(run: str) -> Prompt:
    """Load Story and show how many panels and pictures there are."""
    panels = {"story": ["1", 0], "with_opening": True}
    return {
        "1": {"class_type": "SeedStory_LoadStory", "inputs": {"run": run}},
        "2": {"class_type": "SeedStory_Panels", "inputs": panels},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 3]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }


# ---- what runs again


def test_an_equal_prompt_runs_nothing(comfy: ComfyServer) -> None:
    prompt = named(quick(api_prompt(WHOLE)), "equal")
    assert comfy.run(prompt).status == "success"
    again = comfy.run(prompt)
    assert again.status == "success" and again.executed == []


def test_a_change_runs_only_what_hangs_on_it(comfy: ComfyServer) -> None:
    prompt = named(quick(api_prompt(WHOLE)), "change")
    comfy.run(prompt)
    repainted = comfy.run(changed(prompt, "SeedStory_PaintStory", cfg=5.0))
    after_paint = ("PaintStory", "ShowStory", "StoryPage")
    wanted = {the(prompt, f"SeedStory_{name}") for name in after_paint} | {the(prompt, "SaveImage")}
    assert repainted.status == "success", repainted.error()
    assert set(repainted.executed) == wanted


def test_freeing_memory_runs_all_again_with_the_same_story(comfy: ComfyServer) -> None:
    prompt = named(quick(api_prompt(WHOLE)), "freed")
    first = comfy.run(prompt)
    comfy.free()
    again = comfy.run(prompt)
    assert first.status == again.status == "success", again.error()
    assert set(again.executed) == set(prompt)
    folder = story(comfy, "freed")
    assert len(captions_of(folder)) == 5
    twins = list(folder.parent.glob("freed*"))
    assert twins == [folder], "the same telling lands in the same folder"


def test_more_turns_run_only_the_new_ones(comfy: ComfyServer) -> None:
    prompt = named(quick(api_prompt(LOOP)), "turns")
    close = the(prompt, "SeedStory_StoryLoopClose")
    three = comfy.run(changed(prompt, "SeedStory_StoryLoopClose", count=3))
    assert three.status == "success", three.error()
    five = comfy.run(changed(prompt, "SeedStory_StoryLoopClose", count=5))
    assert five.status == "success", five.error()
    turns = {turn_of(key) for key in five.executed if "@" in key}
    originals = {key for key in five.executed if "@" not in key}
    assert turns == {"3", "4"}
    assert originals == {close, the(prompt, "SeedStory_ShowStory")}
    assert len(captions_of(story(comfy, "turns"))) == 6


def test_a_stronger_lora_repaints_every_turn_and_tells_the_first_no_new(
    comfy: ComfyServer,
) -> None:
    prompt = named(quick(api_prompt(LOOP)), "stronger")
    comfy.run(prompt)
    stronger = comfy.run(changed(prompt, "LoraLoaderModelOnly", strength_model=1.5))
    assert stronger.status == "success", stronger.error()
    sampler, tell = the(prompt, "KSampler"), the(prompt, "SeedStory_TellPanel")
    ends = [key.split("@")[0].rsplit(".", 1)[-1] for key in stronger.executed]
    assert ends.count(sampler) == 3
    assert tell not in stronger.executed, "what the first turn told still holds"


# ---- what a stop leaves


def test_stopped_telling_keeps_every_finished_panel(comfy: ComfyServer) -> None:
    prompt = named(api_prompt(WHOLE), "stopped-telling")
    prompt = changed(prompt, "SeedStory_TellStory", panels=300)
    folder = story(comfy, "stopped-telling")
    run = comfy.begin(prompt)
    wait_until(lambda: (folder / "features" / "004.safetensors").is_file(), "four told panels")
    comfy.interrupt()
    assert run.finish().status == "interrupted"
    kept = len(captions_of(folder))
    assert 4 <= kept < 300
    loaded = comfy.run(load_and_count("stopped-telling"))
    assert loaded.status == "success", loaded.error()
    assert loaded.outputs["3"]["text"] == [str(kept)]


def test_stopped_painting_keeps_pictures_and_goes_on_from_them(comfy: ComfyServer) -> None:
    prompt = named(api_prompt(WHOLE), "stopped-painting")
    folder = story(comfy, "stopped-painting")
    prompt = changed(prompt, "SeedStory_TellStory", panels=4)
    run = comfy.begin(changed(prompt, "SeedStory_PaintStory", steps=100))
    wait_until(lambda: (folder / "panels" / "001.png").is_file(), "the first picture")
    comfy.interrupt()
    assert run.finish().status == "interrupted"
    before = {path.name: path.read_bytes() for path in (folder / "panels").glob("*.png")}
    assert {"000.png", "001.png"} <= set(before) and "004.png" not in before

    resumed = quick(api_prompt(WHOLE))
    paint = the(resumed, "SeedStory_PaintStory")
    resumed["99"] = {"class_type": "SeedStory_LoadStory", "inputs": {"run": "stopped-painting"}}
    resumed[paint]["inputs"]["story"] = ["99", 0]
    for node_class in ("SeedStory_TellStory", "SeedStory_StartStory", "SeedStory_WorldOpening"):
        del resumed[the(resumed, node_class)]
    done = comfy.run(resumed)
    assert done.status == "success", done.error()
    after = {path.name: path.read_bytes() for path in (folder / "panels").glob("*.png")}
    assert set(after) == {f"{number:03d}.png" for number in range(5)}
    assert all(after[name] == data for name, data in before.items()), "finished pictures stay"


def test_previews_come_while_painting(comfy: ComfyServer) -> None:
    run = comfy.run(named(quick(api_prompt(WHOLE)), "previews"))
    assert run.previews >= 4
    assert the(api_prompt(WHOLE), "SeedStory_PaintStory") in {
        str(data["node"]) for data in run.of("progress")
    }


# ---- what errors say


def test_an_empty_opening_is_refused_in_words(comfy: ComfyServer) -> None:
    run = comfy.run(changed(api_prompt(WHOLE), "SeedStory_StartStory", text="  "))
    assert run.status == "error"
    assert "first sentence" in run.error()


def test_an_unknown_world_is_refused_before_anything_runs(comfy: ComfyServer) -> None:
    with pytest.raises(PromptRefused) as refused:
        comfy.run(changed(api_prompt(WHOLE), "SeedStory_LoadWorld", world="atlantis"))
    assert "value_not_in_list" in str(refused.value) and "atlantis" in str(refused.value)


def test_an_error_does_not_print_the_story(comfy: ComfyServer) -> None:
    prompt = changed(api_prompt("01-one-panel"), "SeedStory_AttachImage", index=77)
    run = comfy.run(named(quick(prompt), "no-print"))
    assert run.status == "error" and "77" in run.error()
    (error,) = run.of("execution_error")
    (shown,) = error["current_inputs"]["story"]
    assert shown.startswith("Story('no-print'") and len(shown) < 100


def test_wires_between_wrong_types_are_refused(comfy: ComfyServer) -> None:
    prompt = api_prompt(WHOLE)
    world = the(prompt, "SeedStory_LoadWorld")
    prompt[the(prompt, "SeedStory_TellStory")]["inputs"]["llm"] = [world, 1]
    with pytest.raises(PromptRefused) as refused:
        comfy.run(prompt)
    assert "return_type_mismatch" in str(refused.value)


def test_all_our_nodes_are_listed(comfy: ComfyServer) -> None:
    listed = {name for name in comfy.object_info() if name.startswith("SeedStory_")}
    used = {
        node["class_type"]
        for name in (WHOLE, LOOP, "01-one-panel", "05-given-captions", "07-storybook-page")
        for node in api_prompt(name).values()
        if node["class_type"].startswith("SeedStory_")
    }
    assert used < listed and ids(api_prompt(WHOLE), "SaveImage")

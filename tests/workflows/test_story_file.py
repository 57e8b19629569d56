"""Story files on real servers: killed and started again, left by its browser, opened elsewhere."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support.prompts import Prompt
from support.server import ComfyServer, PromptRefused

from seedstory_core.story_file import check_story, open_any, workflow_of
from seedstory_core.story_store import load_story
from seedstory_core.types import Story

pytestmark = [pytest.mark.comfyui]

SEED = 11
SHIPPED = "picture-world"
DRAWN = {"nodes": [], "links": [], "version": 0.4, "extra": {"mark": "drawn by hand"}}


def node(node_class: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": node_class, "inputs": inputs}


def telling(run: str, panels: int, story: list[Any] | None = None, world: str = "babble") -> Prompt:
    """World, opening, story, so many panels, a story file; from ``story`` on if there is one."""
    prompt = {
        "1": node("SeedStory_LoadWorld", world=world, precision="auto", quantise="none"),
        "5": node("SeedStory_TellStory", story=story or ["4", 0], llm=["1", 0], panels=panels),
        "6": node("SeedStory_SaveStoryFile", story=["5", 0], filename_prefix=f"files/{run}"),
    }
    prompt["5"]["inputs"] |= {"seed": SEED, "captions": "", "reference": False}
    if story is not None:
        return prompt | {story[0]: node("SeedStory_LoadStory", run=run)}
    prompt["3"] = node("SeedStory_WorldOpening", world=world, number=1)
    prompt["4"] = node("SeedStory_StartStory", vision=["1", 1], image=["3", 0], text=["3", 1])
    prompt["4"]["inputs"] |= {"run": run}
    return prompt


def folder_of(server: ComfyServer, run: str) -> Path:
    return server.base / "output" / "seedstory" / run


def saved(server: ComfyServer, run: str) -> Path:
    (path,) = (server.base / "output" / "files").glob(f"{run}_*.seedstory")
    return path


def done(server: ComfyServer, prompt: Prompt) -> Any:
    run = server.run(prompt)
    assert run.status == "success", run.error()
    return run


def check_same(one: Story, other: Story) -> None:
    """Equal in words, and in features as one seed gives them twice."""
    assert [p.uid for p in one.panels] == [p.uid for p in other.panels]
    assert [p.seed for p in one.panels] == [p.seed for p in other.panels]
    assert one.closing == other.closing
    for mine, its in zip(one.panels, other.panels, strict=True):
        assert mine.features.keys() == its.features.keys()
        for space, features in its.features.items():
            torch.testing.assert_close(mine.features[space], features, atol=1e-4, rtol=0)


def wait_for_panels(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 600
    while not (folder / "features" / f"{count:03d}.safetensors").is_file():
        assert time.monotonic() < deadline, f"panel {count} was not told"
        time.sleep(0.01)


# ---- a browser that leaves


def test_a_run_goes_on_without_its_browser(comfy: ComfyServer) -> None:
    run = comfy.begin(telling("left", 30))
    wait_for_panels(folder_of(comfy, "left"), 1)
    run.close()
    deadline = time.monotonic() + 600
    while run.prompt_id not in (found := comfy.get(f"/history/{run.prompt_id}")):
        assert time.monotonic() < deadline, "the run stopped with its browser"
        time.sleep(0.1)
    assert found[run.prompt_id]["status"]["status_str"] == "success"
    kept = load_story(folder_of(comfy, "left"))
    assert len(kept) == 31 or kept.ended
    check_same(kept, open_any(saved(comfy, "left")))


# ---- a server that is killed


@pytest.mark.slow
def test_a_killed_server_loses_at_most_the_panel_in_the_making(
    comfy_tree: Path, tmp_path: Path
) -> None:
    """Killed while it tells, three times over; then the story is told to its end."""
    panels, dice = 12, random.Random()
    server = ComfyServer(comfy_tree, Path(sys.executable), tmp_path)
    try:
        server.start()
        done(server, telling("straight", panels))
        straight = load_story(folder_of(server, "straight"))
        folder, seen = folder_of(server, "killed"), 0
        for _ in range(3):
            more = panels - max(0, seen - 1)
            server.begin(telling("killed", more, ["9", 0] if seen else None)).close()
            wait_for_panels(folder, max(1, seen))
            time.sleep(dice.uniform(0, 0.2))
            assert server.process is not None
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(60)
            kept = load_story(folder)
            told = len(list((folder / "features").glob("*.safetensors")))
            assert len(kept) >= max(2, seen) and told - len(kept) in (0, 1)
            assert [p.uid for p in kept.panels] == [p.uid for p in straight.panels[: len(kept)]]
            seen = len(kept)
            server.start()
        if seen <= panels:
            done(server, telling("killed", panels + 1 - seen, ["9", 0]))
        check_same(load_story(folder), straight)
    finally:
        server.stop()


# ---- elsewhere


def opening(name: str) -> Prompt:
    """A story file -> the story file again, and a book in every format."""
    press = node("SeedStory_PressBook", story=["1", 0], name="reopened", carry_story=True)
    kinds = ("pdf", "epub", "html", "cbz", "png", "subtitles")
    press["inputs"] |= dict.fromkeys(kinds, True)
    return {
        "1": node("SeedStory_LoadStoryFile", file=name),
        "2": press,
        "3": node("SeedStory_SaveStoryFile", story=["1", 0], filename_prefix="files/again"),
    }


def books(server: ComfyServer) -> dict[str, bytes]:
    root = server.base / "output" / "seedstory-books"
    files = (path for path in root.glob("reopened_00001/**/*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def told(comfy: ComfyServer) -> Path:
    """A painted story of the shipped world, saved by a prompt with a workflow."""
    prompt = telling("sent", 2, world=SHIPPED)
    prompt["2"] = node("SeedStory_LoadWorldPainter", world=SHIPPED)
    paint = node("SeedStory_PaintStory", story=["5", 0], model=["2", 0], vae=["2", 1])
    paint["inputs"] |= {"detokenizer": ["1", 2], "steps": 2, "cfg": 1.0, "sampler_name": "euler"}
    paint["inputs"] |= {"scheduler": "simple", "seed": 1, "same_noise": True, "repaint": False}
    prompt["7"] = paint | {"inputs": paint["inputs"] | {"width": 0, "height": 0, "at_once": 1}}
    prompt["7"]["inputs"]["panels"] = ""
    prompt["6"]["inputs"]["story"] = ["7", 0]
    run = comfy.begin(prompt, DRAWN).finish()
    assert run.status == "success", run.error()
    return saved(comfy, "sent")


def test_provenance_is_whole(comfy: ComfyServer, told: Path) -> None:
    report = check_story(told)
    assert report.notes == ()
    kept = load_story(folder_of(comfy, "sent"))
    for panel, mine in zip(report.story.panels, kept.panels, strict=True):
        known = panel.provenance
        assert known["engine"] and known["world"]["digest"] == report.story.world.digest
        assert known["workflow"]["workflow"] == DRAWN == mine.provenance["workflow"]["workflow"]
        if panel.origin == "told":
            assert known["sampling"] and known["context"] and panel.seed is not None
            assert known["paint"]["sampler"] == "euler"


def test_a_clean_server_gives_the_same_book(
    comfy: ComfyServer, comfy_tree: Path, told: Path, tmp_path: Path
) -> None:
    """Nothing but the file goes over: its bytes come back, and books of the same bytes."""
    name = comfy.upload(told, "sent.seedstory")
    done(comfy, opening(name))
    clean = ComfyServer(comfy_tree, Path(sys.executable), tmp_path)
    try:
        clean.start()
        assert not list((tmp_path / "output").iterdir())
        assert clean.upload(told, "sent.seedstory") == name
        done(clean, opening(name))
        assert saved(clean, "again").read_bytes() == told.read_bytes()
        here, there = books(comfy), books(clean)
        assert len(there) >= 7 and here.keys() == there.keys()
        assert [path for path, data in there.items() if here[path] != data] == []
    finally:
        clean.stop()


def test_the_oldest_server_opens_it_too(comfy_oldest: ComfyServer, told: Path) -> None:
    name = comfy_oldest.upload(told, "sent.seedstory")
    prompt = opening(name)
    del prompt["2"]
    done(comfy_oldest, prompt)
    assert saved(comfy_oldest, "again").read_bytes() == told.read_bytes()


def test_what_is_no_story_is_refused_before_it_runs(comfy: ComfyServer) -> None:
    with pytest.raises(PromptRefused) as refused:
        comfy.begin(opening("nowhere.seedstory"))
    assert "There is no file 'nowhere.seedstory'" in json.dumps(refused.value.body)


def test_a_damaged_upload_is_named(comfy: ComfyServer, told: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.seedstory"
    torn.write_bytes(told.read_bytes()[:-40])
    name = comfy.upload(torn, torn.name)
    run = comfy.run(opening(name))
    assert run.status == "error" and "cut short" in run.error()


def test_the_workflow_in_the_file_is_the_one_that_ran(told: Path) -> None:
    kept = workflow_of(open_any(told))
    assert kept["workflow"] == DRAWN
    assert kept["prompt"]["5"]["class_type"] == "SeedStory_TellStory"

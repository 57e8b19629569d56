"""The whole flow with the untrained world, run by ComfyUI's own executor."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from support.comfy_places import ROOT
from support.executor import Executor

STEPS = 2


@pytest.fixture(scope="module")
def executor(pack: ModuleType) -> Executor:
    return Executor(pack.nodes.NODES)


@pytest.fixture(autouse=True)
def _stories(comfy_here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield
    folder_paths.set_output_directory(before)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    prefix = "" if kind[0] == "." else "SeedStory_"
    return {"class_type": prefix + kind.lstrip("."), "inputs": inputs}


def begin(run: str = "tale") -> dict[str, Any]:
    """World (1), picture (2), story of one panel (3)."""
    return {
        "1": node("LoadWorld", world="babble", precision="auto"),
        "2": node(".EmptyImage", width=64, height=48, batch_size=1, color=0x336699),
        "3": node("StartStory", vision=["1", 1], image=["2", 0], text="A fox wakes.", run=run),
    }


def tell_story(panels: int = 2, **more: Any) -> dict[str, Any]:
    how = {"panels": panels, "seed": 5, "captions": "", "reference": False} | more
    return node("TellStory", story=["3", 0], llm=["1", 0], **how)


def paint(story: list[Any], **more: Any) -> dict[str, Any]:
    how = {
        "steps": STEPS,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "seed": 1,
        "same_noise": True,
        "repaint": False,
        "width": 0,
        "height": 0,
    }
    links = {"model": ["8", 0], "vae": ["8", 1], "detokenizer": ["1", 2]}
    return node("PaintStory", story=story, **links, **how | more)


def two_phases(panels: int = 2) -> dict[str, Any]:
    return begin() | {
        "4": tell_story(panels),
        "8": node("LoadWorldPainter", world="babble"),
        "9": paint(["4", 0]),
        "10": node("ShowStory", story=["9", 0]),
        "11": node(".PreviewImage", images=["9", 1]),
    }


def run_folder(tmp_path: Path, name: str = "tale") -> Path:
    return tmp_path / "output" / "seedstory" / name


def test_two_phases_tell_paint_show_and_keep(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    executor.run(two_phases())
    shown = executor.outputs["10"]["seedstory_panels"]
    assert [p["number"] for p in shown] == [0, 1, 2]
    assert all(p["image"]["type"] == "temp" for p in shown)
    assert executor.outputs["4"]["seedstory_text"] == [p["caption"] for p in shown[1:]]
    kept = pack.seedstory_core.story_store.load_story(run_folder(tmp_path))
    assert [p.caption for p in kept.panels] == [p["caption"] for p in shown]
    assert all(p.image is not None for p in kept.panels)
    assert kept.panels[1].image.shape == (64, 64, 3)
    assert kept.panels[1].provenance["paint"]["sampler"] == "euler"


def test_without_steps_a_world_paints_as_it_is_made_for(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    prompt = begin() | {"4": tell_story(1), "8": node("LoadWorldPainter", world="picture-world")}
    prompt["1"]["inputs"]["world"] = "picture-world"
    prompt["9"] = paint(["4", 0], steps=0, cfg=9.0, scheduler="karras")
    executor.run(prompt | {"10": node("ShowStory", story=["9", 0])})
    kept = pack.seedstory_core.story_store.load_story(run_folder(tmp_path))
    made = kept.panels[1].provenance["paint"]
    world = pack.seedstory_core.world.load_world(ROOT / "worlds" / "picture-world")
    wanted = world.defaults["paint"]
    assert made["steps"] == wanted["steps"] < 50
    assert (made["cfg"], made["scheduler"]) == (wanted["guidance"], "simple")
    own_settings = importlib.import_module(f"{pack.__name__}.nodes.painting").own_settings
    plain = replace(world, painter=None, defaults={})
    assert own_settings(SimpleNamespace(world=plain)) == (50, 7.5, "normal")


def test_one_by_one_equals_all_at_once(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    executor.run(begin("all") | {"4": tell_story(2), "5": node("ShowStory", story=["4", 0])})
    chain = begin("each")
    for here, before in (("4", "3"), ("5", "4")):
        how = {"seed": 5, "reference": False, "llm": ["1", 0]}
        chain[here] = node("TellPanel", story=[before, 0], **how)
    executor.run(chain | {"6": node("ShowStory", story=["5", 0])})
    load = pack.seedstory_core.story_store.load_story
    both = [load(run_folder(tmp_path, run)).panels for run in ("all", "each")]
    assert [p.uid for p in both[0]] == [p.uid for p in both[1]]
    assert len(both[0]) == 3


def test_given_captions_are_illustrated(executor: Executor) -> None:
    lines = "He ran.\n\n  He slept.  \n"
    executor.run(
        begin() | {"4": tell_story(captions=lines), "5": node("ShowStory", story=["4", 0])}
    )
    shown = executor.outputs["5"]["seedstory_panels"]
    assert [p["caption"] for p in shown] == ["A fox wakes.", "He ran.", "He slept."]


def test_panel_by_panel_through_stock_sampler(executor: Executor, tmp_path: Path) -> None:
    prompt = begin() | {
        "4": node(
            "IllustrateCaption", story=["3", 0], llm=["1", 0], caption="He ran.", reference=False
        ),
        "5": node("Conditioning", features=["4", 1], detokenizer=["1", 2], width=0, height=0),
        "8": node("LoadWorldPainter", world="babble"),
        "6": node("ApplyDetokenizer", model=["8", 0], detokenizer=["1", 2]),
        "7": node(".EmptyLatentImage", width=64, height=64, batch_size=1),
        "12": node(
            ".KSampler",
            model=["6", 0],
            positive=["5", 0],
            negative=["5", 1],
            latent_image=["7", 0],
            seed=1,
            steps=STEPS,
            cfg=2.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "13": node(".VAEDecode", samples=["12", 0], vae=["8", 1]),
        "14": node("AttachImage", story=["4", 0], image=["13", 0], index=-1, feed_back=False),
        "15": node("ShowStory", story=["14", 0]),
    }
    executor.run(prompt)
    assert [p["image"] is not None for p in executor.outputs["15"]["seedstory_panels"]] == [
        True
    ] * 2
    assert (run_folder(tmp_path) / "panels" / "001.png").is_file()


def test_feed_back_changes_what_follows(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    def told(feed_back: bool) -> Any:
        run = f"fed-{feed_back}"
        prompt = begin(run) | {
            "4": tell_story(1),
            "5": node(
                "AttachImage",
                story=["4", 0],
                image=["2", 0],
                index=-1,
                feed_back=feed_back,
                vision=["1", 1],
            ),
            "6": node("ShowStory", story=["5", 0]),
        }
        executor.run(prompt)
        folders = sorted((tmp_path / "output" / "seedstory").glob(run + "*"))
        return [pack.seedstory_core.story_store.load_story(f).panels[-1].uid for f in folders]

    assert len(set(told(True)) - set(told(False))) == 1


def test_load_story_goes_on(executor: Executor, pack: ModuleType, tmp_path: Path) -> None:
    executor.run(begin() | {"4": tell_story(1), "5": node("ShowStory", story=["4", 0])})
    prompt = {
        "1": node("LoadWorld", world="babble", precision="auto"),
        "3": node("LoadStory", run="(newest)"),
        "4": tell_story(1),
        "5": node("ShowStory", story=["4", 0]),
    }
    executor.run(prompt)
    assert len(executor.outputs["5"]["seedstory_panels"]) == 3
    executor.run(prompt)  # the folder has changed: loaded anew, one panel longer
    assert len(executor.outputs["5"]["seedstory_panels"]) == 4
    assert len(pack.seedstory_core.story_store.load_story(run_folder(tmp_path)).panels) == 4


def test_free_drops_the_models_and_they_come_back(executor: Executor, pack: ModuleType) -> None:
    executor.run(two_phases(1))
    watched = weakref.ref(engines(pack)[0])
    executor.forget()
    gc.collect()  # ComfyUI does so as well: its own caches are tied in circles
    assert watched() is None
    executor.run(two_phases(1))
    assert executor.ran[0] in ("1", "2") and len(engines(pack)) == 1


def engines(pack: ModuleType) -> list[Any]:
    """Engines alive."""
    kind = importlib.import_module(f"{pack.__name__}.seedstory_core.engines.seed_story.engine")
    return [o for o in gc.get_objects() if type(o) is kind.SeedStoryEngine]


def test_parts_are_freed_with_their_handles(pack: ModuleType, comfy_here: Path) -> None:
    """Without the garbage collector: nothing of ours refers in a circle."""
    import comfy.model_management as management

    nodes = pack.nodes
    with torch.inference_mode():
        handles = nodes.loaders.LoadWorld.execute(world="babble", precision="auto").args
        image = torch.zeros(1, 8, 8, 3)
        story = nodes.starting.StartStory.execute(handles[1], "A fox.", "free", image).args[0]
        telling = nodes.telling.TellPanel.execute(story, handles[0], 1, False).args
        nodes.conditioning.Conditioning.execute(telling[2], handles[2], 0, 0)
    watched = [weakref.ref(handle.patcher.model) for handle in handles]
    assert {m.model.model for m in management.current_loaded_models} >= {ref() for ref in watched}
    gc.collect()
    gc.disable()
    try:
        del handles
        assert [ref() for ref in watched] == [None] * 3
    finally:
        gc.enable()
    management.cleanup_models()


def test_load_world_loads_nothing(pack: ModuleType, comfy_here: Path) -> None:
    out = pack.nodes.loaders.LoadWorld.execute(world="babble", precision="auto")
    handles = out.args
    assert [h.part for h in handles] == ["llm", "vision", "detokenizer"]
    assert [h.patcher for h in handles] == [None] * 3
    assert all(len(repr(h)) < 80 for h in handles)

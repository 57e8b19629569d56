"""Editing stories, run by ComfyUI's own executor: one panel changes, the rest is the same."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.executor import Executor

WARM = {"temperature": 1.5, "top_p": 0.98}


@pytest.fixture(scope="module")
def executor(pack: ModuleType) -> Executor:
    return Executor(pack.nodes.NODES)


@pytest.fixture(autouse=True)
def _stories(comfy_here: Path, tmp_path: Path) -> Iterator[None]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield
    folder_paths.set_output_directory(before)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    prefix = "" if kind[0] == "." else "SeedStory_"
    return {"class_type": prefix + kind.lstrip("."), "inputs": inputs}


def defaults(pack: ModuleType, name: str) -> dict[str, Any]:
    """Every widget of a node as it comes."""
    (kind,) = [k for k in pack.nodes.NODES if k.GET_SCHEMA().node_id == f"SeedStory_{name}"]
    found = {item.id: getattr(item, "default", None) for item in kind.GET_SCHEMA().inputs}
    return {key: value for key, value in found.items() if value is not None}


def with_defaults(pack: ModuleType, name: str, **inputs: Any) -> dict[str, Any]:
    return node(name, **defaults(pack, name) | inputs)


def told(pack: ModuleType, panels: int = 3, run: str = "tale") -> dict[str, Any]:
    """World (1), picture (2), opening (3), drawing of words (4), story of ``panels`` more (5)."""
    links = {"story": ["3", 0], "llm": ["1", 0], "sampling": ["4", 0]}
    return {
        "1": node("LoadWorld", world="babble", precision="auto"),
        "2": node(".EmptyImage", width=64, height=48, batch_size=1, color=0x336699),
        "3": node("StartStory", vision=["1", 1], image=["2", 0], text="A fox wakes.", run=run),
        "4": with_defaults(pack, "Sampling", **WARM),
        "5": with_defaults(pack, "TellStory", panels=panels, seed=5, **links),
    }


def edit(pack: ModuleType, name: str, **inputs: Any) -> dict[str, Any]:
    links = {"story": ["5", 0], "llm": ["1", 0], "sampling": ["4", 0]}
    return with_defaults(pack, name, **links | inputs)


def run(executor: Executor, prompt: dict[str, Any], last: str = "6") -> list[dict[str, Any]]:
    """Panels of the story that node ``last`` hands on."""
    executor.run(prompt | {"99": node("ShowStory", story=[last, 0])})
    return executor.outputs["99"]["seedstory_panels"]


def captions(panels: list[dict[str, Any]]) -> list[str]:
    return [panel["caption"] for panel in panels]


def kept(pack: ModuleType, tmp_path: Path) -> dict[str, Any]:
    """All kept stories by their folder's name."""
    store = pack.seedstory_core.story_store
    found = store.find_stories(tmp_path / "output" / "seedstory")
    return {name: store.load_story(folder) for name, folder in found.items()}


def test_a_caption_is_edited_and_the_rest_stays(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    before = captions(run(executor, told(pack), "5"))
    after = run(executor, told(pack) | {"6": edit(pack, "EditCaption", panel=2, caption="He ran.")})
    assert captions(after) == [*before[:2], "He ran.", before[3]]
    stories = kept(pack, tmp_path)
    assert len(stories) == 2, "the story as it was, and the edited one in a folder of its own"
    old = stories.pop("tale")
    (new,) = stories.values()
    for index in (0, 1, 3):
        (one,), (other,) = (s.panels[index].features.values() for s in (old, new))
        assert torch.equal(one, other)
    assert new.panels[2].provenance["edits"][0]["caption"] == before[2]


def test_later_panels_are_told_anew_and_kept_one_by_one(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    change = edit(pack, "EditCaption", panel=1, caption="He ran.", later="tell")
    assert len(run(executor, told(pack, run="later") | {"6": change})) == 4
    (new,) = [s for name, s in kept(pack, tmp_path).items() if name != "later"]
    assert [p.provenance["edits"][0]["op"] for p in new.panels[1:]] == [
        "edit_caption", "retell", "retell",
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["text", "features", "text and features"])
def test_a_panel_is_rerolled(executor: Executor, pack: ModuleType, what: str) -> None:
    before = captions(run(executor, told(pack), "5"))
    reroll = edit(pack, "RerollPanel", panel=2, what=what, seed=1234)
    after = captions(run(executor, told(pack) | {"6": reroll}))
    assert (after[2] == before[2]) == (what == "features")
    assert [*after[:2], after[3]] == [*before[:2], before[3]]


def test_panels_are_inserted_removed_and_reordered(executor: Executor, pack: ModuleType) -> None:
    before = captions(run(executor, told(pack), "5"))
    prompt = told(pack) | {
        "6": edit(pack, "InsertPanel", panel=2, caption="He ran."),
        "7": node("ReorderPanels", story=["6", 0], order="0 4 1-3"),
        "8": node("RemovePanels", story=["7", 0], panels="3"),
    }
    assert captions(run(executor, prompt, "6")) == [*before[:2], "He ran.", *before[2:]]
    moved = [before[0], before[3], before[1], "He ran.", before[2]]
    assert captions(run(executor, prompt, "7")) == moved
    assert captions(run(executor, prompt, "8")) == [*moved[:3], moved[4]]


def test_rewinding_and_telling_on_is_the_same_story(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    links = {"story": ["6", 0], "llm": ["1", 0], "sampling": ["4", 0]}
    prompt = told(pack) | {
        "6": node("RewindStory", story=["5", 0], panel=1),
        "7": with_defaults(pack, "TellStory", panels=2, seed=5, **links),
    }
    assert captions(run(executor, prompt, "7")) == captions(run(executor, told(pack), "5"))
    assert list(kept(pack, tmp_path)) == ["tale"], "the same story, in the same folder"


def test_branches_are_told_and_joined_into_one_book(executor: Executor, pack: ModuleType) -> None:
    links = {"story": ["6", 0], "llm": ["1", 0], "sampling": ["4", 0]}
    prompt = told(pack, 2) | {
        "6": node("BranchStory", story=["5", 0], panel=1, run="other way"),
        "7": with_defaults(pack, "TellStory", captions="He ran.\nHe slept.", **links),
        "8": node("JoinStories", story=["5", 0], stories=["7", 0], run="both"),
    }
    one, two = captions(run(executor, prompt, "5")), captions(run(executor, prompt, "7"))
    assert two[2:] == ["He ran.", "He slept."]
    assert captions(run(executor, prompt, "8")) == [*one, *two[2:]]


def test_the_best_take_is_used_and_all_are_kept(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    best = edit(pack, "BestTake", panel=-1, takes=3)
    shown = captions(run(executor, told(pack, 1) | {"6": best}))
    lines = executor.outputs["6"]["seedstory_text"]
    (starred,) = [line for line in lines if "\u2605" in line]
    assert starred.endswith(shown[2]) and len(lines) == 3
    takes = [s for name, s in kept(pack, tmp_path).items() if "-take-" in name]
    assert len(takes) == 2
    best["inputs"] |= {"pick": 3}
    picked = captions(run(executor, told(pack, 1) | {"6": best}))
    assert lines[2].endswith(picked[2])


def painted(pack: ModuleType) -> dict[str, Any]:
    """A story of two told panels, painted (9)."""
    links = {"model": ["8", 0], "vae": ["8", 1], "detokenizer": ["1", 2]}
    return told(pack, 2) | {
        "8": node("LoadWorldPainter", world="babble"),
        "9": with_defaults(pack, "PaintStory", story=["5", 0], steps=2, **links),
    }


def test_painting_again_never_loads_the_llm(
    executor: Executor, pack: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the real host: a kept story is opened, two panels are painted anew, no LLM is acquired."""
    run(executor, painted(pack), "9")
    before = kept(pack, tmp_path)["tale"]
    executor.forget()
    gc.collect()
    parts = importlib.import_module(f"{pack.__name__}.nodes.host.parts")
    acquired: list[str] = []
    acquire = parts.ComfyPart.acquire

    def noticed(self: Any, *sizes: Any) -> Any:
        acquired.append(self.spec.name)
        return acquire(self, *sizes)

    monkeypatch.setattr(parts.ComfyPart, "acquire", noticed)
    again = painted(pack) | {"5": node("LoadStory", run="tale")}
    again["9"]["inputs"] |= {"panels": "2", "seed": 7, "width": 32, "height": 32}
    del again["3"], again["4"], again["2"]
    run(executor, again, "9")
    assert set(acquired) == {"detokenizer"}
    after = kept(pack, tmp_path)["tale"]
    assert torch.equal(after.panels[1].image, before.panels[1].image)
    assert after.panels[2].image.shape[:2] == (32, 32)
    assert after.panels[2].provenance["edits"][0]["op"] == "repaint"
    pictures = tmp_path / "output" / "seedstory" / "tale" / "panels"
    assert (pictures / "002.1.png").is_file() and not (pictures / "001.1.png").exists()


def test_the_best_picture_is_attached_and_the_others_kept(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    prompt = told(pack, 1) | {
        "6": node(".EmptyImage", width=16, height=16, batch_size=3, color=0x112233),
        "7": node("AttachBestImage", story=["5", 0], images=["6", 0], index=1, pick=2),
        "8": node("GetPanel", story=["7", 0], panel=-1),
        "10": node(".PreviewImage", images=["8", 2]),
    }
    (panel,) = [p for p in run(executor, prompt, "7") if p["number"] == 1]
    assert panel["image"] is not None
    paint = kept(pack, tmp_path)["tale"].panels[1].provenance["paint"]
    assert (paint["take"], paint["takes"]) == (2, 3)


def test_mistakes_are_said(executor: Executor, pack: ModuleType) -> None:
    greedy = with_defaults(pack, "Sampling", temperature=0.0)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("is its opening", {"6": edit(pack, "RerollPanel", panel=0)}),
        ("panels 0 to 3", {"6": edit(pack, "EditCaption", panel=9)}),
        ("no caption to edit", {"6": edit(pack, "EditCaption", panel=1, caption=" ")}),
        ("control character", {"6": edit(pack, "EditCaption", panel=1, caption="A\x07")}),
        ("at most", {"6": edit(pack, "EditCaption", panel=1, caption="word " * 10_000)}),
        ("cannot be removed", {"6": node("RemovePanels", story=["5", 0], panels="0-1")}),
        ("names no panel", {"6": node("RemovePanels", story=["5", 0], panels="two")}),
        ("once", {"6": node("ReorderPanels", story=["5", 0], order="0 1")}),
        ("inserted at 1 to 4", {"6": edit(pack, "InsertPanel", panel=7)}),
        ("always taken", {"6": edit(pack, "RerollPanel", panel=1, sampling=["7", 0]), "7": greedy}),
    ]
    for message, more in wrong:
        with pytest.raises(Exception, match=message):
            run(executor, told(pack) | more)

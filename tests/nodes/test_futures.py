"""Tell Futures, run by ComfyUI's own executor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.executor import Executor

WARM = {"temperature": 1.5, "top_p": 0.98, "repetition_penalty": 1.0, "no_repeat_ngram": 0}


@pytest.fixture
def executor(pack: ModuleType) -> Executor:
    return Executor(pack.nodes.NODES)  # a new one, that has nothing cached


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
    (kind,) = [
        kind for kind in pack.nodes.NODES if kind.GET_SCHEMA().node_id == f"SeedStory_{name}"
    ]
    schema = kind.GET_SCHEMA()
    found = {item.id: getattr(item, "default", None) for item in schema.inputs}
    return {key: value for key, value in found.items() if value is not None}


def begin(pack: ModuleType, run: str = "tale") -> dict[str, Any]:
    """World (1), picture (2), story of one panel (3), drawing of words (4)."""
    return {
        "1": node("LoadWorld", world="babble", precision="auto"),
        "2": node(".EmptyImage", width=64, height=48, batch_size=1, color=0x336699),
        "3": node("StartStory", vision=["1", 1], image=["2", 0], text="A fox wakes.", run=run),
        "4": node("Sampling", **defaults(pack, "Sampling") | {"temperature": 1.5, "top_p": 0.98}),
    }


def futures(**more: Any) -> dict[str, Any]:
    how = {"futures": 3, "panels": 2, "seed": 5, "captions": "", "sampling": ["4", 0]} | more
    return node("TellFutures", story=["3", 0], llm=["1", 0], **how)


def told(pack: ModuleType, tmp_path: Path, run: str) -> Any:
    return pack.seedstory_core.story_store.load_story(tmp_path / "output" / "seedstory" / run)


def test_each_future_is_a_story_of_its_own(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    prompt = begin(pack) | {"5": futures(), "6": node("ShowStory", story=["5", 0])}
    executor.run(prompt)
    stories = [told(pack, tmp_path, f"tale-future-{i}") for i in (1, 2, 3)]
    assert [len(story) for story in stories] == [3, 3, 3]
    assert len({story.panels[-1].uid for story in stories}) == 3
    shown = executor.outputs["5"]["seedstory_text"]
    assert shown == ["\n".join(p.caption for p in story.panels[1:]) for story in stories]
    executor.forget()
    executor.run(prompt)
    names = sorted(path.name for path in (tmp_path / "output" / "seedstory").glob("tale*"))
    futures_kept = [f"tale-future-{i}" for i in (1, 2, 3)]
    assert names == ["tale", *futures_kept], "the opening, and the same futures again"


def test_the_first_future_is_what_tell_story_tells(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    alone = {"panels": 2, "seed": 5, "captions": "", "reference": False, "sampling": ["4", 0]}
    executor.run(
        begin(pack) | {
            "5": futures(),
            "6": node("ShowStory", story=["5", 0]),
            "7": node("TellStory", story=["3", 0], llm=["1", 0], **alone),
            "8": node("ShowStory", story=["7", 0]),
        }
    )  # fmt: skip
    one, same = told(pack, tmp_path, "tale"), told(pack, tmp_path, "tale-future-1")
    assert [p.uid for p in one.panels] == [p.uid for p in same.panels]
    assert [p.seed for p in one.panels] == [None, 6, 7]


def test_futures_can_begin_with_captions(
    executor: Executor, pack: ModuleType, tmp_path: Path
) -> None:
    prompt = begin(pack) | {
        "5": futures(captions="The fox runs.\n\n The fox sleeps. ", futures=9),
        "6": node("ShowStory", story=["5", 0]),
    }
    executor.run(prompt)
    stories = [told(pack, tmp_path, f"tale-future-{i}") for i in (1, 2)]
    assert [s.panels[1].caption for s in stories] == ["The fox runs.", "The fox sleeps."]
    assert [s.panels[2].origin for s in stories] == ["told", "told"]


def test_futures_that_could_not_differ_are_refused(executor: Executor, pack: ModuleType) -> None:
    greedy = node("Sampling", **defaults(pack, "Sampling") | {"temperature": 0.0})
    prompt = begin(pack) | {"4": greedy, "5": futures(), "6": node("ShowStory", story=["5", 0])}
    with pytest.raises(Exception, match="would be the same story"):
        executor.run(prompt)
    executor.run(begin(pack) | {"4": greedy, "5": futures(futures=1), "6": prompt["6"]})


def test_it_stops_within_one_token(pack: ModuleType, tmp_path: Path) -> None:
    import comfy.model_management as management
    import torch

    core, forwards, pressed = pack.seedstory_core, 0, 300
    with torch.inference_mode():
        llm = pack.nodes.loaders.LoadWorld.execute("babble", "fp32").args[0]
        picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
        story = llm.engine.start(core.types.Opening("A fox.", picture, "stopped"))

    def forward(rows: int) -> None:
        nonlocal forwards
        forwards += 1
        if forwards == pressed:
            management.interrupt_current_processing()

    before, llm.engine.reader.on_forward = llm.engine.reader.on_forward, forward
    how = {"futures": 3, "panels": 40, "seed": 5, "captions": ""}
    drawn = core.sampling.Sampling(picker=core.sampling.Nucleus(1.5, 0.98), max_caption_tokens=6)
    try:
        with torch.inference_mode(), pytest.raises(management.InterruptProcessingException):
            pack.nodes.futures.TellFutures.execute(story, llm, sampling=drawn, **how)
    finally:
        llm.engine.reader.on_forward = before
    assert forwards == pressed
    kept = [len(told(pack, tmp_path, f"stopped-future-{i}").panels) for i in (1, 2, 3)]
    assert min(kept) > 1, "what was finished is kept"

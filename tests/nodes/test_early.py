"""What cannot work is said on its node before anything is told; what can is done."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support import sdxl_here
from support.executor import Executor
from support.worlds import make_patch_world

from seedstory_core.press.templates import TEMPLATES

TELLING = "4"  # the dear node of every graph here
PAINT = {"steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "seed": 1}
PAINT |= {"same_noise": True, "repaint": False, "width": 0, "height": 0}


@pytest.fixture(scope="module")
def patched(pack: ModuleType, comfy_here: Path) -> str:
    """The name of a world that changes a tiny SDXL."""
    make_patch_world(comfy_here / "models" / "seedstory" / "changes-sdxl")
    make_patch_world(comfy_here / "models" / "seedstory" / "changes-sdxl-too", level=2)
    return "changes-sdxl"


@pytest.fixture()
def executor(pack: ModuleType, comfy_here: Path, tmp_path: Path) -> Iterator[Executor]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield Executor([*pack.nodes.NODES, *sdxl_here.loaders()])
    folder_paths.set_output_directory(before)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    prefix = "" if kind.startswith("Test") or kind == "EmptyImage" else "SeedStory_"
    return {"class_type": prefix + kind, "inputs": inputs}


def graph(world: str, model: list[Any], vae: list[Any], **paint: Any) -> dict[str, Any]:
    """A story of three panels, painted with MODEL and VAE of "8" (own) or "9" (SDXL)."""
    how = {"panels": 2, "seed": 0, "captions": "He ran.\nHe slept.", "reference": False}
    steer = {"model": model, "vae": vae, "detokenizer": ["1", 2]}
    return {
        "1": node("LoadWorld", world=world, precision="auto"),
        "2": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "3": node("StartStory", vision=["1", 1], image=["2", 0], text="A fox wakes.", run="early"),
        TELLING: node("TellStory", story=["3", 0], llm=["1", 0], **how),
        "8": node("LoadWorldPainter", world=world),
        "9": node("TestSdxl"),
        "5": node("PaintStory", story=[TELLING, 0], **steer, **PAINT | paint),
        "6": node("ShowStory", story=["5", 0]),
    }


def refused(executor: Executor, prompt: dict[str, Any], message: str) -> None:
    """The prompt is refused with ``message``, and nothing was told."""
    with pytest.raises(AssertionError, match=message):
        executor.run(prompt)
    assert TELLING not in executor.ran


def painted(executor: Executor) -> list[bool]:
    return [bool(panel["image"]) for panel in executor.outputs["6"]["seedstory_panels"]]


def test_a_model_or_vae_of_another_world_is_named_first(executor: Executor) -> None:
    own, sdxl = (["8", 0], ["8", 1]), (["9", 0], ["9", 1])
    prompt = graph("picture-world", sdxl[0], own[1])
    refused(executor, prompt, "This MODEL is not what world.*Load World Painter")
    refused(executor, graph("picture-world", own[0], sdxl[1]), "expected latents of 16 channels, ")


def test_an_sdxl_without_the_worlds_weights_is_named_first(
    executor: Executor, patched: str
) -> None:
    prompt = graph(patched, ["9", 0], ["9", 1])
    refused(executor, prompt, f"lacks the weights that world '{patched}' changes.*De-tokenizer")
    prompt["10"] = node("LoadWorld", world=f"{patched}-too", precision="auto")
    prompt["11"] = node("ApplyDetokenizer", model=["9", 0], detokenizer=["10", 2])
    prompt["5"]["inputs"]["model"] = ["12", 0]
    prompt["12"] = node("GuidanceUntil", model=["11", 0], until=0.5)  # any node that clones
    refused(executor, prompt, "lacks the weights")
    prompt["11"]["inputs"]["detokenizer"] = ["1", 2]
    executor.run(prompt)
    assert painted(executor) == [True] * 3


def test_weights_in_the_checkpoint_itself_are_found(pack: ModuleType, patched: str) -> None:
    host, core = pack.nodes.host, pack.seedstory_core
    world = host.open_named_world(patched)
    engine = core.engine.open_engine(world, host.comfy_host("auto"))
    with torch.inference_mode():
        merged = host.patch_model(sdxl_here.sdxl_model(), engine.unet_patch(), world)
        merged.remove_attachments(import_module(f"{host.__name__}.fitting").MARK)
        with pytest.raises(core.errors.SeedStoryError, match="Apply De-tokenizer"):
            host.check_changed(sdxl_here.sdxl_model(), world, engine)
        merged.patch_model(torch.device("cpu"))
        bare = sdxl_here.sdxl_model()
        bare.model.load_state_dict(merged.model.state_dict())
        host.check_changed(bare, world, engine)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"panels": "two"}, "'two' names no panel"),
        ({"panels": "1" * 30_000}, "at most 20000 letters"),
        ({"width": 60}, "multiples of 8 for this VAE, got 60 x"),
        ({"height": 12}, "multiples of 8 for this VAE, got .* x 12"),
        ({"sigmas": ["7", 0]}, "expected at least 2 values"),
    ],
    ids=["words", "endless", "width", "height", "no_step"],
)
def test_settings_that_cannot_work_are_named_first(
    executor: Executor, changed: dict[str, Any], message: str
) -> None:
    prompt = graph("babble", ["8", 0], ["8", 1], **changed)
    if "sigmas" in changed:
        prompt["7"] = node("TestSigmas", count=1)
    refused(executor, prompt, message)


TEMPLATE = next(iter(TEMPLATES))
BOOK = {"name": "b", "carry_story": False} | dict.fromkeys(
    ("pdf", "html", "epub", "cbz", "png", "subtitles"), False
)
FILM = {"letters_per_second": 17.0, "captions": True, "motion": True, "fps": 24}
SETTINGS = {"template": TEMPLATE, "trim": "(template)", "bleed": 0.0, "dpi": 150}
SETTINGS |= {"title": "", "author": "", "title_page": True, "page_numbers": True, "quotes": False}
SETTINGS |= {"font": "(automatic)"}


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("PressBook", BOOK, "No format is chosen"),
        ("StoryVideo", FILM | {"width": 641, "height": 480}, "width is an even number"),
        ("RemovePanels", {"panels": "two"}, "'two' names no panel"),
        ("ReorderPanels", {"order": "0, b"}, "'b' names no panel"),
        ("IllustrateCaption", {"caption": " ", "reference": False}, "no caption to illustrate"),
        ("EditCaption", {"caption": "", "panel": -1, "later": "keep"}, "no caption to edit in"),
        ("BookPages", {"book": ["40", 0]}, "(?i)template"),
        ("PressBook", BOOK | {"pdf": True, "book": ["40", 0]}, "(?i)template"),
    ],
)
def test_nodes_behind_a_story_say_first_what_cannot_work(
    executor: Executor, kind: str, inputs: dict[str, Any], message: str
) -> None:
    prompt = graph("babble", ["8", 0], ["8", 1])
    asks = {"llm": ["1", 0]} if kind in ("IllustrateCaption", "EditCaption") else {}
    prompt["5"] = node(kind, story=[TELLING, 0], **asks, **inputs)
    if "book" in inputs:
        prompt["40"] = node("BookSettings", **SETTINGS, own_template="{no JSON")
    prompt["6"] = node("TestAny", value=["5", 0])
    refused(executor, prompt, message)


def test_a_font_that_is_gone_is_named_first(pack: ModuleType) -> None:
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="no font 'gone.ttf'"):
        pack.nodes.book.StoryPage.check_lazy_status(
            story=None, layout="page", width=0, font="gone.ttf"
        )


def test_panels_are_painted_as_far_as_there_are_any(executor: Executor) -> None:
    executor.run(graph("babble", ["8", 0], ["8", 1], panels="2-500"))
    assert painted(executor) == [True, False, True]
    said = executor.outputs["5"]["seedstory_text"]
    assert said[0] == "He slept." and "panels 0 to 2; of 2-500" in said[1]
    with pytest.raises(AssertionError, match="None of the panels '7, 9'"):
        executor.run(graph("babble", ["8", 0], ["8", 1], panels="7, 9"))
    executor.run(graph("babble", ["8", 0], ["8", 1], panels="0-1"))
    assert painted(executor)[1]
    assert "Panel 0 is an opening" in executor.outputs["5"]["seedstory_text"][1]


def test_finished_panels_are_seen_while_others_are_painted(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.utils

    shown: list[Any] = []

    def hook(done: int, total: int, preview: Any, *_more: Any, **_named: Any) -> None:
        shown.extend([preview] if preview is not None else [])

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    executor.run(graph("babble", ["8", 0], ["8", 1], panels="1-2"))
    assert [(kind, picture.size) for kind, picture, _ in shown] == [("PNG", (64, 64))] * 2


def test_errors_are_named_without_paths(executor: Executor) -> None:
    refused(executor, graph("babble", ["8", 0], ["8", 1], panels="two"), "^seedstory_core.errors.")


def test_words_the_world_does_not_know_are_named_on_the_node(executor: Executor) -> None:
    prompt = graph("picture-world", ["8", 0], ["8", 1])
    prompt["2"]["inputs"] |= {"width": 96, "height": 96}
    prompt["3"]["inputs"]["text"] = "Mila meets zzqx."
    prompt[TELLING]["inputs"]["captions"] = "Mila is in the meadow.\n\u0645\u0631\u062d\u0628\u0627"
    del prompt["5"]
    prompt["6"]["inputs"]["story"] = [TELLING, 0]
    executor.run(prompt)
    assert "does not know the words 'zzqx'" in executor.outputs["3"]["seedstory_text"][0]
    said = executor.outputs[TELLING]["seedstory_text"]
    assert len(said) == 3 and "does not know the words '\u0645\u0631\u062d\u0628\u0627'" in said[2]
    prompt["3"]["inputs"]["text"] = "One sunny day, Mila is in the meadow."
    prompt[TELLING]["inputs"]["captions"] = "Mila finds a kite."
    executor.run(prompt)
    assert executor.outputs["3"]["seedstory_text"] == []
    assert executor.outputs[TELLING]["seedstory_text"] == ["Mila finds a kite."]

"""What users can get wrong at the nodes: refused with words that help, nothing half-done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.comfy_places import ROOT

IMPORT_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _stories(comfy_here: Path, tmp_path: Path) -> Iterator[None]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield
    folder_paths.set_output_directory(before)


@pytest.fixture(scope="module")
def world(pack: ModuleType) -> tuple[Any, Any, Any]:
    """Handles llm, vision, detokenizer of the babbling world."""
    with torch.inference_mode():
        return pack.nodes.loaders.LoadWorld.execute(world="babble", precision="auto").args


@pytest.fixture(scope="module")
def story(pack: ModuleType, world: Any) -> Any:
    """A story of one panel; it is kept where the first test keeps its stories."""
    with torch.inference_mode():
        image = torch.rand(1, 9, 7, 3)
        opening = pack.seedstory_core.types.Opening(
            "A fox.", pack.nodes.values.one_picture(image), "e"
        )
        return world[1].engine.start(opening)


def refused(pack: ModuleType, message: str) -> Any:
    return pytest.raises(pack.seedstory_core.errors.SeedStoryError, match=message)


@pytest.mark.parametrize(
    ("shape", "ok"),
    [((1, 1, 1, 3), True), ((1, 4, 4, 1), True), ((1, 4, 4, 4), True), ((2, 4, 4, 3), False)],
    ids=["one_pixel", "grey", "alpha", "batch"],
)
def test_pictures_to_start_with(pack: ModuleType, world: Any, shape: Any, ok: bool) -> None:
    start = pack.nodes.starting.StartStory.execute
    with torch.inference_mode():
        if ok:
            assert (
                start(world[1], "A fox.", "s", torch.rand(shape)).args[0].panels[0].image.ndim == 3
            )
        else:
            with refused(pack, "one picture, got a batch of 2"):
                start(world[1], "A fox.", "s", torch.rand(shape))


def test_pictures_with_nan_are_refused(pack: ModuleType, world: Any) -> None:
    with refused(pack, "not numbers"):
        pack.nodes.starting.StartStory.execute(
            world[1], "A", "s", torch.full((1, 2, 2, 3), torch.nan)
        )


def test_empty_words_are_refused(pack: ModuleType, world: Any, story: Any) -> None:
    with refused(pack, "first sentence"):
        pack.nodes.starting.StartStory.execute(world[1], " \n", "s", torch.rand(1, 2, 2, 3))
    with refused(pack, "no caption"):
        pack.nodes.telling.IllustrateCaption.execute(story, world[0], "  ", False)


def test_a_caption_of_a_hundred_thousand_letters_is_refused(
    pack: ModuleType, world: Any, story: Any
) -> None:
    with torch.inference_mode(), refused(pack, "(?i)caption|long|token"):
        pack.nodes.telling.IllustrateCaption.execute(story, world[0], "word " * 20_000, False)


def test_too_many_captions_are_refused(pack: ModuleType, world: Any, story: Any) -> None:
    with refused(pack, "At most 1000"):
        lines = "a\n" * 10_000
        pack.nodes.telling.TellStory.execute(story, world[0], 1, 0, lines, False)


def test_a_story_of_another_world_is_refused(pack: ModuleType, world: Any, story: Any) -> None:
    other = replace(story, world=pack.seedstory_core.types.WorldRef("elsewhere", "f" * 64))
    nodes = pack.nodes
    with refused(pack, "elsewhere"):
        nodes.telling.TellPanel.execute(other, world[0], 0, False)
    with refused(pack, "elsewhere"):
        nodes.panels.commit(other, 0, story.panels[0].image, world[1])


def test_features_of_another_world_are_refused(pack: ModuleType, world: Any, story: Any) -> None:
    features = pack.nodes.values.features_at(story, [0])
    foreign = pack.seedstory_core.types.WorldRef("elsewhere", "f" * 64)
    condition = pack.nodes.conditioning.Conditioning.execute
    with refused(pack, "elsewhere"):
        condition(replace(features, world=foreign), world[2], 0, 0)
    with refused(pack, "NaN"):
        condition(replace(features, tensor=features.tensor * torch.nan), world[2], 0, 0)


def test_feeding_back_needs_eyes(pack: ModuleType, story: Any) -> None:
    with refused(pack, "connect 'vision'"):
        pack.nodes.panels.commit(story, 0, story.panels[0].image, None)


def test_an_ended_story_passes_through(pack: ModuleType, world: Any, story: Any) -> None:
    from comfy_execution.graph_utils import ExecutionBlocker

    ended = replace(story, closing="The end.")
    telling = pack.nodes.telling
    out = telling.TellPanel.execute(ended, world[0], 0, False)
    assert out.args[0] is ended and out.ui == {"seedstory_text": ["The end."]}
    assert all(isinstance(value, ExecutionBlocker) for value in out.args[1:])
    assert telling.IllustrateCaption.execute(ended, world[0], "More.", False).args[0] is ended
    assert telling.TellStory.execute(ended, world[0], 3, 0, "", False).args[0] is ended


def test_nothing_to_paint_is_said(pack: ModuleType, world: Any, story: Any) -> None:
    with torch.inference_mode():
        model, vae = pack.nodes.loaders.LoadWorldPainter.execute(world="babble").args
    how = {"steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "seed": 0}
    how |= {"same_noise": True, "repaint": False, "height": 0}
    paint = pack.nodes.painting.PaintStory.execute
    with refused(pack, "no told panel"):
        paint(story, model, vae, world[2], width=0, **how)
    told = pack.seedstory_core.story.append(
        story, replace(story.panels[0], origin="told", image=None)
    )
    with torch.inference_mode(), refused(pack, "multiples of"):
        paint(told, model, vae, world[2], width=60 + 1, **how)


def test_unknown_worlds_are_named(pack: ModuleType) -> None:
    for name in ("nowhere", "../babble", ""):
        with refused(pack, "no world"):
            pack.nodes.loaders.LoadWorld.execute(world=name, precision="auto")


def test_largest_seeds_do_not_overflow(pack: ModuleType, world: Any, story: Any) -> None:
    with torch.inference_mode():
        out = pack.nodes.telling.TellPanel.execute(story, world[0], 2**64 - 1, False)
    assert out.args[0].panels[-1].seed == 0
    turn = pack.nodes.loop.StoryLoopOpen.execute(story, 2**64 - 1, 3)
    assert turn.args[2:] == (3, 2)


def test_a_told_panel_is_kept_even_if_the_next_is_cancelled(
    pack: ModuleType, world: Any, story: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as management

    import nodes

    engine, told = world[0].engine, []
    tell = type(engine).tell

    def tell_then_stop(self: Any, *args: Any, **how: Any) -> Any:
        told.append(1)
        if len(told) == 2:
            nodes.interrupt_processing(True)  # the stop button, while panel 2 is told
        return tell(self, *args, **how)

    monkeypatch.setattr(type(engine), "tell", tell_then_stop)
    with torch.inference_mode(), pytest.raises(management.InterruptProcessingException):
        pack.nodes.telling.TellStory.execute(story, world[0], 3, 0, "", False)
    kept = pack.seedstory_core.story_store.load_story(tmp_path / "seedstory" / "e")
    assert len(kept.panels) == 2


def test_importing_is_light() -> None:
    """Beyond torch and ComfyUI, as a fresh interpreter does it."""
    code = (
        "import importlib.util as u, sys, time, torch, einops, PIL.Image, numpy, folder_paths\n"
        "import comfy_api.latest, comfy_execution.graph_utils\n"
        "r = sys.argv[1]\n"
        "s = u.spec_from_file_location('p', r + '/__init__.py', submodule_search_locations=[r])\n"
        "m = u.module_from_spec(s); sys.modules['p'] = m; t = time.process_time()\n"
        "s.loader.exec_module(m); print(time.process_time() - t)\n"
        "print([n for n in ('transformers', 'diffusers', 'accelerate') if n in sys.modules])"
    )
    import folder_paths

    tree = str(Path(folder_paths.__file__).parent)
    command = [sys.executable, "-c", code, str(ROOT), "--cpu"]
    best = 9.0
    for _ in range(3):  # other work on the machine must not fail this
        env = {"PYTHONPATH": tree, "PATH": "", "HOME": str(Path.home())}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        seconds, heavy = done.stdout.strip().splitlines()[-2:]
        assert heavy == "[]"
        best = min(best, float(seconds))
        if best < IMPORT_SECONDS:
            return
    raise AssertionError(f"importing the pack takes {best:.2f} s")

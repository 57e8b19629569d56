"""Story Page, Show Story and Load Story with stories made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch


@pytest.fixture()
def story(pack: ModuleType) -> Any:
    """Three panels of two sizes, the last one unpainted; captions with markup and Chinese."""
    core = pack.seedstory_core
    tale = core.types.Story((), "toy", core.types.WorldRef("w", "0"), "tale")
    pictures = [torch.full((8, 12, 3), 200, dtype=torch.uint8), torch.zeros(8, 8, 3).byte(), None]
    captions = ["A <b>fox</b> & a hen.", "\u72d0\u72f8\u3068\u9d8f\u3002", "The end."]
    for caption, picture in zip(captions, pictures, strict=True):
        origin = "told" if tale.panels else "opening"
        panel = core.types.Panel(caption, caption, origin, image=picture)
        tale = core.story.append(tale, panel)
    return tale


def in_latin(pack: ModuleType, story: Any) -> Any:
    """``story`` in letters that the shipped font has."""
    put = pack.seedstory_core.types.replace
    return put(story, panels=tuple(put(p, caption=f"Panel {p.origin}.") for p in story.panels))


@pytest.fixture()
def output(comfy_here: Path, tmp_path: Path) -> Iterator[Path]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path / "seedstory"
    folder_paths.set_output_directory(before)


def test_show_story_hands_out_text_and_pictures(pack: ModuleType, story: Any) -> None:
    import folder_paths

    out = pack.nodes.book.ShowStory.execute(story)
    shown = out.ui["seedstory_panels"]
    assert out.args[0] is story
    assert [p["caption"] for p in shown] == [p.caption for p in story.panels]  # as text, unescaped
    assert shown[2]["image"] is None
    for entry in shown[:2]:
        path = Path(folder_paths.get_temp_directory(), entry["image"]["subfolder"])
        assert (path / entry["image"]["filename"]).is_file()
    again = pack.nodes.book.ShowStory.execute(story).ui["seedstory_panels"]
    assert again == shown  # equal pictures share a file


@pytest.mark.parametrize("layout", ["grid", "strip", "single"])
def test_pages_are_one_batch(pack: ModuleType, story: Any, layout: str) -> None:
    story = in_latin(pack, story)
    made = pack.nodes.book.StoryPage.execute(story, layout, 640, "(automatic)").args[0]
    count = {"grid": 1, "strip": 1, "single": 3}[layout]
    assert made.shape[0] == count and made.shape[2] == 640 and made.shape[3] == 3
    assert 0 <= made.min() and made.max() <= 1 and made.std() > 0.05


def test_own_fonts_are_offered_and_others_refused(pack: ModuleType, story: Any) -> None:
    host = pack.nodes.host
    shipped = next((Path(pack.__file__).parent / "seedstory_core/book/fonts").glob("*.ttf"))
    host.fonts_folder().mkdir(parents=True, exist_ok=True)
    own = host.fonts_folder() / "mine.ttf"
    shutil.copy(shipped, own)
    try:
        assert "mine.ttf" in host.font_names()
        latin = in_latin(pack, story)
        assert pack.nodes.book.StoryPage.execute(latin, "grid", 0, "mine.ttf").args[0].ndim == 4
    finally:
        own.unlink()
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="no font"):
        pack.nodes.book.StoryPage.execute(story, "grid", 0, "../../mine.ttf")


def test_load_story_finds_the_newest_and_refuses_tricks(
    pack: ModuleType, story: Any, output: Path
) -> None:
    core, load = pack.seedstory_core, pack.nodes.book.LoadStory
    with pytest.raises(core.errors.SeedStoryError, match="none yet"):
        load.execute("(newest)")
    core.story_store.keep(output, story)
    assert [p.uid for p in load.execute("(newest)").args[0].panels] == [p.uid for p in story.panels]
    assert load.execute("tale").args[0].run == "tale"
    (output.parent / "outside").mkdir()
    shutil.copy(output / "tale" / "story.json", output.parent / "outside")
    for trick in ("../outside", "..", "tale/../../outside", str(output / "tale"), "", "no such"):
        with pytest.raises(core.errors.SeedStoryError, match="no story"):
            load.execute(trick)
        assert load.fingerprint_inputs(trick) == "none"


def test_load_story_notices_a_longer_story(pack: ModuleType, story: Any, output: Path) -> None:
    core, load = pack.seedstory_core, pack.nodes.book.LoadStory
    core.story_store.keep(output, story)
    before = load.fingerprint_inputs("(newest)")
    assert before == load.fingerprint_inputs("tale")
    longer = core.story.append(story, core.types.Panel("More.", "More.", "told"))
    core.story_store.keep(output, longer)
    assert load.fingerprint_inputs("(newest)") != before


def test_panels_takes_the_story_apart(pack: ModuleType, story: Any) -> None:
    core = pack.seedstory_core
    rows = [core.types.replace(p, features={"toy.image": torch.ones(4, 2)}) for p in story.panels]
    told = core.types.replace(story, panels=tuple(rows))
    images, captions, features, count = pack.nodes.panels.Panels.execute(told, True).args
    assert [tuple(i.shape) for i in images] == [(1, 8, 12, 3), (1, 8, 8, 3)]
    assert captions == [p.caption for p in story.panels] and count == 3
    assert features.tensor.shape == (3, 4, 2) and features.space == "toy.image"
    assert pack.nodes.panels.Panels.execute(told, False).args[3] == 2

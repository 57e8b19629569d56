"""Save Story File, Load Story File and Save Story Images under the real host."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

WORKFLOW = {"nodes": [{"id": 1}]}
PROMPT = {"1": {"class_type": "SeedStory_SaveStoryFile", "is_changed": [float("nan")]}}


@pytest.fixture()
def story(pack: ModuleType) -> Any:
    core = pack.seedstory_core
    tale = core.types.Story((), "toy", core.types.WorldRef("w", "0"), "tale")
    for caption in ("A fox.", "A hen."):
        origin = "told" if tale.panels else "opening"
        picture = torch.full((8, 12, 3), 200, dtype=torch.uint8)
        features = {"toy.code": torch.ones(2, 2)}
        panel = core.types.Panel(caption, caption, origin, features=features, image=picture)
        tale = core.story.append(tale, panel)
    return tale


@pytest.fixture()
def places(comfy_here: Path, tmp_path: Path) -> Iterator[Path]:
    """An output folder and an input folder of this test's own."""
    import folder_paths

    before = folder_paths.get_output_directory(), folder_paths.get_input_directory()
    for name in ("output", "input"):
        (tmp_path / name).mkdir()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    folder_paths.set_input_directory(str(tmp_path / "input"))
    yield tmp_path
    folder_paths.set_output_directory(before[0])
    folder_paths.set_input_directory(before[1])


def queued(node: Any) -> Any:
    """The node with the hidden inputs that a queued prompt gives it."""
    hidden = SimpleNamespace(prompt=PROMPT, extra_pnginfo={"workflow": WORKFLOW})
    return type(node.__name__, (node,), {"hidden": hidden})


def brought_in(path: Path, places: Path) -> str:
    """Copy a file to the input folder, as an upload does."""
    (places / "input" / path.name).write_bytes(path.read_bytes())
    return path.name


def test_a_saved_file_loads_with_its_workflow(pack: ModuleType, story: Any, places: Path) -> None:
    nodes, core = pack.nodes.story_files, pack.seedstory_core
    out = queued(nodes.SaveStoryFile).execute(story, "files/tale")
    assert out.args[0] is story
    path = Path(out.args[1])
    assert path.parent == places / "output" / "files" and path.suffix == ".seedstory"
    name = brought_in(path, places)
    assert nodes.LoadStoryFile.define_schema().inputs[0].options == [name]
    assert nodes.LoadStoryFile.validate_inputs(name) is True
    loaded = nodes.LoadStoryFile.execute(name).args[0]
    assert [p.uid for p in loaded.panels] == [p.uid for p in story.panels]
    assert torch.equal(loaded.panels[1].features["toy.code"], torch.ones(2, 2))
    kept = core.story_file.workflow_of(loaded)
    assert kept["workflow"] == WORKFLOW and kept["prompt"]["1"]["is_changed"] == [None]
    before = nodes.LoadStoryFile.fingerprint_inputs(name)
    (places / "input" / name).write_bytes(path.read_bytes() + b"x")
    assert nodes.LoadStoryFile.fingerprint_inputs(name) != before


def test_pictures_carry_story_and_workflow(pack: ModuleType, story: Any, places: Path) -> None:
    nodes = pack.nodes.story_files
    pages = torch.rand(2, 6, 5, 3)
    for carry, carriers in (("every picture", 2), ("first picture", 1), ("none", 0)):
        out = queued(nodes.SaveStoryImages).execute(story, pages, f"files/{carry}", carry)
        paths = [places / "output" / i["subfolder"] / i["filename"] for i in out.ui["images"]]
        found = [pack.seedstory_core.story_file.read_embedded(path) for path in paths]
        assert [tale is not None for tale in found] == [n < carriers for n in range(2)]
        with Image.open(paths[1]) as image:
            assert json.loads(image.text["workflow"]) == WORKFLOW and image.size == (5, 6)
        if carriers:
            loaded = nodes.LoadStoryFile.execute(brought_in(paths[0], places)).args[0]
            assert [p.uid for p in loaded.panels] == [p.uid for p in story.panels]


def test_no_workflow_where_metadata_is_off(
    pack: ModuleType, story: Any, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy.cli_args import args

    monkeypatch.setattr(args, "disable_metadata", True)
    nodes = pack.nodes.story_files
    out = queued(nodes.SaveStoryImages).execute(story, torch.rand(1, 6, 5, 3), "page", "none")
    assert not Image.open(places / "output" / out.ui["images"][0]["filename"]).text
    path = Path(queued(nodes.SaveStoryFile).execute(story, "tale").args[1])
    assert b"is_changed" not in path.read_bytes()


def test_two_saves_to_one_name_are_two_files(pack: ModuleType, story: Any, places: Path) -> None:
    node, made = queued(pack.nodes.story_files.SaveStoryFile), []
    threads = [
        threading.Thread(target=lambda: made.append(node.execute(story, "tale").args[1]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 6
    assert len({Path(path).read_bytes() for path in made}) == 1


def test_a_failed_save_leaves_nothing(
    pack: ModuleType, story: Any, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = pack.seedstory_core
    wrong = core.types.replace(story.panels[1], provenance={"x": float("nan")})
    bad = core.types.replace(story, panels=(story.panels[0], wrong))
    with pytest.raises(ValueError, match="JSON"):
        queued(pack.nodes.story_files.SaveStoryFile).execute(bad, "tale")
    assert not list((places / "output").rglob("*.seedstory"))
    assert not list((places / "output").rglob("*.part"))


def test_an_output_folder_on_another_disk(pack: ModuleType, story: Any, places: Path) -> None:
    """A link to a larger disk; the page is shown from where it seems to be."""
    import folder_paths

    (places / "link").symlink_to(places / "output")
    folder_paths.set_output_directory(str(places / "link"))
    node = queued(pack.nodes.story_files.SaveStoryImages)
    out = node.execute(story, torch.rand(1, 6, 5, 3), "big/page", "none")
    shown = {"filename": "page_00001_.png", "subfolder": "big", "type": "output"}
    assert out.ui["images"] == [shown]
    assert (places / "output" / "big" / "page_00001_.png").is_file()


def test_an_empty_input_folder_says_what_to_do(pack: ModuleType, places: Path) -> None:
    node = pack.nodes.story_files.LoadStoryFile
    choice = node.define_schema().inputs[0]
    assert choice.options == [choice.default]
    assert "drop one on the node" in node.validate_inputs(choice.default)


@pytest.mark.parametrize("name", ["nowhere.seedstory", "../output/x.png", "/etc/passwd", ""])
def test_files_that_are_not_there(pack: ModuleType, places: Path, name: str) -> None:
    node = pack.nodes.story_files.LoadStoryFile
    (places / "output" / "x.png").write_bytes(b"x")
    said = node.validate_inputs(name)
    assert isinstance(said, str) and "There is no file" in said


def test_a_picture_without_a_story_is_named(pack: ModuleType, places: Path) -> None:
    Image.new("RGB", (4, 4)).save(places / "input" / "plain.png")
    with pytest.raises(ValueError, match="carries no story"):
        pack.nodes.story_files.LoadStoryFile.execute("plain.png")

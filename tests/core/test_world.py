"""World folders: what counts as one, what tells two apart, and what strangers may not do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.world_writer import write_world_json
from seedstory_core.world import MAX_WORLD_JSON, World, find_worlds, inside, load_world

FILES = {"llm": "llm.safetensors", "vision": "vision.safetensors", "unet": "unet.safetensors"}


def make(folder: Path, content: Mapping[str, str] | None = None, **fields: Any) -> World:
    """A world folder whose files hold short texts."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, name in FILES.items():
        (folder / name).write_text((content or {}).get(role, role))
    given: dict[str, Any] = {"title": "A world", "engine": "seed_story", "sizes": {"a": 1}}
    given |= {"files": FILES, "panel_size": (64, 48), "licence": "CC0", "provenance": {}}
    return write_world_json(folder, **{**given, **fields})


def change(folder: Path, **fields: Any) -> None:
    """Overwrite fields of world.json."""
    path = folder / "world.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    opening = {"image": "openings/1.png", "text": "Once."}
    world = make(tmp_path / "w", openings=[opening], notice="babbles", defaults={"x": [1]})
    assert (world.name, world.panel_size, world.notice) == ("w", (64, 48), "babbles")
    assert world.file("llm").read_text() == "llm"
    assert world.opening(1) == (tmp_path / "w" / "openings" / "1.png", "Once.")
    for number in (0, 2):
        with pytest.raises(SeedStoryError, match="brings 1 openings"):
            world.opening(number)


def test_the_digest_follows_what_tells_and_not_what_paints(tmp_path: Path) -> None:
    first = make(tmp_path / "a")
    assert make(tmp_path / "b").digest == first.digest, "the name plays no part"
    assert make(tmp_path / "c", {"unet": "another"}).digest == first.digest
    assert make(tmp_path / "d", {"llm": "another"}).digest != first.digest
    assert make(tmp_path / "e", sizes={"a": 2}).digest != first.digest


def test_an_identity_stands_for_the_files(tmp_path: Path) -> None:
    identity = "0123456789abcdef" * 4
    for number, text in enumerate(("one rounding", "another rounding")):
        world = make(tmp_path / str(number), {"llm": text}, identity=identity)
        assert world.digest == identity


@pytest.mark.parametrize("bad", ["abc", "g" * 64, 7, ["0" * 64]])
def test_a_wrong_identity_is_refused(tmp_path: Path, bad: Any) -> None:
    make(tmp_path)
    change(tmp_path, identity=bad)
    with pytest.raises(SeedStoryError, match="identity"):
        load_world(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "expected 'seedstory-world'"),
        ({"version": 99}, "version 99"),
        ({"version": "new"}, "world.json"),
        ({"files": []}, "lacks or misshapes"),
        ({"panel_size": 64}, "lacks or misshapes"),
        ({"sizes": None}, "lacks or misshapes"),
    ],
)
def test_misshapen_manifests_are_refused(tmp_path: Path, fields: dict, message: str) -> None:
    make(tmp_path)
    change(tmp_path, **fields)
    with pytest.raises(SeedStoryError, match=message):
        load_world(tmp_path)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "C:\\x", "..\\x"])
def test_no_path_leaves_the_folder(tmp_path: Path, path: str) -> None:
    world = tmp_path / "w"
    make(world)
    change(world, files={"llm": {"path": path, "bytes": 1, "sha256": "0"}})
    with pytest.raises(SeedStoryError, match="leaves its folder"):
        load_world(world)


def test_no_link_leaves_the_folder(tmp_path: Path) -> None:
    world = make(tmp_path / "w")
    (tmp_path / "secret").write_text("secret")
    world.file("llm").unlink()
    (world.root / "llm.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(SeedStoryError, match="leaves its folder"):
        load_world(world.root)


def test_what_is_no_world_says_so(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="no world.json"):
        load_world(tmp_path)
    (tmp_path / "world.json").write_bytes(b"\xff\xfe not json")
    with pytest.raises(SeedStoryError, match="not valid JSON"):
        load_world(tmp_path)
    (tmp_path / "world.json").write_text("[]")
    with pytest.raises(SeedStoryError, match="lacks or misshapes"):
        load_world(tmp_path)
    with open(tmp_path / "world.json", "wb") as file:
        file.truncate(MAX_WORLD_JSON + 1)
    with pytest.raises(SeedStoryError, match="larger than"):
        load_world(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    world = make(tmp_path / "w")
    with pytest.raises(SeedStoryError, match="no 'vae' file"):
        world.file("vae")
    (world.root / "llm.safetensors").unlink()
    with pytest.raises(SeedStoryError, match="missing in"):
        world.file("llm")


def test_earlier_roots_win(tmp_path: Path) -> None:
    for place in ("one/both", "two/both", "two/other"):
        make(tmp_path / place)
    (tmp_path / "one" / "no-world").mkdir()
    found = find_worlds([tmp_path / "one", tmp_path / "absent", tmp_path / "two"])
    assert found == {"both": tmp_path / "one" / "both", "other": tmp_path / "two" / "other"}


@pytest.mark.parametrize(
    "name",
    ["\0", "a\0.png", "\ud800", "a/\udc00", "a" * 256, "é" * 128, "b/" + "a" * 5000, "a/" * 501],
)
def test_what_no_file_can_be_called_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SeedStoryError, match="no file's name"):
        inside(tmp_path, name)


def test_links_in_a_circle_are_refused_or_missing(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    try:
        assert not inside(tmp_path, "a").is_file()
    except SeedStoryError as error:
        assert "no file's name" in str(error)

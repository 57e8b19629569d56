"""The story file: identity, equal bytes, and archives that mean harm."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import stat
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))
from test_story_store import noise, panel, same, tell  # noqa: E402

from seedstory_core import story_reader  # noqa: E402
from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.errors import SeedStoryError  # noqa: E402
from seedstory_core.story import append, attach_image  # noqa: E402
from seedstory_core.story_file import (  # noqa: E402
    archive,
    check_story,
    open_any,
    open_story_bytes,
    open_story_file,
    pack_folder,
    pack_story,
    save_story_file,
    unpack_story_file,
    with_workflow,
    workflow_of,
)
from seedstory_core.types import Story  # noqa: E402


def painted(count: int = 3) -> Story:
    return attach_image(tell(count), 1, noise(1, 8, 8, 3), {"steps": 2})


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_save_then_load_is_the_identity(tmp_path: Path) -> None:
    story = replace(painted(), closing="Fin.")
    path = save_story_file(story, tmp_path / "a.seedstory")
    assert same(open_story_file(path), story)
    assert path.read_bytes() == pack_story(story) == pack_story(open_story_file(path))


def test_a_story_and_its_folder_make_the_same_file(tmp_path: Path) -> None:
    story = with_workflow(painted(), {"workflow": {"nodes": [1]}})
    store.save_story(tmp_path / "s", story)
    pack_folder(tmp_path / "s", tmp_path / "s.seedstory")
    assert (tmp_path / "s.seedstory").read_bytes() == pack_story(story)


def test_pack_of_unpack_is_the_file_itself(tmp_path: Path) -> None:
    for seed in (1, 2):  # the second replaces the first, which stays in the folder and in the file
        store.save_story(
            tmp_path / "s", attach_image(tell(2), 1, noise(seed, 4, 4, 3), {"n": seed})
        )
    first = pack_folder(tmp_path / "s", tmp_path / "1.seedstory")
    unpack_story_file(first, tmp_path / "t")
    assert contents(tmp_path / "t") == contents(tmp_path / "s")
    assert "panels/001.1.png" in contents(tmp_path / "t")
    again = pack_folder(tmp_path / "t", tmp_path / "2.seedstory")
    assert again.read_bytes() == first.read_bytes()


def test_a_workflow_is_kept_once_and_comes_back(tmp_path: Path) -> None:
    workflow = {"workflow": {"nodes": [{"id": 1, "type": "\u72d0"}]}, "prompt": {"1": {}}}
    story = with_workflow(painted(), workflow)
    assert [p.uid for p in story.panels] == [p.uid for p in painted().panels]
    data = pack_story(story)
    assert data.count('"\u72d0"'.encode()) == 1
    opened = open_story_bytes(data)
    assert same(opened, story) and workflow_of(opened) == workflow
    later = with_workflow(append(opened, panel(3)), {"workflow": {"nodes": []}})
    assert [p.provenance["workflow"] == workflow for p in later.panels] == [True] * 3 + [False]
    store.save_story(tmp_path, later)
    assert same(store.load_story(tmp_path), later)


CAPTIONS = {
    "control characters": "A\x00 fox\x1b[31m\x07\x7f\x9b\r\n\tran.",
    "emoji": "\U0001f98a\u200d\U0001f525 \U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7",
    "html": "<script>alert('fox')</script> &amp; <b>\"hen\"]]> {{7*7}}",
    "turned": "\u202efox\u2066 \u05e9\u05d5\u05e2\u05dc",
    "not composed": "e\u0301 \u00e9 \u1112\u1161\u11ab",
    "ten thousand words": "fox " * 10_000,
    "separators": "a\u2028b\u2029c\x85d\ufeffe",
    "nothing": "",
}


@pytest.mark.parametrize("caption", CAPTIONS.values(), ids=CAPTIONS)
def test_captions_come_back_to_the_letter(tmp_path: Path, caption: str) -> None:
    story = append(tell(1), replace(panel(1), caption=caption, text=caption))
    assert same(open_story_bytes(pack_story(story)), story)
    store.save_story(tmp_path, story)
    assert same(store.load_story(tmp_path), story)


def test_captions_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="not valid Unicode"):
        append(tell(1), replace(panel(1), caption="\ud83e"))


def test_a_thousand_panels() -> None:
    small = replace(panel(1), features={"toy.code": torch.zeros(1, 1)})
    story = tell(1)
    for _ in range(999):
        story = append(story, small)
    assert same(open_story_bytes(pack_story(story)), story)


def build(
    members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            if change is not None and name != "story.json":
                change(info)
            out.writestr(info, data)
    return buffer.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def as_link(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def edited(**changes: object) -> bytes:
    parts = members(pack_story(tell(2)))
    parts["story.json"] = json.dumps(json.loads(parts["story.json"]) | changes).encode()
    return build(parts)


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("story.json", bytes(80 << 20))
    return buffer.getvalue()


def understated() -> bytes:
    """A member that says it is 10 bytes and unpacks to 70 MB."""
    data = bytearray(bomb())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def twice() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as out:
        warnings.simplefilter("ignore")
        for _ in range(2):
            out.writestr("story.json", b"{}")
    return buffer.getvalue()


def flagged() -> bytes:
    data = bytearray(pack_story(tell(2)))
    at = data.index(b"PK\x01\x02") + 8
    data[at] |= 1
    return bytes(data)


WHOLE = pack_story(tell(2))
HOSTILE = [
    ("cut short", b""),
    ("cut short", b"PK\x03\x04 nothing more"),
    ("cut short", WHOLE[: len(WHOLE) // 2]),
    ("cut short", WHOLE[:-1]),
    ("is damaged", WHOLE.replace(b"Panel 1", b"Panel 2", 1)),
    ("has no story.json", build({"word/document.xml": b"<a/>"})),
    ("version 2", edited(version=2)),
    ("version True", edited(version=True)),
    ("not a story", edited(format="comic")),
    ("zip bomb", bomb()),
    ("is damaged|larger than it says", understated()),
    ("is there twice", twice()),
    ("is encrypted", flagged()),
    ("link or a device", build(members(WHOLE), as_link)),
    ("leads out", build({"../../x": b"", **members(WHOLE)})),
    ("leads out", build({"/etc/passwd": b"", **members(WHOLE)})),
    ("leads out", build({"C:\\x": b"", **members(WHOLE)})),
    ("leads out", build({"panels/../../x": b"", **members(WHOLE)})),
    ("too long", build({"x" * 300: b"", **members(WHOLE)})),
    ("is there twice", build({"STORY.json": b"", **members(WHOLE)})),
    ("is missing", build({k: v for k, v in members(WHOLE).items() if "001.safe" not in k})),
    ("is missing", build({k: v for k, v in members(WHOLE).items() if "000.png" not in k})),
    ("lacks or misshapes", edited(panels=[{}])),
    ("lacks or misshapes", edited(workflows=[1])),
    ("lacks or misshapes", edited(run=["a"])),
    ("half a letter", edited(run="\ud800")),
    ("not valid JSON", build({**members(WHOLE), "story.json": b'{"format": NaN}'})),
]


@pytest.mark.parametrize(("message", "data"), HOSTILE)
def test_hostile_files_leave_nothing(tmp_path: Path, message: str, data: bytes) -> None:
    path = tmp_path / "x.seedstory"
    path.write_bytes(data)
    for read in (open_story_file, lambda path: unpack_story_file(path, tmp_path / "out")):
        with pytest.raises(SeedStoryError, match=message):
            read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.seedstory"]
    assert path.read_bytes() == data


def test_a_file_named_twice_is_refused() -> None:
    """Else one file in ten thousand panels would fill the memory."""
    parts = members(pack_story(painted()))
    data = json.loads(parts["story.json"])
    data["panels"][1]["image"] = data["panels"][0]["image"]
    with pytest.raises(SeedStoryError, match="names the file 'panels/000.png' twice"):
        open_story_bytes(build({**parts, "story.json": json.dumps(data).encode()}))


def test_pictures_out_of_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A white picture takes a thousand times its file; here the limit is set low instead."""
    white = torch.full((600, 600, 3), 255, dtype=torch.uint8)
    story = attach_image(tell(2), 1, white)
    path = save_story_file(story, tmp_path / "a.seedstory")
    assert same(open_story_file(path), story)
    monkeypatch.setattr(story_reader, "SWELL_SLACK", 1 << 16)
    store.save_story(tmp_path / "s", story)
    for read in (open_story_file, store.load_story):
        with pytest.raises(SeedStoryError, match="made to fill the memory"):
            read(path if read is open_story_file else tmp_path / "s")


def test_a_huge_table_of_contents_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    many = build({f"panels/{n}.png": b"" for n in range(300)})
    monkeypatch.setattr(archive, "MAX_CONTENTS", 10_000)
    with pytest.raises(SeedStoryError, match="table of contents of more than 9.8 KB"):
        open_story_bytes(many)
    assert same(open_story_bytes(WHOLE), tell(2))


def test_deep_provenance_is_refused() -> None:
    parts = members(WHOLE)
    data = json.loads(parts["story.json"])
    deep: list = []
    for _ in range(200):
        deep = [deep]
    data["panels"][1]["provenance"]["deep"] = deep
    with pytest.raises(SeedStoryError, match="nested more than 68"):
        open_story_bytes(build({**parts, "story.json": json.dumps(data).encode()}))


def test_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    with pytest.raises(SeedStoryError, match="more than 3"):
        open_story_bytes(WHOLE)


def test_missing_paths_are_named(tmp_path: Path) -> None:
    for read in (open_story_file, open_any, check_story):
        with pytest.raises(SeedStoryError, match="nowhere"):
            read(tmp_path / "nowhere.seedstory")


def test_unpacking_replaces_nothing(tmp_path: Path) -> None:
    path = save_story_file(tell(2), tmp_path / "s.seedstory")
    (tmp_path / "out").mkdir()
    assert same(unpack_story_file(path, tmp_path / "out"), tell(2)), "an empty folder is taken"
    with pytest.raises(SeedStoryError, match="is there already"):
        unpack_story_file(path, tmp_path / "out")


def test_a_folder_with_a_missing_file_is_not_packed(tmp_path: Path) -> None:
    store.save_story(tmp_path / "s", tell(2))
    (tmp_path / "s/features/001.safetensors").unlink()
    with pytest.raises(SeedStoryError, match="lacks 1 of the files"):
        pack_folder(tmp_path / "s", tmp_path / "s.seedstory")
    assert not (tmp_path / "s.seedstory").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_two_runs_of_one_name_lose_nothing(tmp_path: Path) -> None:
    """Eight different stories of one name, kept by eight processes at once: eight whole folders."""
    stories = [tell(3, mark_from=k) for k in (1, 2, 99)]
    stories += [replace(tell(1), run="my run", engine=f"toy{n}") for n in range(5)]
    stories[3:] = [append(replace(s, panels=()), s.panels[0]) for s in stories[3:]]
    fork = multiprocessing.get_context("fork")
    runs = [fork.Process(target=store.keep, args=(tmp_path, story)) for story in stories]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * len(runs)
    kept = [store.load_story(folder) for folder in store.find_stories(tmp_path).values()]
    assert len(kept) == len(stories)
    for story in stories:
        assert sum(same(story, other) for other in kept) == 1


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    from seedstory_core.locks import folder_lock

    store.save_story(tmp_path, tell(2))
    before = contents(tmp_path)
    with (
        folder_lock(tmp_path),
        pytest.raises(SeedStoryError, match="Another run is writing"),
        folder_lock(tmp_path, patience=0.05),
    ):
        pytest.fail("two writers at once")
    assert contents(tmp_path) == before

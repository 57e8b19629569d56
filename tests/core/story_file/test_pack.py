"""The story file: identity, equal bytes, and archives that mean harm."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))
from test_story_store import noise, panel, same, tell  # noqa: E402

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

ROOT = Path(__file__).parents[3]


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
    ("not valid Unicode", edited(run="\ud800")),
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


def test_deep_provenance_is_refused() -> None:
    parts = members(WHOLE)
    data = json.loads(parts["story.json"])
    deep: list = []
    for _ in range(200):
        deep = [deep]
    data["panels"][1]["provenance"]["deep"] = deep
    with pytest.raises(SeedStoryError, match="nested more than 64"):
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


READ_ONLY = """
import os, sys
sys.path[:0] = [{root!r}, {here!r}]
from pathlib import Path
from test_story_store import tell
from seedstory_core.errors import SeedStoryError
from seedstory_core.story_file import pack_folder, save_story_file, unpack_story_file
from seedstory_core.story_store import load_story, save_story
folder = Path({folder!r})
save_story(folder / "s", tell(2))
packed = save_story_file(tell(2), folder / "a.seedstory")
for path in [*folder.rglob("*"), folder]:
    path.chmod(0o555 if path.is_dir() else 0o444)
if os.geteuid() == 0:
    os.setuid(65534)
for act in (
    lambda: save_story(folder / "s", tell(3)),
    lambda: save_story_file(tell(3), packed),
    lambda: pack_folder(folder / "s", packed),
    lambda: unpack_story_file(packed, folder / "t"),
):
    try:
        act()
    except SeedStoryError as error:
        print(error)
print(len(load_story(folder / "s")))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs modes of files")
def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    """Folders without the right to write stand for the disk; root has to become somebody else."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        here = str(Path(__file__).parents[1])
        code = READ_ONLY.format(root=str(ROOT), here=here, folder=folder)
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        said = run.stdout.splitlines()
        assert len(said) == 5 and said[4] == "2", (run.stdout, run.stderr)
        assert all("read-only or belongs" in line for line in said[:4]), run.stdout
        assert same(open_story_file(Path(folder) / "a.seedstory"), tell(2))
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o755)


FULL = """
import resource, sys
sys.path[:0] = [{root!r}, {here!r}]
from pathlib import Path
from test_story_store import noise, tell
from seedstory_core.errors import SeedStoryError
from seedstory_core.story import attach_image
from seedstory_core.story_file import save_story_file, unpack_story_file
big, small = Path({folder!r}) / "big.seedstory", Path({folder!r}) / "small.seedstory"
story = attach_image(tell(2), 1, noise(1, 200, 200, 3))
save_story_file(story, big)
save_story_file(tell(2), small)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
out = big.parent / "o"
for act in (lambda: save_story_file(story, small), lambda: unpack_story_file(big, out)):
    try:
        act()
    except SeedStoryError as error:
        print(error)
"""


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    here = str(Path(__file__).parents[1])
    code = FULL.format(root=str(ROOT), here=here, folder=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.stdout.count("Disk full while writing") == 2, run.stderr
    assert same(open_story_file(tmp_path / "small.seedstory"), tell(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big.seedstory", "small.seedstory"]


def test_two_runs_of_one_name_lose_nothing(tmp_path: Path) -> None:
    """Eight different stories of one name, kept at once: eight folders, all whole."""
    stories = [tell(3, mark_from=k) for k in (1, 2, 99)]
    stories += [replace(tell(1), run="my run", engine=f"toy{n}") for n in range(5)]
    stories[3:] = [append(replace(s, panels=()), s.panels[0]) for s in stories[3:]]
    threads = [threading.Thread(target=store.keep, args=(tmp_path, story)) for story in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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

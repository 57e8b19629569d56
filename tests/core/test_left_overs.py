"""Left-overs of killed runs are swept by the next who writes the same; nothing else ever is."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstory_core import files, left_overs

posix = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

WRITER = """
import sys, time
from pathlib import Path
from seedstory_core.files import atomic_folder, atomic_path
make = {"file": atomic_path, "folder": atomic_folder}[sys.argv[1]]
with make(Path(sys.argv[2])) as part:
    if part.is_dir():
        part = part / "a"
    part.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""


def writing(kind: str, target: Path) -> subprocess.Popen[str]:
    """A process in the middle of writing ``target``."""
    command = [sys.executable, "-c", WRITER, kind, str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def write(kind: str, target: Path) -> None:
    if kind == "file":
        files.atomic_write_bytes(target, b"whole")
    else:
        with files.atomic_folder(target, over=True) as making:
            (making / "a").write_bytes(b"whole")


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*.part"))


@posix
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_writer_leaves_a_part_that_the_next_sweeps_and_a_live_one_keeps_its_own(
    kind: str, tmp_path: Path
) -> None:
    target = tmp_path / "book.html"
    process = writing(kind, target)
    try:
        own = parts(tmp_path)
        assert len(own) == 1
        write(kind, target)
        assert parts(tmp_path) == own, "it is still being written"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert parts(tmp_path) == own
    write(kind, target)
    assert not parts(tmp_path)


def test_only_left_overs_of_the_same_name_and_of_our_making_are_swept(tmp_path: Path) -> None:
    others = [
        ".other.html.344e2058.part",  # another target
        ".book.html.344e205.part",  # not our names
        ".book.html.344E2058.part",
        ".book.html.part",
        "book.html.344e2058.part",
        ".book.html.344e2058.part.json",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ".book.html.00000000.part").mkdir()  # a folder is no left-over of a file
    (tmp_path / "else").write_bytes(b"else")
    (tmp_path / ".book.html.11111111.part").symlink_to(tmp_path / "else")
    (tmp_path / ".book.html.344e2058.part").write_bytes(b"half a book")
    before = {path.name for path in tmp_path.iterdir()}
    files.atomic_write_bytes(tmp_path / "book.html", b"whole")
    after = {path.name for path in tmp_path.iterdir()}
    assert before - after == {".book.html.344e2058.part"} and after - before == {"book.html"}
    assert (tmp_path / "else").read_bytes() == b"else"


def test_without_locks_only_what_is_a_day_old_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks is simulated by the call that asks for one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(left_overs.fcntl, "flock", refuse)
    part = tmp_path / ".a.00000000.part"
    part.write_bytes(b"half")
    write("file", tmp_path / "a")
    assert parts(tmp_path) == [part.name]
    past = time.time() - 2 * left_overs.OLD
    os.utime(part, (past, past))
    write("file", tmp_path / "a")
    assert not parts(tmp_path)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_on_windows_an_open_file_keeps_a_part(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows is simulated: there are no locks, and an open file cannot be removed."""
    part = tmp_path / ".a.00000000.part"
    if kind == "folder":
        part.mkdir()
    mark = part / left_overs.HOLD if kind == "folder" else part
    mark.write_bytes(b"half")
    plain, open_now = os.unlink, {str(mark)}

    def unlink(path: Path, **more: object) -> None:
        if str(path) in open_now:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))
        plain(path, **more)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(left_overs.fcntl, "flock", None)  # is not there
    write(kind, tmp_path / "a")
    assert parts(tmp_path) == [part.name]
    open_now.clear()
    write(kind, tmp_path / "a")
    assert not parts(tmp_path)


NAMES = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=300
)


@given(NAMES)
def test_a_part_has_a_name_that_fits_and_is_known_by_its_target(name: str) -> None:
    part = left_overs.part_of(Path("folder") / f"x{name}")
    assert len(os.fsencode(part.name)) <= left_overs.MAX_BYTES
    found = left_overs._OURS.fullmatch(part.name)
    assert found is not None and found[1] == left_overs._stem(f"x{name}")


def test_a_name_of_255_bytes_is_written_and_its_left_over_swept(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 125 + ".html")
    assert len(os.fsencode(target.name)) == 255
    (left := left_overs.part_of(target)).write_bytes(b"half")
    files.atomic_write_bytes(target, b"whole")
    assert target.read_bytes() == b"whole" and not left.exists()


def test_folders_made_for_a_file_go_again_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "new" / "deep" / "a", tmp_path / "there" / "new" / "a"):
        with pytest.raises(ZeroDivisionError), files.atomic_path(target):
            _ = 1 / 0
        with pytest.raises(ZeroDivisionError), files.atomic_batch() as write_one:
            write_one(target, b"1")
            _ = 1 / 0
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]

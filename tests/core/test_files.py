"""Atomic files: whole or absent, and a full disk is said plainly."""

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from seedstory_core import files
from seedstory_core.errors import SeedStoryError


def test_replaces_and_leaves_no_temporary(tmp_path: Path):
    target = tmp_path / "new" / "a.json"
    files.atomic_write_json(target, {"text": "ä"})
    files.atomic_write_bytes(target, b"second")
    assert target.read_bytes() == b"second"
    assert list(target.parent.iterdir()) == [target]


def test_nan_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(ValueError):
        files.atomic_write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_other_errors_pass_through(tmp_path: Path):
    with pytest.raises(OSError) as caught, files.atomic_path(tmp_path / "a"):
        raise OSError(errno.EINVAL, "no")
    assert caught.value.errno == errno.EINVAL
    assert not list(tmp_path.iterdir())


def test_a_new_file_takes_the_first_free_name(tmp_path: Path):
    names = [tmp_path / f"{n}.txt" for n in range(3)]
    names[0].write_bytes(b"mine")
    assert files.atomic_write_new(names, b"a") == names[1]
    assert files.atomic_write_new(names, b"b") == names[2]
    assert files.atomic_write_new(names, b"c") is None and files.atomic_write_new([], b"") is None
    assert [path.read_bytes() for path in names] == [b"mine", b"a", b"b"]
    assert sorted(tmp_path.iterdir()) == names


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.atomic_batch() as write:
        write(tmp_path / "a", b"new")
        write(tmp_path / "b" / "c", b"new")
        assert (tmp_path / "a").read_bytes() == b"old" and not (tmp_path / "b" / "c").exists()
        _ = 1 / 0
    assert (tmp_path / "a").read_bytes() == b"old" and not list(tmp_path.glob("b/*"))
    with files.atomic_batch() as write:
        write(tmp_path / "a", b"new")
        write(tmp_path / "b" / "c", b"new")
    assert {path.read_bytes() for path in (tmp_path / "a", tmp_path / "b" / "c")} == {b"new"}
    assert not list(tmp_path.rglob("*.part"))


def test_without_hard_links_a_new_file_replaces_none_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    test_a_new_file_takes_the_first_free_name(tmp_path)


def _write_over_the_limit(target: Path, limit: int, out) -> None:
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        files.atomic_write_bytes(target, b"x" * (2 * limit))
    except SeedStoryError as error:
        out.put(str(error))
    else:
        out.put("")


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_disk_full_names_bytes_and_keeps_the_old_file(tmp_path: Path):
    """A file size limit makes write() fail as a full disk does, without filling one."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    process = context.Process(target=_write_over_the_limit, args=(target, 4096, out))
    process.start()
    message = out.get(timeout=300)
    process.join(300)
    assert "Disk full" in message and "8192 bytes" in message and "are free" in message
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_refuses_to_begin_without_room(tmp_path: Path):
    free = files.free_bytes(tmp_path / "not" / "there" / "yet")
    assert free > 0
    with pytest.raises(SeedStoryError, match=f"{free + 10**15} bytes"):
        files.require_space(tmp_path, free + 10**15, "Converting")
    files.require_space(tmp_path, 1, "Converting")


def test_sweep_removes_only_leftovers(tmp_path: Path):
    (tmp_path / "keep.part").write_bytes(b"")
    (tmp_path / ".download.part").write_bytes(b"of another program")
    (tmp_path / ".a.bin.0123abcd.part").write_bytes(b"half")
    assert [path.name for path in files.sweep_parts(tmp_path)] == [".a.bin.0123abcd.part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".download.part", "keep.part"]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1536, "1.5 KB"), (5 << 30, "5.0 GB"), (3 << 40, "3.0 TB")]
)
def test_human(size: int, text: str):
    assert files.human(size) == text

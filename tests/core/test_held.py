"""Files that another program holds: tried again for a moment, then said in a sentence.

Windows refuses so while a virus scanner or an indexer has a file open. That cannot be had on other
systems, so it is simulated at the lowest call there is: ``os.replace`` and its kin raise what
Python raises on Windows, with ``winerror``. The waits themselves are left out.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seedstory_core import files, held
from seedstory_core.author.cards import Card, save_card
from seedstory_core.errors import SeedStoryError
from seedstory_core.training import checkpoint

ACCESS, SHARING, LOCK, MAPPED, NO_NAME = 5, 32, 33, 1224, 123


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for, without waiting."""
    waits: list[float] = []
    monkeypatch.setattr(held.time, "sleep", waits.append)
    return waits


class Refusing:
    """One of the system's calls that refuses the first ``times`` times for each target."""

    def __init__(self, call: Callable[..., Any], times: int, code: int | None) -> None:
        self.call, self.times, self.code = call, times, code
        self.seen: dict[str, int] = {}

    def __call__(self, *paths: Any, **more: Any) -> Any:
        key = str(paths[-1])
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= self.times:
            error = PermissionError(errno.EACCES, "Access is denied", str(paths[0]))
            if self.code is not None:
                error.winerror = self.code
            raise error
        return self.call(*paths, **more)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, times: int, code: int | None = SHARING):
    where: Any = shutil if name == "rmtree" else os
    refusing = Refusing(getattr(where, name), times, code)
    monkeypatch.setattr(where, name, refusing)
    return refusing


def write_batch(folder: Path) -> None:
    with files.atomic_batch() as write:
        write(folder / "a", b"1")
        write(folder / "deep" / "b", b"2")


def write_folder(folder: Path) -> None:
    with files.atomic_folder(folder / "made") as making:
        (making / "a").write_bytes(b"1")


WRITERS: dict[str, Callable[[Path], object]] = {
    "json": lambda folder: files.atomic_write_json(folder / "a.json", {"a": 1}),
    "batch": write_batch,
    "folder": write_folder,
    "card": lambda folder: save_card(
        folder, Card("Mila", "a cat", torch.zeros(8, 8, 3, dtype=torch.uint8))
    ),
    "checkpoint": lambda folder: checkpoint.save(folder, 1, {"m": {"w": torch.ones(2)}}),
}


def kept(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("code", [ACCESS, SHARING, LOCK, MAPPED, None])
@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
def test_what_is_held_for_a_moment_is_replaced_then(
    write: Callable[[Path], object],
    code: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
) -> None:
    write(tmp_path / "free")
    refusing = refuse(monkeypatch, "replace", 3, code)
    write(tmp_path / "held")
    assert kept(tmp_path / "held") == kept(tmp_path / "free")
    assert set(refusing.seen.values()) == {4}
    assert len(slept) == 3 * len(refusing.seen)


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
def test_what_stays_held_is_said_with_its_name_and_nothing_is_left_over(
    write: Callable[[Path], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
) -> None:
    refusing = refuse(monkeypatch, "replace", 10_000)
    with pytest.raises(SeedStoryError, match="another program holds it") as caught:
        write(tmp_path)
    assert next(iter(refusing.seen)) in str(caught.value)
    assert slept == sorted(slept) and sum(slept) == pytest.approx(sum(held.WAITS))
    assert not kept(tmp_path)


def test_all_waits_together_are_about_two_seconds() -> None:
    assert 1.5 < sum(held.WAITS) < 3 and list(held.WAITS) == sorted(held.WAITS)


def removed_file(folder: Path) -> None:
    (folder / "a").write_bytes(b"")
    held.unlink(folder / "a")
    held.unlink(folder / "a")  # may be missing


def removed_tree(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    held.rmtree(folder / "a")
    held.rmtree(folder / "a")


def removed_folder(folder: Path) -> None:
    (folder / "a").mkdir()
    held.rmdir(folder / "a")


def renamed(folder: Path) -> None:
    (folder / "b").write_bytes(b"")
    held.rename(folder / "b", folder / "c")
    held.unlink(folder / "c")


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("unlink", removed_file),
        ("rmtree", removed_tree),
        ("rmdir", removed_folder),
        ("rename", renamed),
    ],
)
def test_removing_and_renaming_are_tried_again_too(
    name: str,
    act: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
) -> None:
    refuse(monkeypatch, name, 2)
    act(tmp_path)
    assert not list(tmp_path.iterdir()) and len(slept) >= 2


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, None), (errno.EINVAL, NO_NAME), (errno.EIO, None)]
)
def test_other_faults_are_not_waited_for(
    number: int,
    code: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
) -> None:
    def fail(*_: object) -> None:
        error = OSError(number, "no")
        if code is not None:
            error.winerror = code
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SeedStoryError):
        files.atomic_write_bytes(tmp_path / "a", b"1")
    assert not slept


def test_who_may_not_write_to_a_folder_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    """Rights are simulated: tests may run as root, who may write everywhere."""
    refuse(monkeypatch, "replace", 1, None)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SeedStoryError, match="read-only"):
        files.atomic_write_bytes(tmp_path / "a", b"1")
    assert not slept and not list(tmp_path.iterdir())


def test_a_new_name_is_taken_while_links_are_refused_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "link", 2)
    names = [tmp_path / "1", tmp_path / "2"]
    assert files.atomic_write_new(names, b"a") == names[0]
    assert files.atomic_write_new(names, b"b") == names[1]
    assert [path.read_bytes() for path in names] == [b"a", b"b"]


def test_a_new_name_on_windows_is_taken_by_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``os.name`` is simulated where a name is taken, and ``os.rename`` that replaces nothing."""
    plain = os.rename

    def rename(source: Path, target: Path) -> None:
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        plain(source, target)

    monkeypatch.setattr(os, "rename", rename)
    names = [tmp_path / "1", tmp_path / "2"]
    names[0].write_bytes(b"mine")
    refuse(monkeypatch, "rename", 1)
    monkeypatch.setattr(files, "_windows", lambda: True)
    assert files.atomic_write_new(names, b"b") == names[1]
    assert [path.read_bytes() for path in names] == [b"mine", b"b"]
    assert sorted(tmp_path.iterdir()) == names


def test_a_left_over_that_stays_held_does_not_hide_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "a"
    part.write_bytes(b"")
    refuse(monkeypatch, "unlink", 10_000)
    held.discard(part)
    held.discard(tmp_path / "not there")

"""An export that fails leaves nothing, whatever it is made of, and the next one sweeps the rest.

A full disk is simulated at the call that waits for it (``os.fsync``), when all is written.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from seedstory_core.cli import main
from seedstory_core.images import encode_png
from seedstory_core.story import append
from seedstory_core.story_store import save_story
from seedstory_core.types import Panel, Story, WorldRef

#: What is exported, by the word of ``--to``; those that need further packages are tried if there.
KINDS = ("pages", "folder", "seedstory", "html", "cbz", "epub", "srt", "vtt")


@pytest.fixture()
def story(tmp_path: Path) -> Path:
    pytest.importorskip("fontTools", reason="not found: fontTools (the press extra)")
    told = Story((), "toy", WorldRef("w", "d" * 64), "my run")
    for number in range(4):
        image = torch.full((16, 16, 3), 50 * number, dtype=torch.uint8)
        caption = f"Caption {number}."
        panel = Panel(caption, caption, "told", (1,), {"toy": torch.ones(2, 2)}, image)
        told = append(told, panel)
    save_story(tmp_path / "story", told)
    (tmp_path / "out").mkdir()
    return tmp_path / "story"


def export(story: Path, kind: str) -> int:
    name = "book" if kind in ("pages", "folder") else f"book.{kind}"
    out = story.parent / "out" / name
    return main(["story", "export", str(story), str(out), "--to", kind, "--force", "--dpi", "30"])


def fail_at(monkeypatch: pytest.MonkeyPatch, which: int, number: int = errno.ENOSPC) -> None:
    """Let the ``which``-th wait for the disk fail."""
    plain, seen = os.fsync, [0]

    def fsync(handle: int) -> None:
        seen[0] += 1
        if seen[0] == which:
            raise OSError(number, os.strerror(number))
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_disk_leaves_nothing(
    kind: str,
    number: int,
    story: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for which in (1, 2, 3) if kind in ("pages", "folder") else (1,):
        with monkeypatch.context() as patched:
            fail_at(patched, which, number)
            assert export(story, kind) == 2
        assert "nothing half-written was kept" in capsys.readouterr().err
        assert not list((story.parent / "out").iterdir())


def test_pages_that_fail_leave_an_earlier_book_as_it_was(
    story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = story.parent / "out" / "book"
    folder.mkdir()
    (folder / "001.png").write_bytes(b"earlier")
    (folder / "mine.txt").write_bytes(b"mine")
    with monkeypatch.context() as patched:
        fail_at(patched, 2)
        assert export(story, "pages") == 2
    assert {path.name for path in folder.iterdir()} == {"001.png", "mine.txt"}
    assert (folder / "001.png").read_bytes() == b"earlier"
    assert export(story, "pages") == 0
    assert (folder / "001.png").read_bytes() != b"earlier"
    assert (folder / "mine.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_export_sweeps_what_a_killed_one_left(kind: str, story: Path) -> None:
    out = story.parent / "out"
    if kind == "pages":
        (out / "book").mkdir()
        left = out / "book" / ".001.png.0123abcd.part"
    elif kind == "folder":
        left = out / ".book.0123abcd.part"
        left.mkdir()
        left = left / "story.json"
    else:
        left = out / f".book.{kind}.0123abcd.part"
    left.write_bytes(b"half a book")
    assert export(story, kind) == 0
    assert not left.exists() and not list(out.rglob("*.part"))


def test_evaluation_sheets_are_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seedstory_core.evaluation import sheets
    from seedstory_core.evaluation.runs import ToldStory

    def told(number: int) -> ToldStory:
        picture = torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()
        return ToldStory(number, ("A fox.",), torch.zeros(1, 2, 2), "toy", picture[None])

    monkeypatch.setattr(
        sheets, "sheet", lambda story, title: encode_png(torch.zeros(2, 2, 3).byte())
    )
    with monkeypatch.context() as patched:
        fail_at(patched, 2)
        with pytest.raises(ValueError, match="Disk full"):
            sheets.write_sheets(tmp_path / "new", [told(0), told(1)], "a")
    assert not list(tmp_path.iterdir())
    assert all(path.is_file() for path in sheets.write_sheets(tmp_path, [told(0), told(1)], "a"))

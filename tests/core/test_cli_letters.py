"""No letter ends a run: consoles and pipes of other code pages get marks in its place."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seedstory_core.cli import main
from seedstory_core.story import append
from seedstory_core.story_store import save_story
from seedstory_core.types import Panel, Story, WorldRef

ROOT = Path(__file__).parents[2]
TEXT = "A fox \U0001f98a \u2192 \u72d0\u72f8\u5728\u8dd1\u3002 \u05e9\u05dc\u05d5\u05dd na\u00efve"


@pytest.fixture()
def story(tmp_path: Path) -> Path:
    folder = tmp_path / "\u72d0 \U0001f98a"
    told = Story((), "toy", WorldRef("\u72d0", "d" * 64), "my run")
    for caption in ("A beginning.", TEXT):
        told = append(told, Panel(caption, caption, "told", (1,), {"toy": torch.ones(2, 2)}))
    save_story(folder, told)
    return folder


class Console(io.TextIOWrapper):
    """A stream of another code page, as Python opens it for a console or a pipe."""

    def __init__(self, encoding: str, errors: str = "strict") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors=errors, newline="")

    def said(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


CODE_PAGES = ("cp1252", "cp437", "cp932", "cp936", "ascii", "latin-1", "utf-8")


@pytest.mark.parametrize("page", CODE_PAGES)
@pytest.mark.parametrize(
    "words",
    [
        ["story", "show", "STORY"],
        ["story", "list", "PARENT"],
        ["story", "validate", "STORY"],
        ["story", "export", "STORY", "PARENT/\u72d0.srt"],
        ["-v", "story", "show", "STORY"],
        ["story", "show", "PARENT/\U0001f98a"],  # an error with a letter
        ["\u72d0"],  # no command
        ["tell", "-h"],
        ["story", "export", "-h"],
        ["train", "adapt", "-h"],
        ["doctor", "--models", "PARENT"],
    ],
    ids=lambda words: ascii(" ".join(words)),
)
def test_every_code_page_is_written_to(
    page: str, words: list[str], story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = Console(page), Console(page)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    given = [
        word.replace("STORY", str(story)).replace("PARENT", str(story.parent)) for word in words
    ]
    try:
        code = main(given)
    except SystemExit as ended:  # help
        code = ended.code
    assert code in (0, 1, 2)
    assert out.said() or err.said()
    assert "Traceback" not in err.said()


def test_letters_that_can_be_written_are(story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for page, kept in (("utf-8", TEXT), ("cp1252", "A fox ? ? ?????")):
        out = Console(page)
        monkeypatch.setattr(sys, "stdout", out)
        assert main(["story", "show", str(story)]) == 0
        assert kept in out.said() and "na\u00efve" in out.said()


def test_streams_of_other_kinds_are_left_alone(
    story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no stdout at all under pythonw, and hosts put streams of their own there."""
    for stream in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["story", "show", str(story)]) == 0


def test_a_whole_run_as_a_process_of_a_code_page(tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps([TEXT]), encoding="utf-8")
    words = ["tell", "--out", str(tmp_path / "\u72d0"), "--captions", str(captions)]
    ended = subprocess.run(
        [sys.executable, "-m", "seedstory_core", "-v", *words, "--steps", "1"],
        cwd=tmp_path,
        capture_output=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "cp1252",
            "PYTHONUTF8": "0",
            "OMP_NUM_THREADS": "1",
        },
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"A fox ?" in ended.stdout and b"Traceback" not in ended.stderr

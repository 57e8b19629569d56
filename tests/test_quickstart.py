"""`quickstart.py` from a clone of its own, with the running environment (``--here``)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import source


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files without the tests, as somebody downloads them."""
    folder = tmp_path_factory.mktemp("download") / "story pack"
    for path in source.tracked():
        if not path.startswith("tests/"):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source.ROOT / path, target)
    return folder


def quickstart(clone: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run it in the clone; ``settings`` are environment variables."""
    command = [sys.executable, "quickstart.py", *words]
    return subprocess.run(
        command, cwd=clone, env=os.environ | settings, capture_output=True, text=True, timeout=900
    )


def captions(folder: Path) -> list[str]:
    return [panel["caption"] for panel in json.loads((folder / "story.json").read_text())["panels"]]


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A home without ComfyUI, and a proxy that leads nowhere, so that none can be cloned."""
    home = str(tmp_path_factory.mktemp("home"))
    return {"HOME": home, "COMFYUI_PATH": "", "https_proxy": "http://127.0.0.1:9"}


@pytest.mark.comfyui
def test_headless_writes_the_storybook_the_library_tells_too(
    clone: Path, comfy_tree: Path, nowhere: Mapping[str, str]
) -> None:
    done = quickstart(clone, "--here", "--headless", "--out", "book", COMFYUI_PATH=str(comfy_tree))
    assert done.returncode == 0, done.stdout + done.stderr
    book = clone / "book"
    assert list(book.glob("seedstory-page*.png"))
    assert len(list((book / "whole-story" / "panels").glob("*.png"))) == 11

    alone = quickstart(clone, "--here", "--headless", "--out", "alone", **nowhere)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert "ComfyUI cannot be had here" in alone.stdout
    assert captions(clone / "alone") == captions(book / "whole-story")
    assert (clone / "alone" / "index.html").is_file()


def test_a_named_comfyui_that_is_none_is_said(clone: Path, tmp_path: Path) -> None:
    done = quickstart(clone, "--here", "--headless", COMFYUI_PATH=str(tmp_path))
    assert done.returncode == 1
    assert "COMFYUI_PATH" in done.stdout and "main.py" in done.stdout


def test_unknown_words_are_refused(clone: Path) -> None:
    done = quickstart(clone, "--headles")
    assert done.returncode == 2
    assert "--headles" in done.stderr


def test_the_test_command_ends_with_pytests_closing_line(clone: Path) -> None:
    (clone / "tests").mkdir()
    (clone / "tests" / "test_two.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    done = quickstart(clone, "test", "--here", "-k", "test_b")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout.splitlines()[-1]


@pytest.mark.comfyui
def test_it_serves_until_it_is_stopped(clone: Path, comfy_tree: Path) -> None:
    command = [sys.executable, "quickstart.py", "--here", "--port", "0"]
    settings = os.environ | {"COMFYUI_PATH": str(comfy_tree)}
    with subprocess.Popen(
        command, cwd=clone, env=settings, stdout=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout is not None
        line = next(line for line in it.stdout if "open http" in line)
        address = line.split("open ", 1)[1].split("?")[0]
        with urllib.request.urlopen(
            address + "object_info/SeedStory_TellStory", timeout=30
        ) as answer:
            assert "SeedStory_TellStory" in json.load(answer)
        it.send_signal(signal.SIGTERM)
        it.wait(30)
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)

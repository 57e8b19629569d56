"""``seedstory story`` and what ``seedstory tell`` leaves, as users run them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))
from test_story_store import noise, same, tell  # noqa: E402

from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.babble import make_world  # noqa: E402
from seedstory_core.cli import main  # noqa: E402
from seedstory_core.images import encode_png  # noqa: E402
from seedstory_core.locks import folder_lock  # noqa: E402
from seedstory_core.story_file import (  # noqa: E402
    embed_in_png,
    open_any,
    pack_story,
    save_story_file,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble").root


def command(*words: object) -> int:
    return main([str(word) for word in words])


def test_tell_leaves_the_story_file(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "fox"
    assert command("tell", "--world", world, "--out", out, "--panels", 1, "--steps", 1) == 0
    assert (out / "fox.seedstory").read_bytes() == pack_story(store.load_story(out))
    assert same(open_any(out / "fox.seedstory"), open_any(out))


def test_resume_needs_no_other_option(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, straight = tmp_path / "fox", tmp_path / "straight"
    how = ("--world", world, "--temperature", 0, "--seed", 7, "--no-paint")
    assert command("tell", "--out", out, "--panels", 1, *how) == 0
    assert command("tell", "--out", out, "--resume", "--panels", 3) == 0
    assert command("tell", "--out", straight, "--panels", 3, *how) == 0
    told, other = store.load_story(out), store.load_story(straight)
    assert [p.uid for p in told.panels] == [p.uid for p in other.panels]
    assert told.panels[3].provenance["sampling"]["picker"] == {"class": "Greedy"}
    assert command("tell", "--out", out, "--resume") == 0, "the last wish counts"
    assert len(store.load_story(out)) == 4
    assert command("tell", "--out", tmp_path / "new", "--resume") == 2
    assert "finds no run in" in capsys.readouterr().err
    known = json.loads((out / "tell.json").read_text())["words"]
    moved = {"words": [*known, f"--out={tmp_path / 'elsewhere'}"]}
    (out / "tell.json").write_text(json.dumps(moved))
    assert command("tell", "--out", out, "--resume") == 0
    assert not (tmp_path / "elsewhere").exists(), "a stranger's folder cannot choose another"
    (out / "tell.json").write_text('{"words": ["rm"]}')
    assert command("tell", "--out", out, "--resume") == 2
    assert "is damaged" in capsys.readouterr().err


def test_two_runs_do_not_share_a_folder(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_lock(tmp_path / "fox", name=".telling"):
        words = ("tell", "--world", world, "--out", tmp_path / "fox", "--panels", 0)
        assert command(*words) == 2
        assert "Another run is writing to" in capsys.readouterr().err
    assert command(*words) == 0, "what a run leaves behind holds nobody up"


def test_show_validate_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save_story(tmp_path / "s", tell(2))
    (tmp_path / "page.png").write_bytes(
        embed_in_png(encode_png(noise(1, 4, 4, 3)), pack_story(tell(2)))
    )
    assert command("story", "export", tmp_path / "s", "--to", "seedstory") == 0
    (tmp_path / "torn.seedstory").write_bytes(b"PK")
    for name in ("s", "s.seedstory", "page.png"):
        assert command("story", "show", tmp_path / name) == 0
        assert "   1 - Panel 1" in capsys.readouterr().out
        assert command("story", "validate", tmp_path / name) == 0
        assert "whole: every feature and picture was read" in capsys.readouterr().out
    assert command("story", "validate", tmp_path / "torn.seedstory") == 2
    assert "cut short" in capsys.readouterr().err
    assert command("story", "list", tmp_path) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(listed) == {"s", "s.seedstory", "torn.seedstory"}
    assert "2 panels, 1 with a picture, open; world w" in listed["s.seedstory"]
    assert "cannot be read" in listed["torn.seedstory"]
    assert command("story", "list", tmp_path / "nowhere") == 2


def test_a_strangers_words_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = replace(tell(1), engine="toy\x1b]0;x\x07", closing="Fin.\x1b[2J\r\n\x9b1m")
    save_story_file(story, tmp_path / "a.seedstory")
    for words in (("show", "a.seedstory"), ("validate", "a.seedstory"), ("list", "")):
        assert command("story", words[0], tmp_path / words[1]) == 0
        said = capsys.readouterr().out
        assert all(char.isprintable() or char == "\n" for char in said), said
    assert open_any(tmp_path / "a.seedstory").closing == story.closing, "the file has it still"


def test_export_to_a_file_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save_story(tmp_path / "s", tell(2))
    assert command("story", "export", tmp_path / "s", tmp_path / "a.seedstory") == 0
    assert (
        command("story", "export", tmp_path / "a.seedstory", tmp_path / "t", "--to", "folder") == 0
    )
    assert same(store.load_story(tmp_path / "t"), tell(2))
    assert command("story", "export", tmp_path / "s", tmp_path / "a.seedstory") == 2
    assert "is there already" in capsys.readouterr().err
    assert command("story", "export", tmp_path / "s", tmp_path / "a.seedstory", "--force") == 0
    assert command("story", "export", tmp_path / "s") == 2
    assert command("story", "export", tmp_path / "s", "--to", "docx") == 2

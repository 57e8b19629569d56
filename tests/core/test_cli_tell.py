"""``seedstory tell`` as users run it: a whole story, stopped and taken up again, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seedstory_core.babble import NOTICE, cached_world, make_world
from seedstory_core.cli import main
from seedstory_core.cli.progress import Bar, shorten
from seedstory_core.images import encode_png
from seedstory_core.story_store import load_story

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble").root


@pytest.fixture()
def out(tmp_path: Path) -> Path:
    return tmp_path / "my story"


def start(*args: object) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "seedstory_core", *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def wait_for(run: subprocess.Popen[str], start: str) -> None:
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith(start):
            return
    pytest.fail(f"never saw {start!r}: {run.stderr.read() if run.stderr else ''}")


def tell(world: Path, out: Path, *args: object) -> int:
    return main(["tell", "--world", str(world), "--out", str(out), *map(str, args)])


def captions(out: Path) -> list[str]:
    return [panel.caption for panel in load_story(out).panels]


def test_a_whole_story(world: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(world, out, "--panels", 2, "--steps", 2) == 0
    text = capsys.readouterr().out
    assert NOTICE in text and "2 panels told, 2 painted" in text and "index.html" in text
    story = load_story(out)
    assert len(story) == 3 and all(panel.image is not None for panel in story.panels)
    assert story.panels[2].seed == 2 and story.run == "my story"
    assert story.panels[1].provenance["paint"]["steps"] == 2
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<img") == 3 and story.panels[2].caption in page


def test_stopped_while_telling_and_taken_up(world: Path, out: Path, tmp_path: Path) -> None:
    run = start("tell", "--world", world, "--out", out, "--panels", 900, "--no-paint")
    wait_for(run, "Telling 3/900")
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 130
    assert "Stopped." in errors and "The same command goes on" in errors
    assert "Traceback" not in errors
    told = len(load_story(out)) - 1
    assert 3 <= told < 900 and f"{told} of 900 panels are told" in errors
    assert tell(world, out, "--panels", told + 2, "--no-paint") == 0
    assert tell(world, tmp_path / "straight", "--panels", told + 2, "--no-paint") == 0
    assert captions(out) == captions(tmp_path / "straight")
    resumed, straight = load_story(out).panels[-1], load_story(tmp_path / "straight").panels[-1]
    assert resumed.uid == straight.uid and resumed.token_ids == straight.token_ids
    for space, features in straight.features.items():
        torch.testing.assert_close(resumed.features[space], features, atol=1e-4, rtol=0)


def test_stopped_while_painting_and_taken_up(world: Path, out: Path) -> None:
    run = start("tell", "--world", world, "--out", out, "--panels", 4, "--steps", 100)
    wait_for(run, "Painting 1/4")
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 130 and "Traceback" not in errors
    story = load_story(out)
    painted = [panel.image is not None for panel in story.panels]
    assert painted[:2] == [True, True] and not painted[-1]
    assert f"4 of 4 panels are told and {sum(painted) - 1} painted" in errors
    first = story.panels[1].image
    assert tell(world, out, "--panels", 4, "--steps", 1) == 0
    story = load_story(out)
    assert all(panel.image is not None for panel in story.panels)
    assert torch.equal(story.panels[1].image, first), "what was painted stays"


@pytest.mark.slow
def test_killed_outright_and_taken_up(world: Path, out: Path) -> None:
    run = start("tell", "--world", world, "--out", out, "--panels", 900, "--no-paint")
    wait_for(run, "Telling 2/900")
    time.sleep(0.05)
    run.kill()
    run.communicate()
    told = len(load_story(out)) - 1
    assert told >= 2
    assert tell(world, out, "--panels", told + 1, "--no-paint") == 0
    assert len(load_story(out)) == told + 2
    assert not list(out.rglob("*.part")), "leftovers of the killed run are swept"


def test_only_the_opening(world: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(world, out, "--panels", 0) == 0
    assert "0 panels told, 0 painted" in capsys.readouterr().out
    assert len(load_story(out)) == 1 and (out / "index.html").is_file()


def test_given_captions(world: Path, out: Path, tmp_path: Path) -> None:
    script = tmp_path / "captions.txt"
    script.write_text("\ufeffA fox woke up.\n\n  The sun rose. \r\n", encoding="utf-8")
    assert tell(world, out, "--captions", script, "--no-paint") == 0
    story = load_story(out)
    assert [panel.caption for panel in story.panels[1:]] == ["A fox woke up.", "The sun rose."]
    assert {panel.origin for panel in story.panels[1:]} == {"illustrated"}
    assert tell(world, out, "--captions", script, "--panels", 3, "--no-paint") == 0
    assert load_story(out).panels[3].origin == "told", "what follows is told freely"
    script.write_text("Another.\nThe sun rose.", encoding="utf-8")
    assert tell(world, out, "--captions", script, "--no-paint") == 2


def test_own_picture_and_sentence(world: Path, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    path.write_bytes(encode_png(torch.tensor([[[1, 2, 3]]], dtype=torch.uint8)))
    args = ("--image", path, "--text", "Un été à \u0141ód\u017a.", "--panels", 1, "--no-paint")
    assert tell(world, out, *args) == 0
    first = load_story(out).panels[0]
    assert first.caption == "Un été à \u0141ód\u017a." and first.image.shape == (1, 1, 3)


def test_settings_reach_the_story(world: Path, out: Path) -> None:
    args = ("--temperature", 0, "--context", "window:2", "--seed", 7, "--panels", 1, "--no-paint")
    assert tell(world, out, *args) == 0
    panel = load_story(out).panels[1]
    assert panel.provenance["sampling"]["picker"] == {"class": "Greedy"}
    assert panel.provenance["context"] == {"class": "Window", "size": 2} and panel.seed == 8
    assert tell(world, out, *args[:2], "--context", "dense", *args[4:]) == 2


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--seed", 5), "seed 1, not 6"),
        (("--temperature", 0.5), "another sampling"),
        (("--context", "dense"), "another context"),
        (("--text", "Something else."), "another picture or sentence"),
    ],
)
def test_another_story_is_not_overwritten(
    world: Path, out: Path, args: tuple, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, "--panels", 1, "--no-paint") == 0
    before = (out / "story.json").read_bytes()
    assert tell(world, out, "--panels", 2, "--no-paint", *args) == 2
    error = capsys.readouterr().err
    assert "holds another story" in error and reason in error
    assert (out / "story.json").read_bytes() == before


def test_another_world_is_refused(
    world: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, "--panels", 1, "--no-paint") == 0
    other = make_world(tmp_path / "other", seed=1).root
    assert tell(other, out, "--panels", 1, "--no-paint") == 2
    assert "told with another world, 'babble'" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(
    world: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out.mkdir()
    (out / "taxes.pdf").write_bytes(b"%PDF")
    assert tell(world, out, "--panels", 1, "--no-paint") == 2
    assert "holds other files (taxes.pdf" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["taxes.pdf"]


BAD = [
    (("--panels", -1), "--panels is 0 to 9999, got -1"),
    (("--panels", 10_000, "--yes"), "--panels is 0 to 9999"),
    (("--panels", 5000), "add --yes"),
    (("--context", "views:3"), "A context policy is dense, window"),
    (("--context", "window:0"), "at least 1, got 0"),
    (("--size", "64"), "--size is WIDTHxHEIGHT"),
    (("--image", "nowhere.png"), "add --text"),
    (("--image", "nowhere.png", "--text", "a"), "no picture at nowhere.png"),
    (("--captions", "nowhere.txt"), "cannot be read"),
    (("--captions", "/dev/null"), "has no caption"),
    (("--text", ""), "caption|text|words|empty"),
    (("--temperature", -1), "temperature > 0"),
    (("--top-p", 0), "top_p"),
    (("--device", "quantum"), "device 'quantum' cannot be used"),
    (("--seed", -5), "seed"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(map(str, a)) for a, _ in BAD])
def test_bad_input_is_explained(
    world: Path, out: Path, args: tuple, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, *args, "--no-paint") == 2
    error = capsys.readouterr().err
    import re

    assert error.splitlines()[-1].startswith("error: ") and re.search(message, error), error


def test_any_opening_can_be_chosen(
    world: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(world, out, "--opening", 2, "--panels", 0) == 0
    second = json.loads((world / "world.json").read_text())["openings"][1]
    assert load_story(out).panels[0].caption == second["text"]
    assert tell(world, out.with_name("none"), "--opening", 9, "--panels", 0) == 2
    assert "3 openings of its own, but number 9" in capsys.readouterr().err


def test_unknown_worlds_are_listed(
    world: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEEDSTORY_MODELS", str(world.parent))
    assert tell(Path("nowhere"), out) == 2
    assert "no world 'nowhere'. Found: babble" in capsys.readouterr().err
    assert tell(Path("no/such/path"), out) == 2
    assert "is not a world folder" in capsys.readouterr().err


def test_worlds_are_found_by_name(
    world: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "mine").symlink_to(world)
    monkeypatch.chdir(tmp_path)
    assert tell(Path("mine"), out, "--panels", 0, "--no-paint") == 0


def test_the_babbling_world_is_made_once(tmp_path: Path) -> None:
    first = cached_world(tmp_path / "babble")
    made = (tmp_path / "babble" / "world.json").stat().st_mtime_ns
    assert cached_world(tmp_path / "babble").digest == first.digest
    assert (tmp_path / "babble" / "world.json").stat().st_mtime_ns == made
    (tmp_path / "babble" / "llm.safetensors").write_bytes(b"cut")
    assert cached_world(tmp_path / "babble").digest == first.digest
    assert (tmp_path / "babble" / "llm.safetensors").stat().st_size > 100_000


def test_no_painter_is_explained_before_anything_is_lost(
    world: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = make_world(tmp_path / "bare").root
    data = json.loads((bare / "world.json").read_text())
    del data["files"]["unet"], data["files"]["vae"]
    data["painter"] = None
    (bare / "world.json").write_text(json.dumps(data))
    assert tell(bare, out, "--panels", 1) == 2
    error = capsys.readouterr().err
    assert "Give that with --base" in error and "1 of 1 panels are told and 0 painted" in error
    assert len(load_story(out)) == 2


def test_show_and_validate(world: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(world, out, "--panels", 1, "--no-paint") == 0
    capsys.readouterr()
    assert main(["story", "show", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "looked at the moon" in shown and "2 panels, 1 with a picture" in shown
    assert main(["story", "validate", str(out)]) == 0
    (out / "features" / "001.safetensors").write_bytes(b"cut")
    assert main(["story", "validate", str(out)]) == 2
    assert "001.safetensors is damaged" in capsys.readouterr().err
    assert main(["story", "show", str(out.parent)]) == 2


@pytest.mark.parametrize(
    ("argv", "message"), [(["tel"], "Did you mean 'tell'"), (["xyz"], "Commands: tell, story")]
)
def test_unknown_commands(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert message in capsys.readouterr().err


def test_help_is_quick_and_light() -> None:
    code = (
        "import sys; from seedstory_core.cli import main\n"
        "try: main(['tell', '-h'])\n"
        "except SystemExit: pass\n"
        "heavy = {'diffusers', 'transformers', 'accelerate'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert "--captions FILE" in run.stdout


def test_the_bar_draws_on_a_terminal_and_keeps_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    bar = Bar("Telling", 2)
    bar(5, 10, "so\nit began \u6f22\u5b57 " * 50)
    bar.finish("done")
    drawn = capsys.readouterr().out
    assert drawn.startswith("\rTelling 0/2 ") and "Telling 1/2  done" in drawn
    assert max(map(len, drawn.replace("\x1b[K", "").split("\r"))) < 200
    assert shorten("\u6f22\u5b57\u6f22\u5b57", 4) == "\u6f22\u5b57" and shorten("abc", 0) == ""

"""Kills ``seedstory tell`` at random moments, and holds it to its word: ``killing.py JSON``.

JSON: ``folder``, ``world``, ``kills``, ``panels``, ``seed``. Every run is a fork of this process,
which has the library loaded, so that fifty of them do not take fifty starts of torch; each is
really killed. A run that comes to its end before its kill is checked against a run that was left
alone, and the next begins a new folder. What a run has printed as finished must be on disk, now and
ever after, the same to the bit. Prints one JSON object; fails by an assertion.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import torch

from seedstory_core.cli import main
from seedstory_core.story import feature_digests, pixel_digest
from seedstory_core.story_file import open_story_file, pack_folder, pack_story
from seedstory_core.story_store import load_story
from seedstory_core.types import Story

STEPS = 2
FINISHED = re.compile(r"^(?:Telling|Painting) \d+/\d+", re.M)
GOING_ON = re.compile(r"^Going on with .*: (\d+) told, (\d+) painted", re.M)


def start(words: list[str]) -> tuple[int, int]:
    """Process id of a run, and the pipe that it prints to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    os.dup2(writing, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    code = 1
    try:
        code = main(words)
    finally:
        os._exit(code)


def ended(child: int, reading: int, kill: tuple[int, float] | None) -> tuple[str, int]:
    """What a run has printed and its exit code, -9 where it was killed.

    Args:
        kill: after how many panels that it prints as finished, and so many seconds more.
    """
    said = ""
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        while kill is not None:
            if len(FINISHED.findall(said)) >= kill[0]:
                time.sleep(kill[1])
                os.kill(child, signal.SIGKILL)
                break
            if not (line := pipe.readline()):
                break
            said += line
        said += pipe.read()
    return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def moment(dice: random.Random, left: int, longest: float) -> tuple[int, float]:
    """When to kill: at any time of a start, or soon after one of the next panels to finish."""
    finished = dice.randint(0, min(5, left - 1))
    return finished, longest * dice.random() if finished == 0 else 0.1 * dice.random() ** 3


def promised(said: str) -> tuple[int, int]:
    """How many panels a run has printed as told and as painted."""
    before = GOING_ON.search(said)
    told, painted = (int(before[1]), int(before[2])) if before else (0, 0)
    count = [len(re.findall(rf"^{what} \d+/\d+", said, re.M)) for what in ("Telling", "Painting")]
    return told + count[0], painted + count[1]


def fingerprints(story: Story) -> list[tuple[str, dict[str, str], str | None]]:
    return [
        (p.uid, feature_digests(p), None if p.image is None else pixel_digest(p.image))
        for p in story.panels
    ]


class Keeper:
    """What a folder has ever held, which it must hold for ever."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.words, self.seen = folder, (0, 0), []

    def check(self, said: str) -> None:
        now = promised(said)
        self.words = (max(self.words[0], now[0]), max(self.words[1], now[1]))
        if not (self.folder / "story.json").exists():
            assert self.words == (0, 0) and not self.seen, (self.words, said)
            return
        story = load_story(self.folder)
        prints = fingerprints(story)
        painted = sum(panel.image is not None for panel in story.panels) - 1
        assert len(story) - 1 >= self.words[0], (self.words, said)
        assert painted >= self.words[1], (self.words, said)
        for before, after in zip(self.seen, prints, strict=False):
            assert before[:2] == after[:2] and before[2] in (None, after[2]), said
        assert len(prints) >= len(self.seen)
        self.seen = prints
        for path in self.folder.glob("*.seedstory"):
            packed = fingerprints(open_story_file(path))
            assert packed == prints[: len(packed)], "the story file is a story of this folder"

    def check_whole(self, straight: Story) -> None:
        story = load_story(self.folder)
        assert len(story) == len(straight) and story.closing == straight.closing
        for one, other in zip(story.panels, straight.panels, strict=True):
            assert (one.uid, one.token_ids, one.seed) == (other.uid, other.token_ids, other.seed)
            for space, features in other.features.items():
                torch.testing.assert_close(one.features[space], features, atol=1e-4, rtol=0)
            assert one.image is not None and other.image is not None
            assert one.image.shape == other.image.shape
        assert not list(self.folder.rglob("*.part"))
        (packed,) = self.folder.glob("*.seedstory")
        again = pack_folder(self.folder, self.folder.with_suffix(".again"))
        assert packed.read_bytes() == again.read_bytes() == pack_story(story)


def kill_often(folder: Path, world: str, kills: int, panels: int, seed: int) -> dict[str, object]:
    dice = random.Random(seed)
    words = ["tell", "--world", world, "--panels", str(panels), "--steps", str(STEPS)]
    began = time.monotonic()
    said, code = ended(*start([*words, "--out", str(folder / "run-straight")]), None)
    longest = time.monotonic() - began
    assert code == 0, said
    straight = load_story(folder / "run-straight")
    done, whole, resumed, at = 0, 0, 0, []
    while done < kills or not whole:
        keeper = Keeper(folder / f"run-{whole}")
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            own = [*words, "--out", str(keeper.folder)]
            if (keeper.folder / "tell.json").exists() and dice.random() < 0.5:
                own, resumed = ["tell", "--resume", "--out", str(keeper.folder)], resumed + 1
            left = 2 * panels - sum(keeper.words)
            kill = moment(dice, left, longest) if done < kills and left > 1 else None
            said, code = ended(*start(own), kill)
            assert code in (0, -signal.SIGKILL), (code, said)
            keeper.check(said)
            if code:
                done += 1
                at.append(keeper.words)
        keeper.check_whole(straight)
        whole += 1
    return {"kills": done, "whole": whole, "resumed": resumed, "at": at, "seconds": longest}


if __name__ == "__main__":
    torch.set_num_threads(1)
    settings = json.loads(sys.argv[1])
    settings["folder"] = Path(settings["folder"])
    print(json.dumps(kill_often(**settings)))

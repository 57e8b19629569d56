"""Conversions that are killed: what lies under a final name is whole, and a rerun finishes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file

from seedstory_core.engines.seed_story.conversion.world import Inputs, convert
from seedstory_core.errors import SeedStoryError
from seedstory_core.world import World, load_world

CHILD = Path(__file__).with_name("interrupted.py")
KILLS = (17, 80, 190)  # in the LLM, in the visual tokenizer, in the UNet
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")


def start(
    folder: Path, sizes: dict, kill_at: Sequence[int] = (0,), pause: float = 0.0
) -> subprocess.Popen:
    settings = json.dumps({"sizes": sizes, "kill_at": kill_at, "pause": pause})
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), settings], stdout=subprocess.PIPE, text=True
    )


def check_whole(folder: Path, world: World) -> int:
    """Every file under a final name is exactly what an undisturbed conversion makes."""
    names = [path.name for path in folder.glob("*.safetensors") if not path.name.startswith(".")]
    for name in names:
        load_file(folder / name)
        assert (folder / name).read_bytes() == (world.root / name).read_bytes()
    return len(names)


def test_killed_in_the_middle(
    world: World, sizes: dict, inputs: Inputs, options: Callable, tmp_path: Path
):
    output, _ = start(tmp_path, sizes, KILLS).communicate(timeout=300)
    statuses = [line for line in output.splitlines() if line != "begun"]
    assert statuses == [f"{kill} {int(signal.SIGKILL)}" for kill in KILLS]
    finished = []
    for kill in KILLS:
        folder = tmp_path / str(kill)
        finished.append(check_whole(folder, world))
        assert list(folder.glob(".*.part")), "it was killed while a file was written"
        with pytest.raises(SeedStoryError, match="not a world folder"):
            load_world(folder)
        again = convert(folder, inputs, options())
        assert again is not None and check_whole(folder, world) == 4
        assert again.files == world.files and not list(folder.glob(".*.part"))
    assert finished == [0, 1, 2]


def test_ctrl_c_leaves_no_temporary_file(
    world: World, inputs: Inputs, options: Callable, tmp_path: Path
):
    def stop(done: int, total: int, note: str = "") -> None:
        if note == "vision.safetensors" and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path, inputs, options(), progress=stop)
    assert check_whole(tmp_path, world) == 1
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "world.json").exists()


@pytest.mark.slow
def test_killed_again_and_again_at_random_moments(
    world: World, sizes: dict, inputs: Inputs, options: Callable, tmp_path: Path
):
    dice, folder, kills = random.Random(5), tmp_path / "golden", 0
    for signum in [signal.SIGKILL, signal.SIGINT] * 6:
        process = start(folder, sizes, pause=0.002)
        assert process.stdout is not None
        if process.stdout.readline() != "begun\n":
            break  # all files were finished before
        time.sleep(dice.uniform(0, 0.5))
        process.send_signal(signum)
        kills += process.wait(600) != 0
        check_whole(folder, world)
    again = convert(folder, inputs, options())
    assert kills and again is not None and again.digest == world.digest
    assert not list(folder.rglob("*.part"))

"""Conversions that are killed: what lies under a final name is whole, and a rerun finishes."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.convert_world import convert
from seedstory_core.world import World, load_world

CHILD = Path(__file__).with_name("interrupted.py")


def start(folder: Path, sizes: dict, kill_at: int = 0, pause: float = 0.0) -> subprocess.Popen:
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


@pytest.mark.parametrize("kill_at", [17, 190])
def test_killed_by_itself_in_the_middle(
    kill_at: int, world: World, sizes: dict, inputs, options, tmp_path: Path
):
    folder = tmp_path / "golden"
    assert start(folder, sizes, kill_at).wait(120) == -signal.SIGKILL
    done = check_whole(folder, world)
    assert done < 4 and list(folder.glob(".*.part")), "it was killed while a file was written"
    with pytest.raises(SeedStoryError, match="not a world folder"):
        load_world(folder)
    again = convert(folder, inputs, options())
    assert again is not None and again.digest == world.digest
    assert check_whole(folder, world) == 4 and not list(folder.glob(".*.part"))


def test_ctrl_c_leaves_no_temporary_file(world: World, sizes: dict, tmp_path: Path):
    folder = tmp_path / "golden"
    process = start(folder, sizes, pause=0.01)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    check_whole(folder, world)
    assert not list(folder.rglob("*.part")) and not (folder / "world.json").exists()


@pytest.mark.slow
def test_killed_again_and_again_at_random_moments(
    world: World, sizes: dict, inputs, options, tmp_path: Path
):
    dice, folder, kills = random.Random(5), tmp_path / "golden", 0
    for _ in range(12):
        process = start(folder, sizes, pause=0.002)
        assert process.stdout is not None
        if process.stdout.readline() != "begun\n":
            break  # all files were finished before
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        kills += process.wait(60) == -signal.SIGKILL
        check_whole(folder, world)
    again = convert(folder, inputs, options())
    assert kills and again is not None and again.digest == world.digest
    assert not list(folder.rglob("*.part"))

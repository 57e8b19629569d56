"""A full and a read-only disk, real ones: small file systems mounted for one process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seedstory_core.babble import make_world

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble").root


def in_namespace(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script as the root of its own mounts, which end with it."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-ec", script, "sh", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)


def trial(name: str, size: str, folder: Path, world: Path) -> dict[str, Any]:
    mount = folder / "disk"
    mount.mkdir()
    try:
        probe = in_namespace('mount -t tmpfs none "$1"', mount)
    except FileNotFoundError:
        pytest.skip("not found: unshare (util-linux), which mounts disks for a test")
    if probe.returncode:
        pytest.skip(f"this system lets nobody mount a disk for a test: {probe.stderr.strip()}")
    program = Path(__file__).with_name("disks.py")
    script = 'mount -t tmpfs -o size="$1" none "$2"; shift; exec "$2" "$3" "$4" "$1" "$5"'
    run = in_namespace(script, size, mount, sys.executable, program, name, world)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_a_read_only_disk_is_named(tmp_path: Path, world: Path) -> None:
    report = trial("read_only", "1m", tmp_path, world)
    assert len(report["said"]) == 6 and report["code"] == 2
    assert all("Cannot write to" in line and "read-only" in line for line in report["said"])


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, world: Path) -> None:
    report = trial("full", "256k", tmp_path, world)
    assert len(report["said"]) == 3
    assert all("Disk full while writing" in line for line in report["said"])


def test_a_run_goes_on_once_there_is_room(tmp_path: Path, world: Path) -> None:
    report = trial("telling", "16m", tmp_path, world)
    (said,) = report["said"]
    assert report["code"] == 2 and 1 <= report["kept"] < 5
    assert "Disk full while writing" in said and "The same command goes on from there" in said

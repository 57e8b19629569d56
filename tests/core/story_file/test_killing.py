"""``seedstory tell`` is killed at random moments, resumed, and loses nothing it had finished."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from seedstory_core.babble import make_world

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")


@pytest.mark.parametrize(("kills", "panels"), [(3, 3), pytest.param(50, 8, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path: Path, kills: int, panels: int) -> None:
    world = make_world(tmp_path / "babble").root
    seed = random.SystemRandom().randrange(10**6)
    settings = {"folder": str(tmp_path), "world": str(world), "kills": kills}
    settings |= {"panels": panels, "seed": seed}
    program = Path(__file__).with_name("killing.py")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(program), json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=1800,
        env=env,
    )
    assert run.returncode == 0, f"seed {seed}: {run.stderr[-3000:]}"
    report = json.loads(run.stdout.splitlines()[-1])
    print(report)
    assert report["kills"] >= kills and report["whole"] >= 1

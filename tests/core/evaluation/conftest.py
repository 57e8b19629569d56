"""A tiny world of the real kinds, and probes that have learnt nothing yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from seedstory_core.babble import make_world
from seedstory_core.evaluation.evaluate import Judge
from seedstory_core.evaluation.probe_training import ProbeSettings, make_probes
from seedstory_core.evaluation.probes import ProbeReader, open_probes
from seedstory_core.world import World

TINY = ProbeSettings(pool=60, steps=3, batch=8, unseen=20)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble")


@pytest.fixture(scope="session")
def raw_probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of hardly trained probes, good enough to run with."""
    file = tmp_path_factory.mktemp("probes") / "raw.safetensors"
    make_probes(file, settings=TINY)
    return file


@pytest.fixture(scope="session")
def shipped() -> ProbeReader:
    return open_probes()


@pytest.fixture()
def judge(world: World, raw_probes: Path, tmp_path: Path) -> Judge:
    return Judge(world, open_probes(raw_probes), tmp_path / "kept")

"""Several processes, with copies or shards of the model, learn what one learns."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from seedstory_core.training.metrics import read_metrics

ROOT = Path(__file__).parents[3]


def trained(folder: Path, kind: str, processes: int) -> dict[str, torch.Tensor]:
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *launch, "-m", "support.toy_parallel", str(folder), kind]
    environment = {**os.environ, "PYTHONPATH": paths}
    folder.mkdir()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return load_file(folder / "toy.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_two_processes_learn_what_one_learns(tmp_path: Path, kind: str) -> None:
    alone = trained(tmp_path / "alone", "single", 1)
    together = trained(tmp_path / "together", kind, 2)
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        assert torch.allclose(value, together[name], atol=1e-6), name
    lines = [line for line in read_metrics(tmp_path / "together") if "loss" in line]
    assert [line["step"] for line in lines] == [1, 5, 7, 8, 10, 12]

"""metrics.jsonl: a line per logged step and per check; those beyond a resumed step are dropped."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from ..errors import SeedStoryError
from ..files import atomic_write_bytes

FILE = "metrics.jsonl"


class Metrics:
    """Means of the scalars since the last line, with the speed.

    Args:
        folder: of the stage.
        step: what is already done; later lines are of steps that will be made again.
        batch: samples per step.
        writes: False on all processes but the first.
    """

    def __init__(self, folder: Path, step: int, batch: int, writes: bool = True) -> None:
        self.path, self._batch, self._writes = folder / FILE, batch, writes
        self._sums: dict[str, Tensor] = {}
        self._count, self._since = 0, time.monotonic()
        self.before = _keep(self.path, step) if writes else 0.0
        self._begun = time.monotonic()

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Count one step's scalars; nothing is waited for."""
        for name, value in scalars.items():
            old = self._sums.get(name)
            self._sums[name] = value.detach().float() + (0 if old is None else old)
        self._count += 1

    def flush(self, step: int, lr: float) -> dict[str, float]:
        """Write the means as one line and begin anew.

        Raises:
            SeedStoryError: the loss is not a number any more.
        """
        if not self._count:
            return {}
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        if not math.isfinite(means["loss"]):
            raise SeedStoryError(
                f"The loss is {means['loss']} at step {step}: training has diverged. Lower the "
                "learning rate or lengthen the warm-up; the last checkpoint is still good."
            )
        now = time.monotonic()
        speed = self._count * self._batch / max(1e-9, now - self._since)
        line = {"lr": lr, "samples_per_second": round(speed, 2)}
        self.write(step, {**means, **line})
        self._sums, self._count, self._since = {}, 0, now
        return {**means, **line}

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of one's own, as held-out figures."""
        if not self._writes:
            return
        seconds = round(self.before + time.monotonic() - self._begun, 2)
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"step": step, "seconds": seconds, **finite}) + "\n")

    def skip_time(self) -> None:
        """What came since the last line (a checkpoint, a check) is no training time."""
        if not self._count:
            self._since = time.monotonic()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """All whole lines of a stage's metrics file; [] without one."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = []
    for line in lines:
        try:
            kept.append(json.loads(line))
        except ValueError:  # the last line of a killed run
            continue
    return kept


def _keep(path: Path, step: int) -> float:
    """Drop lines beyond ``step``; the seconds spent until there."""
    lines = [line for line in read_metrics(path.parent) if line.get("step", step + 1) <= step]
    if path.is_file():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        atomic_write_bytes(path, text.encode())
    return float(lines[-1].get("seconds", 0.0)) if lines else 0.0


def scalars_of(output: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a stage's forward returned, if it is scalars with a loss among them."""
    assert "loss" in output and all(value.numel() == 1 for value in output.values())
    with torch.no_grad():
        return {name: value.detach().reshape(()) for name, value in output.items()}

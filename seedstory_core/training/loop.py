"""The training loop: any stage, on one CPU, one GPU or several, stopped and resumed at any step."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import SeedStoryError
from . import checkpoint
from .learner import Learner
from .metrics import Metrics, scalars_of
from .recipe import StageSettings
from .signals import StopSignals
from .stage import Progress, Stage, quiet

LOG_EVERY = 10  # steps
CHECKPOINTS = "checkpoints"


def train(
    stage: Stage,
    settings: StageSettings,
    folder: Path,
    *,
    resume: bool = True,
    progress: Progress = quiet,
    max_steps: int | None = None,
    time_limit: float | None = None,
    cpu: bool = False,
) -> list[Path]:
    """Train until ``settings.steps`` are made and write the results from the EMA weights.

    SIGINT, SIGTERM, an exception of ``progress``, ``max_steps`` and ``time_limit`` (seconds) end
    the run after the step at hand with a checkpoint, from which the next call goes on to the very
    same weights. The schedule always spans ``settings.steps``.

    Returns:
        The written files; [] if the run ended early without being interrupted.

    Raises:
        SeedStoryError: ``resume`` is False and there are checkpoints, or the loss is no number.
        KeyboardInterrupt: a signal stopped it; the checkpoint is written.
    """
    learner = Learner(stage, settings, cpu=cpu)
    run = _Run(learner, folder, progress, time_limit)
    step = run.begin(resume)
    end = settings.steps if max_steps is None else min(settings.steps, max_steps)
    with StopSignals() as signals:
        while step < end and not run.stops(signals):
            run.step(step)
            step += 1
            due = step % settings.save_every == 0 or step in (end, settings.steps)
            run.report(step, due)
        if step > run.saved:
            run.save(step)
        if signals.asked:
            raise KeyboardInterrupt
    return learner.write_results(folder) if step >= settings.steps else []


def finish(stage: Stage, settings: StageSettings, folder: Path, *, cpu: bool = False) -> list[Path]:
    """Write the results from the newest checkpoint, whether or not the training has ended.

    Raises:
        SeedStoryError: there is no checkpoint.
    """
    path = checkpoint.newest(folder / CHECKPOINTS)
    if path is None:
        raise SeedStoryError(f"There is no checkpoint in {folder / CHECKPOINTS} to finish from.")
    learner = Learner(stage, settings, cpu=cpu)
    learner.load(path)
    return learner.write_results(folder)


class _Run:
    """One call of `train`: the learner with its folder, its figures and its clock."""

    def __init__(
        self, learner: Learner, folder: Path, progress: Progress, time_limit: float | None
    ) -> None:
        self.learner, self.folder, self.progress = learner, folder, progress
        self.settings = learner.settings
        self.begun, self.time_limit = time.monotonic(), time_limit
        self.first = self.saved = 0
        self.note = ""

    def begin(self, resume: bool) -> int:
        """Take up the newest checkpoint; how many steps are made."""
        folder = self.folder / CHECKPOINTS
        path = checkpoint.newest(folder)
        if path is not None and not resume:
            raise SeedStoryError(
                f"{folder} has checkpoints of an earlier run. Go on from them with --resume, or "
                "choose another folder, or delete that one."
            )
        main = self.learner.accelerator.is_main_process
        if main:
            checkpoint.sweep(folder)
        self.first = self.saved = self.learner.load(path) if path is not None else 0
        self.metrics = Metrics(self.folder, self.first, self.settings.batch, writes=main)
        return self.first

    def stops(self, signals: StopSignals) -> bool:
        spent = time.monotonic() - self.begun
        asked = signals.asked or (self.time_limit is not None and spent > self.time_limit)
        return self.learner.anywhere(asked)

    def step(self, step: int) -> None:
        self.metrics.add(scalars_of(self.learner.step(step)))

    def report(self, step: int, due: bool) -> None:
        """Log, save if it is due, tell the progress; its exception saves before it goes on."""
        if due or step % LOG_EVERY == 0 or step == self.first + 1:
            line = self.metrics.flush(step, self.learner.lr(step - 1))
            self.note = f"loss {line['loss']:.4g}, {line['samples_per_second']:.1f} samples/s"
        if due:
            self.save(step)
        heard = False
        try:
            self.progress(step, self.settings.steps, f"{self.note}, {self._left(step)} left")
            heard = True
        finally:
            if not heard and step > self.saved:
                self.save(step)

    def save(self, step: int) -> None:
        self.metrics.flush(step, self.learner.lr(step - 1))
        self.learner.save(self.folder / CHECKPOINTS, step)
        self.saved = step
        figures = self.learner.check()
        if figures:
            self.metrics.write(step, figures)
        self.metrics.skip_time()

    def _left(self, step: int) -> str:
        spent = time.monotonic() - self.begun
        seconds = int(spent / max(1, step - self.first) * (self.settings.steps - step))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

"""A stage's module with its optimiser and averaged weights: one step, saving and loading."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.attention
from safetensors.torch import save_file
from torch import Tensor, autocast, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from ..errors import SeedStoryError
from ..files import atomic_path
from . import checkpoint
from .recipe import StageSettings
from .stage import Stage, generator_of

log = logging.getLogger(__name__)

# One whole copy on the CPU whatever the sharding, without the frozen parameters.
_TRAINED = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False
)
BETWEEN = " of "  # in the names of the optimiser's tensors
_SHARD = StateDictOptions(ignore_frozen_params=True, strict=False)
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def _attention(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Plain attention on the CPU: its fused kernel's backward is 1.5 times slower at our sizes."""
    if device.type != "cpu":
        return contextlib.nullcontext()
    return torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)


class Learner:
    """What changes during training.

    Args:
        cpu: stay on the CPU even where accelerate finds a GPU.

    Raises:
        SeedStoryError: the batch cannot be shared equally by the processes.
    """

    def __init__(self, stage: Stage, settings: StageSettings, cpu: bool = False) -> None:
        from accelerate import Accelerator

        self.stage, self.settings = stage, settings
        self.accelerator = Accelerator(cpu=cpu)
        self.parts = self.accelerator.num_processes * settings.accumulate
        if settings.batch % self.parts:
            raise SeedStoryError(
                f"A batch of {settings.batch} cannot be cut into {self.parts} equal parts (one for "
                "each process and accumulated part). Choose a batch that can."
            )
        sharded = self.accelerator.distributed_type.name == "FSDP"
        self._blank = copy.deepcopy(stage.module).to("meta") if sharded else None
        if settings.option("compile", False):
            _compile(stage.module, self.accelerator.device)
        self.model, self.optimizer = self.accelerator.prepare(
            stage.module, _optimizer(stage.module, settings, self.accelerator.device)
        )
        self.model.train()
        self.trained = [value for value in self.model.parameters() if value.requires_grad]
        self.ema = [value.detach().clone() for value in self.trained] if settings.ema else []
        self._autocast = settings.precision == "bf16"

    def lr(self, step: int) -> float:
        """The rate of a step: risen over the warm-up, then a cosine to ``min_lr_share``."""
        return lr_at(step, self.settings)

    def step(self, step: int) -> dict[str, Tensor]:
        """Make step ``step`` (from 0); its scalars, means over the accumulated parts."""
        settings, rank = self.settings, self.accelerator.process_index
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(step)
        seed = generator_of(settings.seed, "dropout", step, rank).initial_seed()
        torch.manual_seed(seed)
        sums: dict[str, Tensor] = {}
        for number in range(settings.accumulate):
            place = rank * settings.accumulate + number
            batch = self.stage.batch(step, place, self.parts)
            last = number == settings.accumulate - 1
            apart = contextlib.nullcontext() if last else self.accelerator.no_sync(self.model)
            with apart, _attention(self.accelerator.device):
                output = self._forward(batch)
                self.accelerator.backward(output["loss"] / settings.accumulate)
            for name, value in output.items():
                sums[name] = sums.get(name, 0) + value.detach() / settings.accumulate
        if settings.clip:
            self.accelerator.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            decay = min(settings.ema, (step + 1) / (step + 20))
            with torch.no_grad():
                cast(Any, torch)._foreach_lerp_(self.ema, self.trained, 1 - decay)
        return sums

    def _forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        device = self.accelerator.device
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        if not self._autocast:
            return self.model(batch)
        with autocast(device.type, torch.bfloat16):
            return self.model(batch)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights stand in the model; the trained ones come back after."""
        if not self.ema:
            yield
            return
        with torch.no_grad():
            kept = [value.detach().clone() for value in self.trained]
            _copy(self.trained, self.ema)
            try:
                yield
            finally:
                _copy(self.trained, kept)

    def check(self) -> dict[str, float]:
        """The stage's held-out figures with the averaged weights; none of sharded ones."""
        if self._blank is not None:
            return {}
        module = self.accelerator.unwrap_model(self.model)
        with self.averaged(), torch.no_grad():
            self.model.eval()
            try:
                return self.stage.check(module)
            finally:
                self.model.train()

    def save(self, folder: Path, step: int) -> None:
        """Write a checkpoint after ``step`` steps."""
        tensors: dict[str, Any] = {"model": get_model_state_dict(self.model, options=_TRAINED)}
        if self.ema:
            with self.averaged():
                averages: Any = get_model_state_dict(self.model, options=_TRAINED)
                tensors["ema"] = checkpoint.own_memory(averages)
            # The first dict may share memory with the weights that were exchanged and put back.
        moments: Any = get_optimizer_state_dict(self.model, self._inner, options=_TRAINED)
        tensors["optimizer"] = {
            f"{key}{BETWEEN}{name}": value
            for name, values in moments.get("state", {}).items()
            for key, value in values.items()
        }
        if self.accelerator.is_main_process:
            checkpoint.save(folder, step, tensors)
        self.accelerator.wait_for_everyone()

    def load(self, path: Path) -> int:
        """Take up a checkpoint; how many steps it has.

        Raises:
            SeedStoryError: it is of other sizes, or damaged.
        """
        step, tensors = checkpoint.read(path)
        try:
            if self.ema:
                self._set(tensors["ema"])
                with torch.no_grad():
                    _copy(self.ema, self.trained)
            self._set(tensors["model"])
            moments: dict[str, dict[str, Tensor]] = {}
            for full, value in tensors["optimizer"].items():
                key, name = full.split(BETWEEN)
                moments.setdefault(name, {})[key] = value
            own = get_optimizer_state_dict(self.model, self._inner, options=_SHARD)
            state = {"state": moments, "param_groups": own["param_groups"]}
            set_optimizer_state_dict(self.model, self._inner, state, options=_TRAINED)
        except (KeyError, RuntimeError, ValueError) as error:
            raise SeedStoryError(
                f"The checkpoint {path} does not fit the recipe ({error}). Use the recipe and the "
                "data it was made with, or another run folder."
            ) from error
        return step

    def _set(self, state: dict[str, Tensor]) -> None:
        wanted: Any = get_model_state_dict(self.model, options=_TRAINED)  # only on the first
        differs = {name: value.shape for name, value in wanted.items()} != {
            name: value.shape for name, value in state.items()
        }
        if self.anywhere(differs and self.accelerator.is_main_process):
            raise ValueError("other parameters or other sizes")
        set_model_state_dict(self.model, cast(Any, state), options=_TRAINED)

    @property
    def _inner(self) -> torch.optim.Optimizer:
        return self.optimizer.optimizer

    def write_results(self, folder: Path) -> list[Path]:
        """The stage's result files, from the averaged weights; [] but on the first process."""
        with self.averaged(), torch.no_grad():
            module = self._whole_module()
            if not self.accelerator.is_main_process:
                return []
            module.eval()
            paths = []
            for stem, state in self.stage.result(module).items():
                paths.append(folder / f"{stem}.safetensors")
                with atomic_path(paths[-1]) as beside:
                    save_file(checkpoint.own_memory(state), beside)
            module.train()
            return paths

    def _whole_module(self) -> nn.Module:
        """The module with all weights, gathered if they were sharded."""
        if self._blank is None:
            return self.accelerator.unwrap_model(self.model)
        state = get_model_state_dict(self.model, options=_WHOLE)
        if self.accelerator.is_main_process:
            self._blank.load_state_dict(state, assign=True)
        return self._blank

    def anywhere(self, asked: bool) -> bool:
        """Whether any process asks to stop."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(cast(Tensor, self.accelerator.reduce(flag, "sum")).item())


def lr_at(step: int, settings: StageSettings) -> float:
    """SPEC 6: linear from 0 over the warm-up, then lr * ((1 + m) + (1 - m) cos(pi p)) / 2."""
    if step < settings.warmup:
        return settings.lr * step / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    low = settings.min_lr_share
    return settings.lr * ((1 + low) + (1 - low) * math.cos(math.pi * min(1.0, share))) / 2


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    """One by one, since sharded tensors know no other way."""
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _optimizer(
    module: nn.Module, settings: StageSettings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW; biases, norms and other vectors are not decayed."""
    trained = [value for value in module.parameters() if value.requires_grad]
    groups = [
        {"params": [v for v in trained if v.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [v for v in trained if v.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=device.type in ("cpu", "cuda"),
    )


def _compile(module: nn.Module, device: torch.device) -> None:
    """torch.compile in place; where it cannot, training goes on without."""
    if device.type == "cpu" and not (shutil.which("c++") or shutil.which("g++")):
        log.warning("No C++ compiler was found: training goes on without torch.compile.")
        return
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True
    module.compile()

"""The toy stage on several processes, stopped and resumed: ``FOLDER single|copies|shards``.

Run by ``torch.distributed.run``. accelerate shards on GPUs only; ``shards`` tells it otherwise, so
that the same calls are made on the CPU.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import accelerate
from accelerate.state import AcceleratorState, DistributedType
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import nn

from seedstory_core.training.loop import train

from .toy_stage import SETTINGS, ToyStage


class ParallelStage(ToyStage):
    """Without what differs between processes by design: dropout and batch statistics."""

    def __init__(self) -> None:
        super().__init__(replace(SETTINGS, steps=12))
        self.module.net[2] = nn.Identity()
        self.module.norm = self.module.frozen = nn.Identity()  # type: ignore[assignment]


class ShardingOnCpu(accelerate.Accelerator):
    """Takes several CPU processes for FSDP's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="no_wrap", cpu_ram_efficient_loading=False
        )
        state = {"distributed_type": DistributedType.FSDP, "fsdp_plugin": plugin}
        AcceleratorState._shared_state.update(state)


def main(folder: Path, kind: str) -> None:
    if kind == "shards":
        accelerate.Accelerator = ShardingOnCpu  # type: ignore[misc]
    for limit in (7, None):
        stage = ParallelStage()
        train(stage, stage.settings, folder, max_steps=limit, cpu=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""A toy stage, also as a program that a test can kill: ``FOLDER``.

As a program it runs to its second checkpoint and then takes half a second a step, so that its end
is 14 s away when a test, however busy the machine, comes to stop it.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seedstory_core.ops import torch_ops
from seedstory_core.training.loop import train
from seedstory_core.training.recipe import StageSettings
from seedstory_core.training.stage import generator_of, part

SETTINGS = StageSettings(40, 8, lr=1e-2, warmup=4, ema=0.95, save_every=5)


class Toy(nn.Module):
    """Learns to negate; has dropout, a buffer and a frozen layer, as real stages do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            torch_ops.Linear(6, 16), nn.GELU(), nn.Dropout(0.1), torch_ops.Linear(16, 6)
        )
        self.norm = nn.BatchNorm1d(6, affine=False)
        self.frozen = torch_ops.Linear(2, 2).requires_grad_(False)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        said = self.net(batch["x"])
        self.norm(said.detach())
        loss = (said + batch["x"]).square().mean()
        return {"loss": loss, "size": said.norm()}


class ToyStage:
    name = "toy"

    def __init__(self, settings: StageSettings = SETTINGS, pause: float = 0.0) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.module, self.pause = settings, Toy(), pause
        self.pause_from = 0

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        if step >= self.pause_from:
            time.sleep(self.pause)
        generator = generator_of(self.settings.seed, step)
        return {"x": part(torch.randn(self.settings.batch, 6, generator=generator), rank, size)}

    def check(self, module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Toy) and not module.training
        return {"held_out": float((module.net(torch.ones(1, 6)) + 1).square().mean())}

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        return {"toy": module.state_dict()}


if __name__ == "__main__":
    stage = ToyStage(pause=0.5)
    stage.pause_from = 2 * SETTINGS.save_every + 2  # whatever is read ahead
    train(stage, SETTINGS, Path(sys.argv[1]), cpu=True)

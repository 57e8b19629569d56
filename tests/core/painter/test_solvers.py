"""The painter's other solvers end where Euler ends, and say which they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import tiny_painter as tiny

from seedstory_core.errors import SeedStoryError
from seedstory_core.painter import Painter
from seedstory_core.painter.solvers import SOLVERS
from seedstory_core.types import Cond, Conditioning, PaintSettings

pytest.importorskip("diffusers", reason="diffusers is not installed")

MANY, FEW = 20, 8


def painter(**scheduler: object) -> Painter:
    unet, vae = tiny.make_models()
    for parameter in unet.parameters():
        parameter.mul_(0.5)  # tame, so that steps of any length meet
    # leading steps begin at another noise level for every number of them
    config = {**tiny.SCHEDULER, "timestep_spacing": "trailing", **scheduler}
    return Painter(unet, vae, config, (16, 16), torch.device("cpu"), torch.float32)


def steer() -> Conditioning:
    draw = torch.Generator().manual_seed(7)
    towards, away = (
        Cond(torch.randn(1, 8, 48, generator=draw), torch.randn(1, tiny.POOLED, generator=draw))
        for _ in range(2)
    )
    return Conditioning((towards,), (away,))


@pytest.mark.parametrize(
    "scheduler",
    [
        {},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    ],
    ids=["epsilon", "zero_snr"],
)
@pytest.mark.parametrize("solver", [name for name in SOLVERS if name != "euler"])
def test_a_solver_goes_where_euler_goes(solver: str, scheduler: dict[str, object]) -> None:
    made = painter(**scheduler)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def latents(steps: int, name: str) -> torch.Tensor:
        return made.sample(steer(), noise, PaintSettings(steps, 1.5, solver=name))

    true = latents(3 * MANY, "euler")
    far = (latents(MANY, solver) - true).abs().mean()
    assert far < 0.05 * true.abs().mean(), float(far / true.abs().mean())


def test_an_unknown_solver_is_refused() -> None:
    settings = PaintSettings(steps=2, solver="magic")
    with pytest.raises(SeedStoryError, match="euler, dpmpp_2m, uni_pc, got 'magic'"):
        painter().sample(steer(), torch.zeros(1, 4, 8, 8), settings)


def test_a_picture_says_how_it_was_painted() -> None:
    settings = PaintSettings(steps=FEW, solver="dpmpp_2m")
    said = painter().describe(settings, 0)
    assert said["sampler"] == "diffusers DPMSolverMultistepScheduler" and said["steps"] == FEW
    assert "Euler" in str(painter().describe(replace(settings, solver="euler"), 0)["sampler"])

"""The torch-only schedule equals the reference's goldens and diffusers' own scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seedstory_core.errors import SeedStoryError
from seedstory_core.schedule import SDXL, euler_sigmas, euler_timesteps, init_noise_sigma

GOLDEN = Path(__file__).parents[1] / "golden" / "seed_story" / "detokenizer_io.safetensors"
ZERO_SNR = {
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
    "prediction_type": "v_prediction",
}


@pytest.mark.parametrize("steps", [3, 50])
def test_equals_the_goldens(steps: int) -> None:
    golden = load_file(GOLDEN)
    torch.testing.assert_close(euler_sigmas(steps), golden[f"euler{steps}_sigmas"])
    torch.testing.assert_close(euler_timesteps(steps), golden[f"euler{steps}_timesteps"])


def test_initial_noise_equals_the_golden() -> None:
    expected = load_file(GOLDEN)["euler50_init_noise_sigma"].item()
    assert init_noise_sigma(euler_sigmas(50)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 7, 30, 1000])
@pytest.mark.parametrize("changes", [{}, {"timestep_spacing": "trailing"}, ZERO_SNR])
def test_equals_diffusers(steps: int, changes: dict[str, Any]) -> None:
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    config = {**SDXL, **changes}
    theirs = diffusers.EulerDiscreteScheduler(**config)
    theirs.set_timesteps(steps)
    sigmas = euler_sigmas(steps, config)
    torch.testing.assert_close(sigmas, theirs.sigmas)
    torch.testing.assert_close(euler_timesteps(steps, config), theirs.timesteps)
    assert init_noise_sigma(sigmas, config) == pytest.approx(float(theirs.init_noise_sigma))


def test_sigmas_fall_to_zero() -> None:
    sigmas = euler_sigmas(20)
    assert sigmas[-1] == 0 and (sigmas.diff() < 0).all()


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_step_counts_are_refused(steps: int) -> None:
    with pytest.raises(SeedStoryError, match="1 to 1000 steps"):
        euler_sigmas(steps)


@pytest.mark.parametrize("changes", [{"beta_schedule": "cosine"}, {"timestep_spacing": "odd"}])
def test_unknown_settings_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(SeedStoryError, match="is not known"):
        euler_sigmas(5, changes)

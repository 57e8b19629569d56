"""The noise schedule in training, against diffusers'."""

import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.training.diffusion import noised, sample, signal_shares

ZERO_SNR = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}


def test_shares_and_targets_are_those_of_diffusers() -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler.from_config({**ZERO_SNR, "clip_sample": False})
    shares = signal_shares(ZERO_SNR)
    torch.testing.assert_close(shares, theirs.alphas_cumprod, atol=2e-6, rtol=1e-4)
    assert shares[-1] == 0 and shares[0] > 0.99
    latents, noise = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    times = torch.tensor([0, 300, 700, 999])
    noisy, v = noised(latents, noise, shares[times])
    torch.testing.assert_close(noisy, theirs.add_noise(latents, noise, times), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(v, theirs.get_velocity(latents, noise, times), atol=1e-4, rtol=1e-4)
    assert noisy[-1].equal(noise[-1]) and v[-1].equal(-latents[-1])


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_a_perfect_prediction_gives_the_picture(steps: int) -> None:
    shares = signal_shares(ZERO_SNR)
    clean, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)

    def predict(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        share = shares[times].view(-1, 1, 1, 1)
        rest = (noisy - share.sqrt() * clean) / (1 - share).sqrt()
        return share.sqrt() * rest - (1 - share).sqrt() * clean

    torch.testing.assert_close(sample(predict, noise, steps, ZERO_SNR), clean)


def test_noise_prediction_is_refused() -> None:
    with pytest.raises(SeedStoryError, match="v_prediction"):
        signal_shares({**ZERO_SNR, "prediction_type": "epsilon"})

"""The noise schedule in training, and a short sampler for held-out figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from einops import rearrange
from torch import Tensor

from ..errors import SeedStoryError
from ..schedule import SDXL, euler_sigmas, euler_timesteps

#: ``predict(noisy [B, C, h, w], times [B]) -> v [B, C, h, w]``
Predict = Callable[[Tensor, Tensor], Tensor]


def signal_shares(scheduler: Mapping[str, Any]) -> Tensor:
    """The share of the picture's variance in the noisy one at every training timestep, [T] fp32.

    With zero terminal SNR the last one is exactly 0 (samplers put a tiny number there, since their
    noise level would be infinite).
    """
    config = {**SDXL, **scheduler}
    if config["prediction_type"] != "v_prediction":
        raise SeedStoryError(
            f"The de-tokenizer is trained for v_prediction, the recipe's scheduler says "
            f"{config['prediction_type']!r:.80}. Change prediction_type."
        )
    count = int(config["num_train_timesteps"])
    sigmas = euler_sigmas(count, {**config, "timestep_spacing": "trailing"})[:-1].flip(0)
    shares = 1 / (sigmas.double().square() + 1)
    if config["rescale_betas_zero_snr"]:
        shares[-1] = 0.0
    return shares.float()


def noised(latents: Tensor, noise: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Latents and noise [B, C, h, w] at ``shares`` [B] -> noisy latents and the v to predict."""
    signal = rearrange(shares.sqrt(), "b -> b 1 1 1")
    rest = rearrange((1 - shares).sqrt(), "b -> b 1 1 1")
    return signal * latents + rest * noise, signal * noise - rest * latents


def sample(predict: Predict, noise: Tensor, steps: int, scheduler: Mapping[str, Any]) -> Tensor:
    """Unit noise -> latents in ``steps`` deterministic steps (DDIM), beginning with pure noise."""
    shares = signal_shares(scheduler).to(noise.device)
    times = euler_timesteps(steps, {**scheduler, "timestep_spacing": "trailing"}).long()
    x = noise
    for at, time in enumerate(times):
        share = shares[time]
        v = predict(x, time.expand(len(x)).to(x.device))
        clean = share.sqrt() * x - (1 - share).sqrt() * v
        left = (1 - share).sqrt() * x + share.sqrt() * v
        if at + 1 == len(times):
            return clean
        following = shares[times[at + 1]]
        x = following.sqrt() * clean + (1 - following).sqrt() * left
    return x

"""A stranger's configurations of diffusers' models: every number within bounds, before any use.

What is wrong otherwise, the models' own constructors say (`building.within`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SeedStoryError
from ..strict_json import number, shown, whole

MAX_SETTINGS = 200  # of one model
MAX_LIST = 64  # levels of a UNet, and the layers of each, where they are listed
MAX_NUMBER = 1 << 20
MAX_LAYERS = 256  # that one number may ask for
MAX_WORDS = 200  # letters of a setting
#: Settings that are one whole number wherever they are given.
WHOLE = (
    "in_channels", "out_channels", "latent_channels", "cross_attention_dim",
    "projection_class_embeddings_input_dim", "addition_time_embed_dim",
)  # fmt: skip
#: Inclusive limits of a scheduler's numbers.
STEPS = (1, 100_000)
SCHEDULE: Mapping[str, tuple[float, float]] = {
    "beta_start": (1e-8, 0.999),
    "beta_end": (1e-8, 0.999),
}


#: What a scheduler's words may be.
WORDS: Mapping[str, tuple[str, ...]] = {
    "beta_schedule": ("scaled_linear", "linear"),
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
}


def check_config(config: object, what: str) -> Mapping[str, Any]:
    """``config`` if it can be that of a UNet or an autoencoder.

    Raises:
        SeedStoryError: it is no object, or a setting is out of bounds; the setting is named.
    """
    if not isinstance(config, Mapping) or len(config) > MAX_SETTINGS:
        raise SeedStoryError(f"{what} must be an object of settings, got {shown(config)}.")
    if "kind" in config:
        raise SeedStoryError(
            f"{what}: the kind {shown(config['kind'])} is not known. Update the pack."
        )
    for key, value in config.items():
        _check(value, f"{what}: {key:.80}", MAX_LAYERS if "layers" in key else MAX_NUMBER)
        if key == "scaling_factor":
            number(value, f"{what}: {key}", 1e-6, 1e6)
        if key in WHOLE and value is not None:
            whole(value, f"{what}: {key}", 1, MAX_NUMBER)
    channels = config.get("block_out_channels", (1,))
    if not isinstance(channels, list | tuple) or not channels:
        raise SeedStoryError(
            f"{what}: block_out_channels must be a list of channels, got {shown(channels)}."
        )
    for one in channels:
        whole(one, f"{what}: block_out_channels", 1, MAX_NUMBER)
    return config


def _check(value: object, what: str, most: int, depth: int = 0) -> None:
    if isinstance(value, list | tuple) and depth < 3:
        if len(value) > MAX_LIST:
            raise SeedStoryError(f"{what} must have at most {MAX_LIST} entries, got {len(value)}.")
        for one in value:
            _check(one, what, most, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number(value, what, -1, most)
    elif not (value is None or isinstance(value, bool)):
        if not isinstance(value, str) or len(value) > MAX_WORDS:
            raise SeedStoryError(f"{what} cannot be {shown(value)}.")


def check_scheduler(config: object, what: str) -> Mapping[str, Any]:
    """``config`` if it can be a noise schedule's, in diffusers' keys.

    Raises:
        SeedStoryError: it is no object, or a setting is out of bounds; the setting is named.
    """
    if not isinstance(config, Mapping) or len(config) > MAX_SETTINGS:
        raise SeedStoryError(f"{what} must be an object of settings, got {shown(config)}.")
    for key, value in config.items():
        name = f"{what}: {key:.80}"
        if key in SCHEDULE:
            number(value, name, *SCHEDULE[key])
        elif key == "num_train_timesteps":
            whole(value, name, *STEPS)
        elif key == "steps_offset":
            whole(value, name, 0, STEPS[1])
        elif key in WORDS:
            if value not in WORDS[key]:
                raise SeedStoryError(
                    f"{name} must be one of {', '.join(WORDS[key])}, got {shown(value)}."
                )
        elif isinstance(value, list | tuple | Mapping):
            raise SeedStoryError(f"{name} cannot be {shown(value)}.")
        else:
            _check(value, name, MAX_NUMBER)
    return config

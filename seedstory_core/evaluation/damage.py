"""Worlds damaged on purpose: measures that cannot tell them from the good one are worth nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import SeedStoryError
from ..files import atomic_write_json, sha256_of
from ..picture_world.looks import LOOKS
from ..world import World, load_world

State = dict[str, Tensor]
Change = Callable[[State, torch.Generator], State]
NOISE = 0.5  # of a weight's own standard deviation


def _noisy(part: str, strength: float = NOISE) -> Change:
    """Noise on every matrix whose name has ``part`` in it."""

    def change(state: State, generator: torch.Generator) -> State:
        return {
            name: _shaken(value, strength, generator)
            if part in name and value.ndim > 1 and value.is_floating_point()
            else value
            for name, value in state.items()
        }

    return change


def _shaken(value: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(value.shape, generator=generator) * value.float().std() * strength
    return (value.float() + noise).to(value.dtype)


def _random(state: State, generator: torch.Generator) -> State:
    """Fresh weights: matrices of unit gain, norms of one, biases of nothing."""
    fresh = {}
    for name, value in state.items():
        if name.startswith("negative.") or not value.is_floating_point():
            fresh[name] = value
        elif value.ndim > 1:
            gain = 1 / value[0].numel() ** 0.5
            fresh[name] = (torch.randn(value.shape, generator=generator) * gain).to(value.dtype)
        else:
            fresh[name] = torch.full_like(value, 1.0 if name.endswith("weight") else 0.0)
    return fresh


#: Damages to the weights: {name: {role of a world's file: what happens to its tensors}}.
WEIGHTS: Mapping[str, Mapping[str, Change]] = {
    "noisy_detokenizer": {"detokenizer": _noisy("resampler.", 1.0)},
    "noisy_llm": {"llm": _noisy("layers.")},
    "noisy_unet": {"unet": _noisy("attn2.", 1.0)},
    "noisy_vae": {"vae": _noisy("decoder.")},
    "noisy_picture_rows": {"llm": _noisy("output_resampler.", 1.0)},
}
#: A damage that needs no noise: all accessories change their colours.
SWAPPED_COLOURS = "swapped_colours"
#: Not a damage but a floor: what paints has learnt nothing.
UNTRAINED: Mapping[str, Change] = {"detokenizer": _random, "unet": _random}


def damages_of(world: World) -> tuple[str, ...]:
    """The damages that can be done to ``world``: it may bring no painter, or no palette."""
    palette = ((world.painter or {}).get("vae") or {}).get("palette")
    own = [name for name, changes in WEIGHTS.items() if set(changes) <= set(world.files)]
    return (*own, *([SWAPPED_COLOURS] if palette else []))


def damaged(world: World, name: str, folder: Path, seed: int = 0) -> World:
    """A copy of ``world`` in ``folder`` with one of `damages_of`, and an identity of its own.

    Raises:
        SeedStoryError: no such damage, or the world has not what it would damage.
    """
    if name not in damages_of(world):
        raise SeedStoryError(
            f"World {world.name!r} can be damaged by {', '.join(damages_of(world))}; {name!r} is "
            "not among these."
        )
    if name == SWAPPED_COLOURS:
        return _copy(world, folder, {}, seed, _swap_colours)
    return _copy(world, folder, WEIGHTS[name], seed)


def untrained(world: World, folder: Path, seed: int = 0) -> World:
    """A copy of ``world`` whose painter has random weights."""
    return _copy(world, folder, UNTRAINED, seed)


def _copy(
    world: World,
    folder: Path,
    changes: Mapping[str, Change],
    seed: int,
    manifest_change: Callable[[dict[str, Any]], None] | None = None,
) -> World:
    lacking = [role for role in changes if role not in world.files]
    if lacking:
        raise SeedStoryError(f"World {world.name!r} has no {', '.join(lacking)} file to change.")
    shutil.copytree(world.root, folder, dirs_exist_ok=True)
    manifest = folder / "world.json"
    data = json.loads(manifest.read_text(encoding="utf-8"))
    for role, change in changes.items():
        path = folder / data["files"][role]["path"]
        save_file(change(load_file(path), torch.Generator().manual_seed(seed)), path)
        data["files"][role] |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    if manifest_change is not None:
        manifest_change(data)
    atomic_write_json(manifest, data)
    return load_world(folder)


def _swap_colours(data: dict[str, Any]) -> None:
    """Turn the figures' colours round by one in the VAE's palette, as a wrong decoder would."""
    from ..picture_world.palette import COLOUR, PALETTE

    palette = [tuple(colour) for colour in data["painter"]["vae"]["palette"]]
    furs = list(dict.fromkeys(look.fur for look in LOOKS.values()))
    colours = [tuple(int(v) for v in PALETTE[COLOUR[name]]) for name in furs]
    places = [palette.index(colour) for colour in colours if colour in palette]
    turned = [palette[place] for place in places]
    for place, colour in zip(places, turned[1:] + turned[:1], strict=True):
        palette[place] = colour
    data["painter"]["vae"]["palette"] = [list(colour) for colour in palette]

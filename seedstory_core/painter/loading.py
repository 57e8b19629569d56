"""Gets a `Painter` together: the world's own models, or an SDXL base and the world's changes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..building import LARGEST, Room, on_meta, within
from ..errors import SeedStoryError
from ..parts import MAX_NAMED_KEYS, load_strict
from ..schedule import SDXL as SDXL_SCHEDULER
from ..strict_json import read_json, shown
from ..weights.pickles import can_read_pickles
from ..weights.reader import open_checkpoint, read_tensors
from ..weights.sdxl import UNET_CONFIG, Base
from ..world import World
from .configs import check_config, check_scheduler
from .painting import Painter
from .palette_vae import KIND, PaletteVae, PaletteVaeConfig

MAX_CONFIG = 1 << 20  # bytes of a model's config.json
#: SDXL base 1.0's VAE, for checkpoints in one file (which carry no config).
SDXL_VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}


def open_painter(
    world: World,
    base: Path | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    patch: Mapping[str, Tensor] | None = None,
) -> Painter:
    """The painter of a world.

    Args:
        base: an SDXL base, a diffusers folder or one checkpoint file, for worlds without a UNet or
            VAE of their own.
        patch: `Engine.unet_patch`: tensors that replace those of the UNet.

    Raises:
        SeedStoryError: a base is needed and not given, or does not fit the world.
    """
    own = world.painter or {}
    unet = _own(world, "unet", own) if "unet" in world.files else None
    vae = _own(world, "vae", own) if "vae" in world.files and own.get("vae") else None
    if unet is None or vae is None:
        if base is None:
            raise SeedStoryError(
                f"World {world.name!r} brings no {'UNet' if unet is None else 'VAE'} of its own; "
                "it paints with the SDXL base. Give that with --base (a diffusers folder or a "
                ".safetensors file), or tell without painting: --no-paint."
            )
        unet = _from_base(base, "unet", UNET_CONFIG) if unet is None else unet
        vae = _from_base(base, "vae", SDXL_VAE) if vae is None else vae
    overlay(unet, patch or {}, str(base or world.root))
    device = device or torch.device("cpu")
    upcast = isinstance(vae, PaletteVae)  # small, and halves of numbers flip close decisions
    upcast = upcast or (bool(vae.config.get("force_upcast")) and dtype == torch.float16)
    return Painter(
        unet=_settle(unet, device, dtype),
        vae=_settle(vae, device, torch.float32 if upcast else dtype),
        scheduler={**SDXL_SCHEDULER, **check_scheduler(own.get("scheduler") or {}, "scheduler")},
        size=world.panel_size,
        device=device,
        dtype=dtype,
        upcast=upcast,
    )


def _settle(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Ready to run; by plain torch, since the ``to`` of diffusers warns without need."""
    return nn.Module.to(model.eval().requires_grad_(False), device, dtype)


def overlay(unet: nn.Module, patch: Mapping[str, Tensor], source: str) -> None:
    """Put the tensors of ``patch`` in place of the UNet's own; all of them must fit."""
    own = unet.state_dict()
    wrong = [key for key, value in patch.items() if key not in own or own[key].shape != value.shape]
    if wrong:
        raise SeedStoryError(
            f"The world's changes do not fit the UNet of {source}: {len(wrong)} of {len(patch)} "
            f"tensors, {', '.join(wrong[:MAX_NAMED_KEYS])}. The world was made for SDXL base 1.0; "
            "give that one, not a refiner or another model."
        )
    unet.load_state_dict({**own, **patch}, strict=True, assign=True)


def _classes() -> Mapping[str, Any]:
    diffusers: Any = import_module("diffusers")  # its lazy exports are opaque to type checkers
    return {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}


def _build(role: str, config: Mapping[str, Any]) -> Any:
    """The model that ``config`` describes; a VAE of no ``kind`` is an AutoencoderKL."""
    if role == "vae" and config.get("kind") == KIND:
        return PaletteVae(PaletteVaeConfig.from_json(config))
    return _classes()[role].from_config(dict(config))


def _own(world: World, role: str, painter: Mapping[str, Any]) -> Any:
    path = world.file(role)
    state = read_tensors(path)
    what = f"World {world.name!r}: its painter's {role} settings"
    config = painter.get(role)
    if not isinstance(config, Mapping):
        raise SeedStoryError(f"{what} are {shown(config)}; expected an object.")
    if role == "unet" or config.get("kind") != KIND:
        check_config(config, what)
    with on_meta(Room.of(state), f"{what} and {path}"):
        model = _build(role, config)
    load_strict(model, state, str(path))
    return model


def _from_base(base: Path, role: str, config: Mapping[str, Any]) -> Any:
    kind = _classes()[role]
    try:
        if base.is_dir():
            check_config(read_json(base / role / "config.json", MAX_CONFIG), f"{base}: its {role}")
            safe = None if can_read_pickles(str(torch.__version__)) else True
            with within(LARGEST, f"{base}/{role}"):
                return kind.from_pretrained(
                    base, subfolder=role, local_files_only=True, use_safetensors=safe
                )
        if base.is_file():
            return _FROM_FILE[role](kind, base, config)
    except SeedStoryError as error:
        raise SeedStoryError(
            f"The {role} of {base} cannot be loaded ({error}). Expected SDXL base 1.0, as a "
            "diffusers folder or one .safetensors file."
        ) from error
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise SeedStoryError(
            f"The {role} of {base} cannot be loaded ({error}). Expected SDXL base 1.0, as a "
            "diffusers folder or one .safetensors file."
        ) from error
    raise SeedStoryError(f"There is no SDXL base at {base}. Check the path given with --base.")


def _unet_from_file(kind: Any, path: Path, config: Mapping[str, Any]) -> Any:
    """The UNet in a checkpoint of either naming, read tensor by tensor."""
    base = Base(open_checkpoint(path))
    with torch.device("meta"):
        unet = kind.from_config(dict(config))
    names = [name for name in unet.state_dict() if base.shape(name) is not None]
    load_strict(unet, {name: base.tensor(name) for name in names}, str(path))
    return unet


def _vae_from_file(kind: Any, path: Path, config: Mapping[str, Any]) -> Any:
    """The VAE in a checkpoint, converted by diffusers with our config (it would download one)."""
    if path.suffix != ".safetensors":
        raise SeedStoryError(f"{path} is not a .safetensors file; others are not unpickled here.")
    if not any(key.endswith("decoder.conv_in.weight") for key in open_checkpoint(path).keys()):
        raise SeedStoryError(f"{path} holds no VAE. Give a whole SDXL base checkpoint.")
    with tempfile.TemporaryDirectory() as folder:
        named = {"_class_name": kind.__name__, **config}
        Path(folder, "config.json").write_text(json.dumps(named), encoding="utf-8", newline="\n")
        return kind.from_single_file(str(path), config=folder, local_files_only=True)


_FROM_FILE: Mapping[str, Callable[[Any, Path, Mapping[str, Any]], Any]] = {
    "unet": _unet_from_file,
    "vae": _vae_from_file,
}

"""Where the command line looks for worlds, and what it computes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ..errors import SeedStoryError
from ..weights.places import home, models_folder, world_roots
from ..world import World, find_worlds, load_world

PICTURE_WORLD, BABBLE = "picture-world", "babble"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def open_world(name: str) -> World:
    """A world by its bare name or its path; ``babble`` is made on the spot.

    Raises:
        SeedStoryError: there is no such world; the message lists those that were found.
    """
    path = Path(name)
    if path.is_dir() and (path / "world.json").is_file():
        return load_world(path.resolve())
    if path.parent != Path(".") or path.is_absolute():
        return load_world(path)
    found = find_worlds(_roots())
    if name in found:
        return load_world(found[name])
    if name == BABBLE:
        return _babble()
    raise SeedStoryError(
        f"There is no world {name!r}. Found: {', '.join(sorted({*found, BABBLE}))}. Worlds are "
        "searched in ./worlds, in $SEEDSTORY_MODELS, in ComfyUI's models/seedstory and in the "
        "pack's worlds folder; a path works too."
    )


def _babble() -> World:
    """The untrained world, made where the user's caches are."""
    from ..babble import cached_world

    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    help = f"Set {variable} to a folder that can be written to, or name another --world."
    cache = _cache()
    if cache is None:
        raise SeedStoryError(
            f"The world {BABBLE!r} is made in your cache folder on first use, but the system does "
            f"not know your home folder. {help}"
        )
    folder = cache / "worlds" / BABBLE
    try:
        return cached_world(folder)
    except (OSError, SeedStoryError) as error:
        raise SeedStoryError(
            f"The world {BABBLE!r} is made on first use, but not in {folder}: {error} {help}"
        ) from error


def _roots() -> list[Path]:
    named = [
        Path(part) for part in os.environ.get("SEEDSTORY_MODELS", "").split(os.pathsep) if part
    ]
    beside = [root / "seedstory" for root in named]
    return [Path("worlds"), *named, *beside, *world_roots(models_folder())]


def _cache() -> Path | None:
    """The user's cache folder, by each system's custom; None without a home."""
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "seedstory"
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "seedstory"
    own = home()
    if own is None:
        return None
    caches = own / "Library" / "Caches" if sys.platform == "darwin" else own / ".cache"
    return caches / "seedstory"


def device_of(name: str) -> torch.device:
    """``auto``, or a torch device by name."""
    if name != "auto":
        try:
            device = torch.device(name)
            torch.empty(1, device=device)
            return device
        except (RuntimeError, AssertionError) as error:
            raise SeedStoryError(
                f"The device {name!r} cannot be used here ({str(error).splitlines()[0]}). "
                "Try --device cpu."
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """``auto``, or a precision by name; the CPU computes in fp32, others in the files' fp16."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return DTYPES[name]

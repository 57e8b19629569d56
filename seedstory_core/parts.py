"""Model parts and who loads them.

An engine says how a part is built and where its weights lie (`PartSpec`); a host decides on which
device and in which precision it lives and when it leaves (`Part`). The library's own host is
`LocalPart`; ComfyUI's is in the node layer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from .errors import SeedStoryError
from .strict_json import shown

M = TypeVar("M", bound=nn.Module)
M_co = TypeVar("M_co", bound=nn.Module, covariant=True)

MAX_NAMED_KEYS = 10


class Part(Protocol[M_co]):
    """A model part that its host loads, moves and frees.

    Attributes:
        device: where `acquire` puts the part, and where inputs must be.
        dtype: the dtype inputs are given in and outputs come in.
    """

    device: torch.device
    dtype: torch.dtype

    @property
    def version(self) -> Hashable:
        """Another one after `acquire` means other weights, as when a LoRA was patched on: what was
        computed with the old ones must not be used on."""
        ...

    def acquire(self, working_bytes: int = 0) -> M_co:
        """The part, loaded and ready to run; it will need ``working_bytes`` more while it runs."""
        ...


@dataclass(frozen=True)
class PartSpec(Generic[M]):
    """How one part of an engine comes to life.

    Attributes:
        name: ``vision``, ``llm``, ``detokenizer``...
        build: ``ops -> module`` (see `ops.py` for what ``ops`` must offer); called on any device.
        weights: the safetensors file with exactly the module's state dict.
        prefix: only the file's keys under this prefix belong to the part; it is cut off.
        quantisable: patterns (`fnmatch`) of the weights that bear 8 and 4 bits; none: no part of it
            is ever quantised.
    """

    name: str
    build: Callable[[Any], M]
    weights: Path
    prefix: str = ""
    quantisable: tuple[str, ...] = ()


def some(names: Sequence[str], most: int = MAX_NAMED_KEYS) -> str:
    """The first of ``names`` for a message, none of them endless."""
    listed = ", ".join(name if len(name) <= 160 else f"{name[:160]}..." for name in names[:most])
    return f"{listed} ..." if len(names) > most else listed


def check_fit(
    own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], source: str
) -> None:
    """Refuse missing, unknown and misshapen keys of ``state`` by name; ``own`` is what is expected.

    Only names, shapes and types are read, so both may be on the meta device.
    """
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own]
    misshapen = [
        f"{key} {shown(tuple(state[key].shape))} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    whole = [
        f"{key} {state[key].dtype}"
        for key in own
        if key in state
        if own[key].is_floating_point() and not state[key].is_floating_point()
    ]
    for problem, keys in (
        ("misses", missing),
        ("has unknown", unknown),
        ("has wrongly shaped", misshapen),
        ("has no floating-point numbers as", whole),
    ):
        if keys:
            raise SeedStoryError(
                f"{source} {problem} weights: {some(keys)} ({len(keys)} in all). The file "
                "does not fit this world's sizes: convert the official files again, or get the "
                "world anew."
            )


def load_strict(module: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Assign ``state`` to ``module`` after `check_fit`."""
    check_fit(module.state_dict(), state, source)
    module.load_state_dict(dict(state), strict=True, assign=True)

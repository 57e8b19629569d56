"""The library's own host: parts are loaded by memory map and stay until their owner is dropped."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from .building import Room, on_meta
from .engine import Host
from .errors import SeedStoryError
from .ops import cast_ops, torch_ops
from .parts import Part, PartSpec, check_fit, load_strict
from .quantised import Format, put_in, quantise
from .weights.reader import read_tensors

M = TypeVar("M", bound=nn.Module)


class LocalPart(Generic[M]):
    """A part on one device, loaded at the first `acquire` and kept.

    Args:
        spec: how it is built and where its weights are.
        device: where it computes.
        dtype: what it computes in.
        cast: leave the weights mapped in their file's dtype and cast each at use. A model larger
            than memory runs so, slowly; otherwise it is converted once, into memory of its own.
        form: how to quantise what bears it (`PartSpec.quantisable`); None: not at all.
    """

    def __init__(
        self,
        spec: PartSpec[M],
        device: torch.device,
        dtype: torch.dtype,
        cast: bool = False,
        form: Format | None = None,
    ) -> None:
        if cast and device.type != "cpu":
            raise SeedStoryError(
                f"Mapped weights (cast=True) compute on the CPU only, not on {device}. "
                "Load without cast there."
            )
        self.spec, self.device, self.dtype, self._cast = spec, device, dtype, cast
        self._form = form if spec.quantisable else None
        self._module: M | None = None

    @property
    def version(self) -> Hashable:
        """One for ever: its weights are those of the file."""
        return None

    def acquire(self, working_bytes: int = 0) -> M:
        """The loaded module.

        Raises:
            SeedStoryError: the file is damaged or does not fit the part.
        """
        if self._module is None:
            self._module = self._load()
        return self._module

    def release(self) -> None:
        """Drop the weights; the next `acquire` loads them again."""
        self._module = None

    def _load(self) -> M:
        ops: Any = cast_ops if self._cast else torch_ops
        state = read_part(self.spec)
        with on_meta(Room.of(state), str(self.spec.weights)):
            module = self.spec.build(ops)
        if self._form is not None:
            check_fit(module.state_dict(), state, str(self.spec.weights))
            state = quantise(state, self.spec.quantisable, self._form, self.device)
            state = put_in(module, state, self._form)
        load_strict(module, state, str(self.spec.weights))
        module.eval().requires_grad_(False)
        return module if self._cast else module.to(self.device, self.dtype)


def read_part(spec: PartSpec[Any]) -> dict[str, Tensor]:
    """The part's tensors, mapped from its file, with the prefix cut off.

    Raises:
        SeedStoryError: the file is damaged, or no safetensors file.
    """
    return read_tensors(spec.weights, spec.prefix)


def local_host(
    device: torch.device, dtype: torch.dtype, cast: bool = False, form: Format | None = None
) -> Host:
    """A host whose parts are `LocalPart`."""

    def host(spec: PartSpec[Any]) -> Part[Any]:
        return LocalPart(spec, device, dtype, cast, form)

    return host


class HeldPart(Generic[M]):
    """A part whose module is built and loaded already."""

    def __init__(self, module: M, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype, self._module = device, dtype, module

    @property
    def version(self) -> Hashable:
        """One for ever: nothing changes the module."""
        return None

    def acquire(self, working_bytes: int = 0) -> M:
        """The module."""
        return self._module

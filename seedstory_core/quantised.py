"""Linear layers with 8-bit and 4-bit weights, by ComfyUI's own library (comfy-kitchen).

A part's 16-bit file is quantised while it is loaded, one tensor after the other, into the tensors
that ComfyUI's quantised checkpoints have (comfy/ops.py, `mixed_precision_ops`)::

    L.weight        int8 (two 4-bit values a byte)     L.comfy_quant   uint8, JSON: format, settings
    L.weight_*      scales, and the 4-bit codebook

ComfyUI's layers load them as they are; `QuantisedLinear` computes the same without ComfyUI. Both
multiply in int8: the rows that come in are quantised too, after a rotation that spreads outliers
over the channels, and the weights were rotated alike. Where a processor cannot sum int8 products
(`exact_on`), `QuantisedLinear` multiplies weights that it turns back into the rows' kind of number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import SeedStoryError

LIBRARY = "comfy-kitchen"
CUDA_MAJOR = 13  # the kernels are built for it; ComfyUI turns them off below (comfy/quant_ops.py)
ROTATIONS = (256, 64, 16)  # sides of the Hadamard matrices; the kernels are fastest with 256
CONFIG = "comfy_quant"


class Format(Protocol):
    """How a weight is stored and multiplied.

    Attributes:
        name: in ComfyUI's ``QUANT_ALGOS``.
        bits: of a weight, scales aside.
    """

    name: ClassVar[str]
    bits: ClassVar[int]

    def settings(self, width: int) -> dict[str, Any]:
        """ComfyUI's settings for a weight that reads ``width`` channels."""
        ...

    def tensors(self, weight: Tensor) -> dict[str, Tensor]:
        """A weight [O, I] -> its parts by the endings of their names; the values end in ""."""
        ...

    def linear(self, x: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        """[..., I] -> [..., O] in the dtype of ``x``."""
        ...

    def restored(self, parts: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        """The weight [O, I] again, but for what its bits lose."""
        ...


@dataclass(frozen=True)
class Int8:
    """A weight in 8 bits with one scale an output channel: half the memory of 16 bits."""

    name: ClassVar[str] = "int8_tensorwise"
    bits: ClassVar[int] = 8

    def settings(self, width: int) -> dict[str, Any]:
        side = rotation(width)
        return {"convrot": True, "convrot_groupsize": side} if side else {}

    def tensors(self, weight: Tensor) -> dict[str, Tensor]:
        layout = kitchen().tensor.TensorWiseINT8Layout
        values, params = layout.quantize(weight, per_channel=True, **self.settings(weight.shape[1]))
        return dict(layout.state_dict_tensors(values, params))

    def linear(self, x: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        return kitchen().int8_linear(
            x.contiguous(),
            parts[""],
            parts["_scale"],
            out_dtype=x.dtype,
            **self.settings(x.shape[-1]),
        )

    def restored(self, parts: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        layout, values = kitchen().tensor.TensorWiseINT8Layout, parts[""]
        params = layout.Params(
            scale=parts["_scale"],
            orig_dtype=dtype,
            orig_shape=tuple(values.shape),
            **self.settings(values.shape[1]),
        )
        return layout.dequantize(values, params)


@dataclass(frozen=True)
class Int4:
    """A weight in 4 bits: levels spaced for rotated weights, a scale for 16 of them in 8 bits."""

    name: ClassVar[str] = "asym_w4a8_int8"
    bits: ClassVar[int] = 4
    group: ClassVar[int] = 16

    def settings(self, width: int) -> dict[str, Any]:
        side = rotation(width)
        if not side:
            raise SeedStoryError(
                f"4-bit weights need layers that read a multiple of {ROTATIONS[-1]} channels, but "
                f"this world has some that read {width}. Choose int8, or none."
            )
        return {"group_size": self.group, "convrot_groupsize": side}

    def tensors(self, weight: Tensor) -> dict[str, Tensor]:
        layout = kitchen().tensor.AsymW4A8Int8Layout
        values, params = layout.quantize(weight, **self.settings(weight.shape[1]))
        return dict(layout.state_dict_tensors(values, params))

    def linear(self, x: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        return kitchen().w4a8_int8_linear(
            x.contiguous(),
            parts[""],
            parts["_s_rel"],
            parts["_s_channel"],
            codebook=parts.get("_codebook"),
            out_dtype=x.dtype,
            **self.settings(x.shape[-1]),
        )

    def restored(self, parts: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        return kitchen().dequantize_w4a8_int8_weight(
            parts[""],
            parts["_s_rel"],
            parts["_s_channel"],
            codebook=parts.get("_codebook"),
            output_dtype=dtype,
            **self.settings(parts[""].shape[1] * 8 // self.bits),
        )


#: What loaders offer. ``none`` keeps the file's 16 bits.
FORMATS: dict[str, Format | None] = {"none": None, "int8": Int8(), "int4": Int4()}


def chosen(name: str) -> Format | None:
    """The format behind a name in `FORMATS`; its library is there.

    Raises:
        SeedStoryError: as `kitchen`.
    """
    if FORMATS[name] is not None:
        prepare()
    return FORMATS[name]


def rotation(width: int) -> int:
    """Side of the rotation for ``width`` channels, or 0 where none divides it."""
    return next((side for side in ROTATIONS if width % side == 0), 0)


def kitchen() -> Any:
    """The library, ready.

    Raises:
        SeedStoryError: it is not installed, or too old.
    """
    try:
        import comfy_kitchen
        import comfy_kitchen.tensor
    except ImportError as error:
        raise SeedStoryError(
            f"Quantised weights need the library {LIBRARY}, which is not installed here ({error}). "
            f"Install it (pip install {LIBRARY}), or load without quantising (none)."
        ) from error
    wanted = ("int8_linear", "w4a8_int8_linear")
    missing = [name for name in wanted if not hasattr(comfy_kitchen, name)]
    if missing:
        version = getattr(comfy_kitchen, "__version__", "installed")
        raise SeedStoryError(
            f"The {LIBRARY} {version} here lacks {', '.join(missing)}. Update it (pip install -U "
            f"{LIBRARY}), or load without quantising (none)."
        )
    return comfy_kitchen


@lru_cache(maxsize=8)
def exact_on(kind: str) -> bool:
    """Whether devices of ``kind`` (`torch.device.type`) sum products of int8 without loss.

    Processors without the VNNI instructions (Intel's before 2019, AMD's before Zen 4) sum pairs of
    products in 16 bits and cut off what is larger: results were off by 5 to 9 %.

    Raises:
        SeedStoryError: as `kitchen`.
    """
    if kind != "cpu":
        return True
    width = 64
    largest = torch.full((8, width), 127, dtype=torch.int8)
    found = kitchen().int8_linear(
        torch.ones(8, width), largest, torch.ones(8, 1), out_dtype=torch.float32
    )
    return bool((found > 0.99 * 127 * width).all())


def prepare() -> None:
    """Check that the library is there, and leave out kernels that this torch cannot run.

    Raises:
        SeedStoryError: as `kitchen`.
    """
    library = kitchen()
    cuda = torch.version.cuda
    if cuda is None or int(cuda.split(".")[0]) < CUDA_MAJOR:
        library.disable_backend("cuda")


def quantise(
    state: Mapping[str, Tensor],
    chosen: Iterable[str],
    form: Format,
    device: torch.device | None = None,
    on_weight: Callable[[str], None] = lambda name: None,
) -> dict[str, Tensor]:
    """``state`` with some weights quantised, under ComfyUI's names.

    One weight at a time is on ``device``, in fp32; results return to where the weight was.

    Args:
        state: a part's tensors, mapped from its file.
        chosen: patterns (`fnmatch`) of the weights to quantise.
        device: where to quantise; None: where the weight is.
        on_weight: called with each weight's name before it is quantised; may raise to cancel.

    Raises:
        SeedStoryError: the library is missing, or a shape does not suit the format.
    """
    prepare()
    patterns = tuple(chosen)
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            out[name] = value
            continue
        on_weight(name)
        with torch.inference_mode():
            parts = form.tensors(value.to(device or value.device, torch.float32))
        with torch.inference_mode(False):  # kept for callers in any mode
            for ending, part in parts.items():
                out[name + ending] = part.to(value.device, copy=True)
        config = {"format": form.name, **form.settings(value.shape[1])}
        out[config_name(name)] = _as_bytes(config)
    return out


def config_name(weight: str) -> str:
    """``a.b.weight`` -> ``a.b.comfy_quant``."""
    return f"{weight.removesuffix('weight')}{CONFIG}"


class QuantisedLinear(nn.Module):
    """A linear layer over the tensors of `quantise`, without ComfyUI.

    Args:
        form: as they were quantised.
        parts: by the endings of their names.
    """

    def __init__(self, form: Format, parts: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._form, self._endings = form, tuple(parts)
        for ending, part in parts.items():
            self.register_buffer(f"weight{ending}", part, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        parts = {ending: getattr(self, f"weight{ending}") for ending in self._endings}
        if exact_on(x.device.type):
            return self._form.linear(x, parts)
        return F.linear(x, self._form.restored(parts, x.dtype))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantisedLinear:
        """Moves; a change of dtype leaves values and scales as they are."""
        for ending in self._endings:
            part = getattr(self, f"weight{ending}")
            setattr(self, f"weight{ending}", part.to(fn(part.new_empty(0)).device))
        return self


def put_in(module: nn.Module, state: Mapping[str, Tensor], form: Format) -> dict[str, Tensor]:
    """Replace the layers whose weights are quantised in ``state`` -> what is left of ``state``.

    Args:
        module: on the meta device; its other layers are loaded with the rest.
    """
    rest = dict(state)
    for key in [key for key in state if key.endswith(f".{CONFIG}")]:
        place = key.removesuffix(f".{CONFIG}")
        start = f"{place}.weight"
        del rest[key]
        parts = {k.removeprefix(start): rest.pop(k) for k in list(rest) if k.startswith(start)}
        owner, _, name = place.rpartition(".")
        setattr(module.get_submodule(owner), name, QuantisedLinear(form, parts))
    return rest


def _as_bytes(config: Mapping[str, Any]) -> Tensor:
    """JSON as uint8 [n], as ComfyUI's files keep it."""
    return torch.tensor(list(json.dumps(config).encode()), dtype=torch.uint8)

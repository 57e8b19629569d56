"""Engine parts under ComfyUI's memory management."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from ...seedstory_core.building import Room, on_meta
from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.memory import Kept
from ...seedstory_core.ops import torch_ops
from ...seedstory_core.parts import Part, PartSpec, check_fit
from ...seedstory_core.quantised import FORMATS, Format, quantise
from ...seedstory_core.weights.first_bytes import check_safetensors
from ...seedstory_core.weights.reader import read_tensors
from .kept import kept_patcher
from .quantised import chosen_format, quantised_layers
from .storage import disk_of

M = TypeVar("M", bound=nn.Module)

KNOWN = (".safetensors", ".sft")  # endings that ComfyUI reads as safetensors

#: Precision choices of the loader. ``auto``: see `_best_dtype`.
PRECISIONS: dict[str, torch.dtype | None] = {
    "auto": None,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
}


def comfy_host(precision: str, quantised: str = "none") -> Callable[[PartSpec], Part]:
    """A host for `open_engine` whose parts live in ComfyUI's model management.

    Args:
        quantised: how parts that bear it are stored, one of `quantised.QUANTISED`.

    Raises:
        SeedStoryError: this ComfyUI has no layers for it.
    """
    import comfy.model_management as management

    device = management.get_torch_device()
    dtype = PRECISIONS[precision] or _best_dtype(device)
    form = chosen_format(quantised)

    def host(spec: PartSpec[M]) -> Part[M]:
        return ComfyPart(spec, device, dtype, form if spec.quantisable else None)

    return host


def _best_dtype(device: torch.device) -> torch.dtype:
    """fp16 as the reference runs, bf16 where only that works, fp32 on the CPU."""
    import comfy.model_management as management

    if management.should_use_fp16(device, prioritize_performance=False):
        return torch.float16
    if management.should_use_bf16(device):
        return torch.bfloat16
    return torch.float32


class ComfyPart(Generic[M]):
    """A part that ComfyUI loads, offloads (wholly or layer by layer) and frees.

    Weights keep the precision of their file and are cast layer by layer at use. The module is made
    at the first `acquire`; nothing refers back from it to here, so it is freed with its last owner.

    Attributes:
        patcher: ComfyUI's, None before the first `acquire`. ``kept``: that of the rows which the
            part keeps between calls, None where it keeps none.
        reserve: bytes of the device to leave free, when a memory plan says so.
    """

    def __init__(
        self,
        spec: PartSpec[M],
        device: torch.device,
        dtype: torch.dtype,
        form: Format | None = None,
    ) -> None:
        self.spec = spec
        self.device = device
        self.dtype = dtype
        self._form = form
        self.patcher: Any = None
        self.kept: Any = None
        self.reserve = 0
        self._keeper: weakref.ref[Kept] | None = None

    @property
    def quantised(self) -> str:
        """How its weights are stored, one of `quantised.QUANTISED`."""
        return next(name for name, form in FORMATS.items() if form == self._form)

    @property
    def version(self) -> Hashable:
        """Changes with every patch on the weights, as ComfyUI counts them."""
        return None if self.patcher is None else self.patcher.patches_uuid

    def keeps(self, keeper: Kept) -> None:
        """From now on, what ``keeper`` keeps on the device is in ComfyUI's books."""
        if self._keeper is None or self._keeper() is not keeper:
            self._keeper, self.kept = weakref.ref(keeper), None

    def acquire(self, working_bytes: int = 0) -> M:
        """The part on its device, other models moved aside as needed.

        Args:
            working_bytes: needed beside the weights, rows that are kept already included.
        """
        import comfy.model_management as management

        if self.patcher is None:
            self.patcher = self._make_patcher()
        keeper = None if self._keeper is None else self._keeper()
        if keeper is not None and self.kept is None:
            self.kept = kept_patcher(keeper, self.patcher)
        there = 0 if self.kept is None else self.kept.loaded_size()
        needed = max(0, working_bytes - there) + (0 if self.is_dynamic() else self.reserve)
        beside = [] if self.kept is None or self.is_dynamic() else [self.kept]
        management.load_models_gpu([self.patcher, *beside], memory_required=needed)
        if self.kept is not None and not self.kept.model.placed:
            management.load_models_gpu([self.kept], memory_required=needed)
        return self.patcher.model

    def is_dynamic(self) -> bool:
        """Whether the host pages the weights in by itself; true before loading if it will."""
        if self.patcher is None:
            return patcher_class().__name__ != "ModelPatcher"
        return bool(getattr(self.patcher, "is_dynamic", bool)())

    def _make_patcher(self) -> Any:
        import comfy.model_management as management

        module = load_module(self.spec, self.dtype, self._form, self.device)
        kind, offload = patcher_class(), management.unet_offload_device()
        disk = disk_of(kind, self.spec.weights)
        return kind(module, load_device=self.device, offload_device=offload, **disk)


def load_module(
    spec: PartSpec[M],
    dtype: torch.dtype,
    form: Format | None = None,
    device: torch.device | None = None,
) -> M:
    """The part built with ComfyUI's layers around the mapped weights of its file, or around those
    that ``device`` makes of them, one by one, in the format ``form``.

    Names and shapes are compared with a plain copy on the meta device first: under ComfyUI's
    dynamic memory a layer has no weight before loading, and a missing one would become zeros.
    """
    state = read_weights(spec)
    with on_meta(Room.of(state), str(spec.weights)):
        expected = spec.build(torch_ops).state_dict()
    check_fit(expected, state, str(spec.weights))
    layers = _operations(state, dtype)
    if form is not None:
        state, layers = quantise(state, spec.quantisable, form, device), quantised_layers(dtype)
    with torch.device("meta"):
        module = spec.build(layers)
    module.load_state_dict(state, strict=False, assign=True)
    module.eval().requires_grad_(False)
    left = [name for name, value in _all_tensors(module) if value.is_meta]
    assert not left, f"{spec.name} computes tensors while it is built: {left}"
    return module


def read_weights(spec: PartSpec) -> dict[str, torch.Tensor]:
    """The part's tensors, mapped from the file, under the names of its state dict."""
    state, start = read_weights_file(spec.weights), len(spec.prefix)
    return {key[start:]: value for key, value in state.items() if key.startswith(spec.prefix)}


def read_weights_file(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, mapped.

    Raises:
        SeedStoryError: the file is missing, damaged, or another kind of file.
    """
    import comfy.utils
    from safetensors import SafetensorError

    if not path.is_file():
        raise SeedStoryError(f"The weights {path} are missing. Copy the world's folder anew.")
    if path.suffix.lower() not in KNOWN:  # ComfyUI would unpickle it, whatever it is
        return read_tensors(path)
    check_safetensors(path)
    try:
        return comfy.utils.load_torch_file(str(path), safe_load=True)
    except (SafetensorError, ValueError, OSError, RuntimeError) as error:
        raise SeedStoryError(
            f"{path} is damaged or not a safetensors file ({error}). Compare it with: "
            "python -m seedstory_core doctor"
        ) from error


def _operations(state: Mapping[str, torch.Tensor], dtype: torch.dtype) -> Any:
    """ComfyUI's layers: casting ones unless all weights are in the computing precision already."""
    import comfy.ops

    dtypes = {value.dtype for value in state.values()}
    same = dtypes.pop() if len(dtypes) == 1 else None
    return comfy.ops.pick_operations(same, dtype) if same else comfy.ops.manual_cast


def patcher_class() -> Any:
    """Looked up at each call: ComfyUI replaces it after start when it can page weights."""
    import comfy.model_patcher as model_patcher

    return getattr(model_patcher, "CoreModelPatcher", model_patcher.ModelPatcher)


def _all_tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]

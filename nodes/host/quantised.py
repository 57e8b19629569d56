"""Quantised weights under ComfyUI: its own layers, on hosts that have them."""

from __future__ import annotations

from typing import Any

import torch

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.quantised import FORMATS, Format, chosen, exact_on

#: Choices of the loader.
QUANTISED = tuple(FORMATS)


def chosen_format(name: str) -> Format | None:
    """The format behind one of `QUANTISED`.

    Raises:
        SeedStoryError: this ComfyUI, its library or its device cannot multiply such weights.
    """
    form = FORMATS[name]
    if form is not None:
        _check_host(form, name)
        _check_device(name)
    return chosen(name)


def quantised_layers(dtype: torch.dtype) -> Any:
    """ComfyUI's layers for a state of `quantised.quantise`; what is not quantised computes in
    ``dtype`` as ever."""
    import comfy.ops

    return comfy.ops.mixed_precision_ops({}, dtype, disabled=set())


def _check_device(name: str) -> None:
    """ComfyUI's layers multiply in int8 wherever they are, so there they must be right."""
    import comfy.model_management

    if not exact_on(comfy.model_management.get_torch_device().type):
        raise SeedStoryError(
            f"{name} needs a processor with VNNI instructions (Intel's since 2019, AMD's since Zen "
            "4); this one cuts off sums of 8-bit products, so pictures and words would be wrong. "
            "Set quantise to none, or let ComfyUI use a GPU."
        )


def _check_host(form: Format, name: str) -> None:
    import comfy.ops

    algorithms: dict[str, Any] = getattr(comfy.ops, "QUANT_ALGOS", {})
    if hasattr(comfy.ops, "mixed_precision_ops") and form.name in algorithms:
        return
    from comfyui_version import __version__

    raise SeedStoryError(
        f"{name} needs a ComfyUI whose layers know the format {form.name}; version {__version__} "
        f"knows {', '.join(algorithms) or 'none'}. Update ComfyUI (tried with 0.33.0), or set "
        "quantise to none."
    )

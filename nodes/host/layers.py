"""torch's own layers where ComfyUI expects its own, to ask a network for its names and shapes."""

from __future__ import annotations

from typing import Any

from ...seedstory_core.ops import torch_ops


class PlainLayers:
    """torch's own layers under the interface of `comfy.ops`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch_ops, name)

    def conv_nd(self, dims: int, *args: Any, **kwargs: Any) -> Any:
        assert dims == 2
        return torch_ops.Conv2d(*args, **kwargs)

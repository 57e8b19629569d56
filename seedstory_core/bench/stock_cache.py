"""Keys and values in a cache of transformers' own, by what each of its versions shows in public."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import Tensor, nn


def reading_into(model: nn.Module, cache: Any) -> dict[str, Any]:
    """The keyword that hands a model its cache: ``cache`` since transformers 5.23, which ends
    ``past_key_values`` with 5.40."""
    names = signature(model.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": cache}


def keys_and_values(cache: Any) -> list[tuple[Tensor, Tensor]]:
    """([B, H, L, D], [B, H, L, D]) for each layer that has read something."""
    if hasattr(cache, "layers"):  # transformers 4.54 and newer
        return [(layer.keys, layer.values) for layer in cache.layers if layer.keys is not None]
    return [pair for pair in zip(cache.key_cache, cache.value_cache, strict=True) if len(pair[0])]


def put(cache: Any, index: int, keys: Tensor, values: Tensor) -> None:
    """Replace what layer ``index`` holds by [B, H, L, D] each."""
    if hasattr(cache, "layers"):
        cache.layers[index].keys, cache.layers[index].values = keys, values
    else:
        cache.key_cache[index], cache.value_cache[index] = keys, values

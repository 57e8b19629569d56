"""Bytes that a pass of a model holds at once, counted without computing: on the meta device.

Every tensor is counted by its storage from the moment it is made until it is freed, so the count is
that of the real classes at any size. Weights are there before and are not counted. What kernels
take inside themselves is unknown here, but for attention, which is counted as GPUs compute it:
without a matrix of scores.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")


class LiveBytes(TorchDispatchMode):
    """Counts the tensors that are made inside, on whatever device they are.

    Attributes:
        now, most: bytes held now, and at the worst moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        before = {_place(value) for value in tree_leaves((args, kwargs)) if _counts(value)}
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if _counts(value) and _place(value) not in before:
                self._made(value)
        return out

    def _made(self, tensor: Tensor) -> None:
        place = _place(tensor)
        if place in self._known:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        self._known.add(place)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, place, size)

    def _freed(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """Attention without a matrix of scores; on the meta device torch would choose the plain one."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **given)
        q, _, v = (*args, *(given[name] for name in ("query", "key", "value")[len(args) :]))[:3]
        mask = given.get("attn_mask", args[3] if len(args) > 3 else None)
        bias = None if mask is None else torch.empty_like(mask, dtype=q.dtype)
        out = torch.empty((*q.shape[:-1], v.shape[-1]), device=q.device, dtype=q.dtype)
        del bias  # kernels turn a mask of booleans into numbers first
        return out


def working_bytes(run: Callable[[], Any]) -> int:
    """The most bytes that ``run`` holds at once; it must compute on the meta device."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        ledger = stack.enter_context(LiveBytes())
        stack.enter_context(FusedAttention())
        run()
    return ledger.most


def _counts(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata

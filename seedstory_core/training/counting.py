"""What one pass of a model costs, counted on the meta device: nothing is loaded or computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

FLASH_BACKWARD = 2.5  # fused attention's backward pass, in forward passes: it computes scores again


@dataclass(frozen=True)
class Cost:
    """What forward and backward take, for one batch.

    Attributes:
        forward, backward: floating point operations (a multiplication and an addition are two).
        recomputed: operations of forward inside the units, made again when they are checkpointed.
        kept: bytes that forward keeps for backward.
        kept_checkpointed: the same when every unit keeps its inputs only, the largest unit's own
            bytes included.
    """

    forward: float
    backward: float
    recomputed: float
    kept: int
    kept_checkpointed: int

    def operations(self, checkpointed: bool) -> float:
        return self.forward + self.backward + (self.recomputed if checkpointed else 0)

    def activations(self, checkpointed: bool) -> int:
        return self.kept_checkpointed if checkpointed else self.kept


def cost_of(module: nn.Module, run: Callable[[], Tensor], units: Iterable[nn.Module] = ()) -> Cost:
    """Count ``run``, which passes meta tensors through ``module``, and the backward of its result.

    Args:
        run: returns the loss; without a gradient only forward is counted.
        units: parts of ``module`` that gradient checkpointing computes again.
    """
    ledger = _Ledger(module)
    with ExitStack() as stack:
        for unit in units:
            stack.enter_context(
                _Removed(unit.register_forward_pre_hook(ledger.enter, with_kwargs=True))
            )
            stack.enter_context(_Removed(unit.register_forward_hook(ledger.leave)))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(ledger.pack, lambda x: x))
        stack.enter_context(_FusedAttention(ledger))
        ledger.counter = stack.enter_context(FlopCounterMode(display=False))
        loss = run()
        forward = ledger.operations()
    backward = 0.0
    if loss.requires_grad:
        ledger.attention = 0.0
        with FlopCounterMode(display=False) as ledger.counter:
            loss.backward()
            backward = ledger.operations()
    return ledger.cost(forward, backward)


def parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def trained_parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters() if value.requires_grad)


class _Ledger:
    """Bytes by the storage they lie in, so that views and repeated saving count once."""

    def __init__(self, module: nn.Module) -> None:
        both = (*module.parameters(), *module.buffers())
        self._seen = {_place(value) for value in both}
        self._outside, self._inputs = 0, 0
        self._inside: list[int] = []
        self._open: nn.Module | None = None
        self._begun = 0.0
        self.recomputed = self.attention = 0.0
        self.counter: FlopCounterMode | None = None

    def operations(self) -> float:
        assert self.counter is not None
        return self.counter.get_total_flops() + self.attention

    def pack(self, tensor: Tensor) -> Tensor:
        size = self._count(tensor)
        if self._open is None:
            self._outside += size
        else:
            self._inside[-1] += size
        return tensor

    def enter(self, unit: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._open is not None:  # units inside units are computed again with the outer one
            return
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        self._inputs += sum(self._count(value) for value in tensors)
        self._open, self._begun = unit, self.operations()
        self._inside.append(0)

    def leave(self, unit: nn.Module, args: Any, output: Any) -> None:
        if self._open is unit:
            self.recomputed += self.operations() - self._begun
            self._open = None

    def _count(self, tensor: Tensor) -> int:
        place = _place(tensor)
        if place in self._seen:
            return 0
        self._seen.add(place)
        return tensor.untyped_storage().nbytes()

    def cost(self, forward: float, backward: float) -> Cost:
        checkpointed = self._outside + self._inputs + max(self._inside, default=0)
        kept = self._outside + self._inputs + sum(self._inside)
        return Cost(forward, backward, self.recomputed, kept, checkpointed)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Removed:
    """A hook's handle as a context."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


class _FusedAttention(TorchFunctionMode):
    """Attention as GPUs compute it, without a matrix of scores in memory.

    On the meta device torch would choose the plain formula, and count what no GPU keeps.
    """

    def __init__(self, ledger: _Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        q, k, v = (*args, *(kwargs[name] for name in ("query", "key", "value")[len(args) :]))[:3]
        return _Fused.apply(q, k, v, self._ledger)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, ledger: _Ledger) -> Tensor:  # pyright: ignore
        out = torch.empty((*q.shape[:-1], v.shape[-1]), device="meta", dtype=q.dtype)
        ctx.save_for_backward(q, k, v, out)
        rows = prod(q.shape[:-1])
        ctx.flops, ctx.ledger = 2 * rows * k.shape[-2] * (q.shape[-1] + v.shape[-1]), ledger
        ledger.attention += ctx.flops
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        q, k, v, _ = ctx.saved_tensors
        ctx.ledger.attention += FLASH_BACKWARD * ctx.flops
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), None

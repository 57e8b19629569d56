"""Comparisons within one case, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Check:
    """Collects the comparisons of a case.

    Attributes:
        error: largest absolute error of tensors so far; of those out of tolerance if there are any.
        tolerance: absolute and relative tolerance where that error was found.
        compared: number of comparisons; ``tensors``: of tensors among them.
        failures: what was wrong, one sentence each.
    """

    error: float = 0.0
    tolerance: tuple[float, float] = (0.0, 0.0)
    compared: int = 0
    tensors: int = 0
    failures: list[str] = field(default_factory=list)
    _worst: tuple[bool, bool, float] = (False, False, -1.0)

    def close(self, name: str, got: Tensor, want: Tensor, tolerance: tuple[float, float]) -> None:
        """``|got - want| <= atol + rtol * |want|`` everywhere, shapes equal, NaN nowhere."""
        self.compared += 1
        self.tensors += 1
        if got.shape != want.shape:
            self.failures.append(f"{name} has shape {list(got.shape)}, not {list(want.shape)}")
            return
        difference = (got.double() - want.double()).abs()
        worst = float(difference.max()) if difference.numel() else 0.0
        allowed = tolerance[0] + tolerance[1] * want.double().abs()
        passed = bool((difference <= allowed).all())
        if not passed:
            self.failures.append(f"{name} is off by {worst:.3g}")
        standing = (not passed, not worst == worst, worst)
        if standing > self._worst:
            self._worst, self.error, self.tolerance = standing, worst, tolerance

    def same(self, name: str, got: object, want: object) -> None:
        """``got == want``; for ids, texts and flags."""
        self.compared += 1
        if got != want:
            self.failures.append(f"{name} is {_short(got)}, not {_short(want)}")


def _short(value: object) -> str:
    if isinstance(value, (list, tuple)) and len(value) > 12:
        return f"{list(value[:12])!r}.. ({len(value)})"
    text = repr(value)
    return text if len(text) < 160 else text[:160] + ".."


def ids_of(tensor: Tensor) -> list[int]:
    """Token ids [1, L] or [L] -> list."""
    assert tensor.dtype in (torch.int64, torch.int32)
    return tensor.reshape(-1).tolist()  # one row or none -> [L]

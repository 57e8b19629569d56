"""Writes down how much of each comparison's tolerance was used; `support.processors` reads it.

Loaded where ``SEEDSTORY_HEADROOM`` names a file (tests/conftest.py). One JSON line a test: the
largest share of a tolerance that any of its comparisons used, 1 being the whole. Where a test
demands that values differ, it is the share of the difference that the tolerance takes up.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seedstory_core.parity.check import Check

#: (relative, absolute) as `torch.testing.assert_close` documents them.
DEFAULTS = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
}
SHARES: list[float] = []


def share(got: Any, want: Any, atol: float, rtol: float) -> float | None:
    """Largest ``|got - want| / (atol + rtol * |want|)``; None for what has no rounding."""
    if not (isinstance(got, Tensor) and isinstance(want, Tensor)) or got.shape != want.shape:
        return None
    if not want.is_floating_point() or not want.numel():
        return None
    one, other = got.detach().double(), want.detach().double()
    allowed = atol + rtol * other.abs()
    apart = (one - other).abs()
    shares = torch.where(apart > 0, apart / allowed.clamp(min=1e-300), 0.0)
    return float(shares[shares.isfinite()].max()) if shares.isfinite().any() else None


def keep(found: float | None) -> None:
    if found is not None:
        SHARES.append(found)


@pytest.fixture(autouse=True, scope="session")
def _watched() -> Any:
    """Every comparison is looked at first, and then made as before."""
    patch = pytest.MonkeyPatch()
    assert_close, allclose, close = torch.testing.assert_close, torch.allclose, Check.close

    def watched_assert(got: Any, want: Any, **more: Any) -> None:
        dtype = want.dtype if isinstance(want, Tensor) else torch.float32
        relative, absolute = DEFAULTS.get(dtype, (0.0, 0.0))
        atol, rtol = more.get("atol"), more.get("rtol")
        keep(
            share(got, want, absolute if atol is None else atol, relative if rtol is None else rtol)
        )
        assert_close(got, want, **more)

    def watched_allclose(
        one: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8
    ) -> bool:
        found = share(one, other, atol, rtol)
        if found is not None:
            keep(found if found <= 1 else 1 / found)
        return allclose(one, other, rtol=rtol, atol=atol)

    def watched_close(self: Check, name: str, got: Tensor, want: Tensor, limit: Any) -> None:
        keep(share(got, want, *limit))
        close(self, name, got, want, limit)

    patch.setattr(torch.testing, "assert_close", watched_assert)
    patch.setattr(torch, "allclose", watched_allclose)
    patch.setattr(Check, "close", watched_close)
    yield
    patch.undo()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call":
        return
    line = {"test": report.nodeid, "outcome": report.outcome, "share": max(SHARES, default=None)}
    SHARES.clear()
    with Path(os.environ["SEEDSTORY_HEADROOM"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")

"""Makes packages look missing or broken to a program started with this folder on PYTHONPATH.

$SEEDSTORY_BLOCKED is ``missing`` or ``broken``, a colon, and names with commas between them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

HOW, _, NAMES = os.environ.get("SEEDSTORY_BLOCKED", "").partition(":")


class Broken(Loader):
    """Found, but its import fails, as after a half-finished update."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        raise ImportError(f"cannot import name 'something' from {name!r} (made broken)", name=name)


class Blocker(MetaPathFinder):
    """Stands in the place of the finder that looks through sys.path."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.split(".")[0] not in NAMES.split(","):
            return self._finder.find_spec(name, path, target)
        if HOW == "broken":
            return ModuleSpec(name, Broken(), origin=f"<{name} made broken>")
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)  # importlib.metadata asks the same finder


if NAMES:
    sys.meta_path[:] = [Blocker(one) if one is PathFinder else one for one in sys.meta_path]

"""The pack as ComfyUI loads it: by path, under the name of its folder."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from .comfy_places import ROOT


def load_pack(name: str) -> ModuleType:
    """The pack's root module, loaded under ``name``; ComfyUI's modules must be on sys.path."""
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

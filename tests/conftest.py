"""Loads the packages by path, as ComfyUI does, under no name that could shadow its modules."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

# Tiny tensors run faster on one thread (core tests: 88 s instead of 120 on two cores); this must
# be said before torch is imported, and programs that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
# ROOT stays off sys.path: our nodes/ must not shadow ComfyUI's nodes.py (-m pytest adds it).
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


def load_package(name: str, folder: Path) -> ModuleType:
    """Import ``folder`` as the package ``name`` without touching sys.path."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


load_package("seedstory_core", ROOT / "seedstory_core")
load_package("support", ROOT / "tests" / "support")

pytest_plugins = ["support.fixtures"]
if os.environ.get("SEEDSTORY_HEADROOM"):  # set by support/processors.py
    pytest_plugins.append("support.headroom")

"""ComfyUI in this very process, on the CPU, with the pack loaded as ComfyUI loads it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support.pack import load_pack

PACK = "seedstory_pack"


@pytest.fixture(scope="session")
def comfy_here(comfy_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ComfyUI's modules, importable; its base directory."""
    base = tmp_path_factory.mktemp("base")
    (base / "custom_nodes").mkdir()
    argv, path = sys.argv, list(sys.path)
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base)]
    sys.path.insert(0, str(comfy_tree))
    torch.set_num_threads(1)
    importlib.import_module("comfy.options").enable_args_parsing()
    importlib.import_module("utils.install_util")  # before nodes, which hides ComfyUI's utils
    importlib.import_module("nodes")
    try:
        yield base
    finally:
        sys.argv, sys.path[:] = argv, path


@pytest.fixture(scope="session")
def pack(comfy_here: Path) -> ModuleType:
    """The pack's root module; its core is ``pack.seedstory_core``, apart from the tests' own."""
    return load_pack(PACK)

"""Test-only: makes ComfyUI's stock loaders take a tiny SDXL, and writes files of that size.

No node of its own. Never part of the product: a product must not register model classes.
"""

import importlib.util
from pathlib import Path

import comfy.supported_models
import folder_paths

_SUPPORT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("tiny_files", _SUPPORT / "tiny_files.py")
assert _spec is not None and _spec.loader is not None
tiny_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny_files)


class TinySDXL(comfy.supported_models.SDXL):
    """SDXL in everything but size."""

    unet_config = tiny_files.DETECTED
    unet_extra_config = {"num_heads": -1, "num_head_channels": 32}


comfy.supported_models.models.append(TinySDXL)
tiny_files.write_all(Path(folder_paths.models_dir))

NODE_CLASS_MAPPINGS: dict[str, type] = {}

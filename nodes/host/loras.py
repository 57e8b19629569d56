"""LoRAs by the names that ComfyUI's loader lists, laid on a MODEL."""

from __future__ import annotations

from typing import Any

import folder_paths

from ...seedstory_core.errors import SeedStoryError

NO_LORA = "(none)"


def lora_choices() -> list[str]:
    """Names of all LoRA files, behind the entry that means none."""
    return [NO_LORA, *folder_paths.get_filename_list("loras")]


def with_lora(model: Any, name: str, strength: float) -> Any:
    """A clone of a MODEL with a LoRA laid on; the text encoder is left alone.

    Raises:
        SeedStoryError: there is no such file.
    """
    import comfy.sd
    import comfy.utils

    known = folder_paths.get_filename_list("loras")
    path = folder_paths.get_full_path("loras", name) if name in known else None
    if path is None:
        raise SeedStoryError(
            f"There is no LoRA {name!r} in models/loras. Found: "
            f"{', '.join(known[:10]) or 'none yet'}. Put the file there, or take it off the card."
        )
    weights = comfy.utils.load_torch_file(path, safe_load=True)
    return comfy.sd.load_lora_for_models(model, None, weights, strength, 0.0)[0]

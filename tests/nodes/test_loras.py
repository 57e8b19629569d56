"""LoRAs of other trainers on a world's MODEL: laid on, or named with what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.{}"
FLAT = "lora_unet_" + LAYER.replace(".", "_")


@pytest.fixture(scope="module")
def model(pack: ModuleType) -> Any:
    with torch.inference_mode():
        return pack.nodes.loaders.LoadWorldPainter.execute(world="babble").args[0]


@pytest.fixture
def loras(comfy_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that ComfyUI searches for LoRAs, alone."""
    import folder_paths

    _, extensions = folder_paths.folder_names_and_paths["loras"]
    place = ([str(tmp_path)], extensions)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", place)
    folder_paths.filename_list_cache.pop("loras", None)
    yield tmp_path
    folder_paths.filename_list_cache.pop("loras", None)


@pytest.fixture(scope="module")
def halves(model: Any, pack: ModuleType) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For ``to_k`` and ``to_out.0``: [4, in] and [out, 4]."""
    import comfy.lora

    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    state = model.model.state_dict()
    found = {}
    for name in ("to_k", "to_out.0"):
        rows, columns = state[keys[FLAT.format(name.replace(".", "_"))]].shape
        found[name] = (torch.ones(4, columns), torch.ones(rows, 4))
    return found


LAYOUTS: dict[str, Callable[[str], tuple[str, str]]] = {
    "kohya": lambda layer: (
        f"lora_unet_{layer.replace('.', '_')}.lora_down.weight",
        f"lora_unet_{layer.replace('.', '_')}.lora_up.weight",
    ),
    "diffusers": lambda layer: (f"unet.{layer}.lora_A.weight", f"unet.{layer}.lora_B.weight"),
    "diffusers, old": lambda layer: (
        f"unet.{layer}.lora.down.weight",
        f"unet.{layer}.lora.up.weight",
    ),
    "peft": lambda layer: (
        f"base_model.model.{layer}.lora_A.weight",
        f"base_model.model.{layer}.lora_B.weight",
    ),
    "peft with an adapter's name": lambda layer: (
        f"base_model.model.unet.{layer}.lora_A.default.weight",
        f"base_model.model.unet.{layer}.lora_B.default.weight",
    ),
    "bare": lambda layer: (f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_lays_the_same_on(
    layout: str, pack: ModuleType, model: Any, loras: Path, halves: Any
) -> None:
    state = {}
    for name, (down, up) in halves.items():
        first, second = LAYOUTS[layout](LAYER.format(name))
        state |= {first: down.clone(), second: up.clone()}
    save_file(state, loras / "a.safetensors")
    laid, note = pack.nodes.host.with_lora(model, "a.safetensors", 0.5)
    assert len(laid.patches) == 2 and not model.patches and note == ""
    import comfy.lora

    for key, patches in laid.patches.items():
        weight = torch.zeros_like(model.model.state_dict()[key])
        changed = comfy.lora.calculate_weight(patches, weight, key)
        assert torch.allclose(changed, torch.full_like(changed, 2.0))  # 0.5 * ones [o, 4] @ [4, i]


UNFIT: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "another model": (
        {
            "transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 64),
            "transformer.transformer_blocks.0.attn.to_q.lora_B.weight": torch.ones(64, 4),
        },
        "its keys are others: transformer.transformer_blocks.0",
    ),
    "other sizes": (
        {
            f"{FLAT.format('to_k')}.lora_down.weight": torch.ones(4, 7777),
            f"{FLAT.format('to_k')}.lora_up.weight": torch.ones(13, 4),
        },
        "other sizes",
    ),
    "other ranks": (
        {
            f"{FLAT.format('to_k')}.lora_down.weight": torch.ones(4, 64),
            f"{FLAT.format('to_k')}.lora_up.weight": torch.ones(64, 5),
        },
        "other sizes",
    ),
    "text encoder only": (
        {
            "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(4, 4),
            "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(4, 4),
        },
        "its keys are others: lora_te1",
    ),
    "no LoRA": ({"conditioner.embedders.0.weight": torch.ones(4, 4)}, "its keys are others"),
    "one half": ({f"{FLAT.format('to_k')}.lora_up.weight": torch.ones(4, 4)}, "damaged"),
    "an alpha that is no number": (
        {
            f"{FLAT.format('to_k')}.alpha": torch.ones(1024),
            f"{FLAT.format('to_k')}.lora_up.weight": torch.ones(4, 4),
        },
        "damaged or incomplete",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_fits_nothing_is_named(kind: str, pack: ModuleType, model: Any, loras: Path) -> None:
    state, says = UNFIT[kind]
    save_file(state, loras / "b.safetensors")
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match=f"(?s)'b.safetensors'.*{says}"):
        pack.nodes.host.with_lora(model, "b.safetensors", 1.0)


def test_what_fits_in_part_is_laid_on_and_said(
    pack: ModuleType, model: Any, loras: Path, halves: Any
) -> None:
    down, up = halves["to_k"]
    first, second = LAYOUTS["kohya"](LAYER.format("to_k"))
    state = {first: down, second: up}
    first, second = LAYOUTS["kohya"](LAYER.format("to_out.0"))
    state |= {first: torch.ones(4, 7777), second: torch.ones(13, 4)}
    save_file(state, loras / "c.safetensors")
    laid, note = pack.nodes.host.with_lora(model, "c.safetensors", 1.0)
    assert len(laid.patches) == 1 and "in part: 1 of its 2 layers" in note


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "empty"), (b"<html>404</html>", "HTML"), (b"version https://git-lfs", "LFS")],
)
def test_damaged_files_are_named(
    content: bytes, says: str, pack: ModuleType, model: Any, loras: Path
) -> None:
    (loras / "d.safetensors").write_bytes(content)
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match=rf"LoRA 'd\.safetensors' cannot be read: .*{says}"):
        pack.nodes.host.with_lora(model, "d.safetensors", 1.0)


def test_names_of_either_system_are_found(pack: ModuleType, loras: Path) -> None:
    (loras / "people").mkdir()
    save_file({"a": torch.ones(1)}, loras / "people" / "mila.safetensors")
    find, error = pack.nodes.host.loras.find_lora, pack.seedstory_core.errors.SeedStoryError
    for name in ("people/mila.safetensors", "people\\mila.safetensors"):
        assert find(name) == loras / "people" / "mila.safetensors"
        assert pack.nodes.authoring.SaveCharacter.validate_inputs(name) is True
    for name in ("people/gone.safetensors", "..\\people\\mila.safetensors", "mila.safetensors", ""):
        with pytest.raises(error, match="There is no LoRA"):
            find(name)
        assert "There is no LoRA" in pack.nodes.authoring.SaveCharacter.validate_inputs(name)
    assert pack.nodes.authoring.SaveCharacter.validate_inputs("(none)") is True


def test_scripts_are_found_under_either_name(
    pack: ModuleType, comfy_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_input_directory", lambda: str(tmp_path))
    (tmp_path / "seedstory").mkdir()
    (tmp_path / "seedstory" / "tale.txt").write_text("One.\nTwo.")
    for name in ("seedstory/tale.txt", "seedstory\\tale.txt"):
        assert pack.nodes.authoring.LoadScript.validate_inputs(name) is True
        assert pack.nodes.authoring.LoadScript.execute(name).args[0].startswith("One.")
    assert pack.nodes.authoring.LoadScript.validate_inputs(None) is True
    assert "no script" in pack.nodes.authoring.LoadScript.validate_inputs("..\\tale.txt")

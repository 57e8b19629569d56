"""A converted official world without an SDXL base: its whole UNet, at full size, is a MODEL."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.comfy_places import ROOT

MARKED = "up_blocks.0.attentions.1.transformer_blocks.4.attn2.to_k.weight"


@pytest.fixture(scope="module")
def world(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """5.1 GB of zeros under diffusers' names, one tensor marked."""
    stream, sdxl, world_writer = (
        import_module(f"{pack.__name__}.seedstory_core.weights.{name}")
        for name in ("stream", "sdxl", "world_writer")
    )
    folder: Path = tmp_path_factory.mktemp("whole")
    listed = json.loads((ROOT / "tests/golden/keys/detokenizer_keys.json").read_text())["keys"]
    shapes = {k[len("unet.") :]: shape for k, shape in listed.items() if k.startswith("unet.")}
    spec = stream.TensorSpec
    specs = {key: spec(tuple(shape), torch.float16) for key, shape in shapes.items()}
    with stream.StreamWriter(folder / "unet.safetensors", specs, {}) as writer:
        for key in writer.order:
            value = 0.5 if key == MARKED else 0.0
            writer.add(key, torch.full(specs[key].shape, value, dtype=torch.float16))
    painter = {"unet": dict(sdxl.UNET_CONFIG), "vae": None, "scheduler": {}}
    yield world_writer.write_world_json(
        folder,
        title="whole",
        engine="seed_story",
        sizes={},
        files={"unet": "unet.safetensors"},
        panel_size=(1024, 1024),
        licence="none",
        provenance={},
        painter=painter,
    )
    (folder / "unet.safetensors").unlink()


@pytest.mark.slow
def test_the_whole_unet_is_a_model(
    pack: ModuleType, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy.utils import unet_to_diffusers
    from comfy_execution.graph_utils import ExecutionBlocker

    monkeypatch.setattr(pack.nodes.loaders.host, "open_named_world", lambda name: world)
    with torch.inference_mode():
        model, vae = pack.nodes.loaders.LoadWorldPainter.execute(world="whole").args
    names = unet_to_diffusers(model.model.model_config.unet_config)
    state = model.model.diffusion_model.state_dict()
    assert {names[MARKED]} == {key for key, value in state.items() if value.any()}
    assert type(model.model).__name__ == "SDXL"
    assert isinstance(vae, ExecutionBlocker) and "Load VAE" in vae.message

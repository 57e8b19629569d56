"""The stock SDXL route: UNETLoader, LoRA, ControlNet, VAE and a world that changes the base."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from support import tiny_files
from support.prompts import Prompt, api_prompt, quick, the
from support.server import ComfyServer
from support.worlds import make_patch_world

pytestmark = [pytest.mark.comfyui]

WORLD, UNFIT = "patch", "patch-of-another-base"


@pytest.fixture(scope="module")
def patched(comfy: ComfyServer) -> Iterator[ComfyServer]:
    folder = comfy.base / "models" / "seedstory" / WORLD
    make_patch_world(folder)
    make_patch_world(folder.with_name(UNFIT), level=5)
    yield comfy


def name_of(path: str) -> str:
    return path.split("/", 1)[1]


def route(lora: bool = False, lora_first: bool = False, control: bool = False) -> Prompt:
    """Image to features to image, with stock loaders and, as wanted, LoRA and ControlNet."""
    prompt = quick(api_prompt("06-image-features-image"))
    sampler, world = the(prompt, "KSampler"), the(prompt, "SeedStory_LoadWorld")
    model, conditioning = the(prompt, "SeedStory_ApplyDetokenizer"), "SeedStory_Conditioning"
    del prompt[the(prompt, "SeedStory_LoadWorldPainter")]
    prompt[world]["inputs"]["world"] = WORLD
    unet = {"unet_name": name_of(tiny_files.UNET_FILE), "weight_dtype": "default"}
    prompt["unet"] = {"class_type": "UNETLoader", "inputs": unet}
    vae = {"vae_name": name_of(tiny_files.VAE_FILE)}
    prompt["vae"] = {"class_type": "VAELoader", "inputs": vae}
    prompt[the(prompt, "VAEDecode")]["inputs"]["vae"] = ["vae", 0]
    chain = [model]
    if lora:
        adapter = {"lora_name": name_of(tiny_files.LORA_FILE), "strength_model": 1.0}
        prompt["lora"] = {"class_type": "LoraLoaderModelOnly", "inputs": adapter}
        chain = ["lora", model] if lora_first else [model, "lora"]
    for before, after in zip(["unet", *chain], [*chain, sampler], strict=True):
        prompt[after]["inputs"]["model"] = [before, 0]
    if control:
        file = {"control_net_name": name_of(tiny_files.CONTROLNET_FILE)}
        prompt["control"] = {"class_type": "ControlNetLoader", "inputs": file}
        at = the(prompt, conditioning)
        steer = {"positive": [at, 0], "negative": [at, 1], "control_net": ["control", 0]}
        steer |= {"image": [the(prompt, "SeedStory_WorldOpening"), 0], "strength": 1.0}
        steer |= {"start_percent": 0.0, "end_percent": 1.0}
        prompt["steer"] = {"class_type": "ControlNetApplyAdvanced", "inputs": steer}
        prompt[sampler]["inputs"] |= {"positive": ["steer", 0], "negative": ["steer", 1]}
    return prompt


def picture(server: ComfyServer, prompt: Prompt) -> np.ndarray:
    """The pixels that the prompt's preview shows."""
    run = server.run(prompt)
    assert run.status == "success", run.error()
    (image,) = run.outputs[the(prompt, "PreviewImage")]["images"]
    query = f"filename={image['filename']}&subfolder={image['subfolder']}&type={image['type']}"
    return np.array(Image.open(io.BytesIO(server.get_bytes(f"/view?{query}"))).convert("RGB"))


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one.astype(int) - other.astype(int)).any())


def test_the_worlds_weights_change_the_picture(patched: ComfyServer) -> None:
    plain = route()
    plain[the(plain, "KSampler")]["inputs"]["model"] = ["unet", 0]
    assert differ(picture(patched, route()), picture(patched, plain))


def test_a_lora_counts_and_its_place_does_not(patched: ComfyServer) -> None:
    without = picture(patched, route())
    after = picture(patched, route(lora=True))
    before = picture(patched, route(lora=True, lora_first=True))
    assert differ(without, after)
    assert not differ(after, before), "LoRA before or after Apply De-tokenizer: bit-equal"


def test_a_controlnet_counts(patched: ComfyServer) -> None:
    assert differ(picture(patched, route(lora=True)), picture(patched, route(True, control=True)))


def test_the_wrong_base_model_is_refused_with_its_keys(patched: ComfyServer) -> None:
    prompt = route()
    prompt[the(prompt, "SeedStory_LoadWorld")]["inputs"]["world"] = UNFIT
    run = patched.run(prompt)
    assert run.status == "error"
    assert "SDXL" in run.error() and "down_blocks.5" in run.error()


def test_a_world_without_painter_names_the_route(patched: ComfyServer) -> None:
    prompt = quick(api_prompt("06-image-features-image"))
    prompt[the(prompt, "SeedStory_LoadWorldPainter")]["inputs"]["world"] = WORLD
    run = patched.run(prompt)
    assert run.status == "error"
    assert "Apply De-tokenizer" in run.error()

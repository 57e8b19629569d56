"""Inputs that are damaged, foreign, hostile or do not fit: each is refused by name."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seedstory_core.engines.seed_story.conversion.detokenizer import convert_detokenizer
from seedstory_core.engines.seed_story.conversion.inputs import (
    LLM,
    convert_agent,
    convert_tokenizer,
    convert_visual,
)
from seedstory_core.engines.seed_story.conversion.world import Inputs, convert
from seedstory_core.errors import SeedStoryError

AGENT = "agent_pytorch_model"
STEM = "llm.base_model.model."


@pytest.fixture
def agent(golden: Path) -> dict:
    return load_file(golden / f"{AGENT}.safetensors")


def refused(act: Callable, folder: Path, *patterns: str) -> None:
    """``act`` raises an error with all ``patterns`` in it, and leaves no weights behind."""
    with pytest.raises(SeedStoryError) as caught:
        act()
    for pattern in patterns:
        assert pattern in str(caught.value), str(caught.value)
    assert not list(folder.rglob("*.safetensors")) and not list(folder.rglob("*.part"))


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated(suffix: str, share: float, golden: Path, options: Callable, tmp_path: Path):
    whole = (golden / f"{AGENT}.{suffix}").read_bytes()
    source = tmp_path / f"cut.{suffix}"
    source.write_bytes(whole[: int(len(whole) * share)])
    out = tmp_path / "w"
    refused(lambda: convert_agent(out, source, options()), out, f"cut.{suffix}", "damaged")


def test_foreign_checkpoint(golden: Path, options: Callable, tmp_path: Path):
    foreign = golden / "visual_tokenizer.bin"
    refused(
        lambda: convert_agent(tmp_path, foreign, options()),
        tmp_path,
        "visual_tokenizer.bin is not a whole SEED-Story agent",
        "unknown keys",
        "conv1.weight",
    )


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (f"{STEM}model.layers.1.mlp.up_proj.weight", "base part is missing"),
        (f"{STEM}model.layers.1.mlp.up_proj.lora_B.default.weight", "up part is missing"),
        (f"{STEM}model.norm.modules_to_save.default.weight", "misses weights: model.norm.weight"),
        (f"{STEM}model.embed_tokens.weight", "model.embed_tokens.weight"),
        ("output_resampler.attn.out_proj.bias", "output_resampler.out_proj.bias"),
    ],
)
def test_missing_keys(key: str, says: str, agent: dict, options: Callable, tmp_path: Path):
    source = tmp_path / "agent.safetensors"
    save_file({name: value for name, value in agent.items() if name != key}, source)
    out = tmp_path / "w"
    refused(lambda: convert_agent(out, source, options()), out, "agent.safetensors", says)


def test_missing_layers(agent: dict, options: Callable, tmp_path: Path):
    source = tmp_path / "agent.safetensors"
    save_file({k: v for k, v in agent.items() if ".layers.0." not in k}, source)
    out = tmp_path / "w"
    refused(lambda: convert_agent(out, source, options()), out, "model.layers.0")


@pytest.mark.parametrize(
    ("key", "shape", "says"),
    [
        (f"{STEM}model.layers.0.mlp.up_proj.weight", (95, 128), "LoRA"),
        (f"{STEM}model.layers.0.self_attn.q_proj.lora_A.default.weight", (16, 127), "LoRA"),
        (f"{STEM}model.layers.1.input_layernorm.modules_to_save.default.weight", (127,), "shaped"),
        (f"{STEM}lm_head.weight", (465, 128), "lm_head (465, 128)"),
        ("input_resampler.pos_embed", (64, 120), "input_resampler.positions.weight"),
        ("input_resampler.query", (64,), "other shapes"),
    ],
)
def test_wrong_shapes(
    key: str, shape: tuple, says: str, agent: dict, options: Callable, tmp_path: Path
):
    source = tmp_path / "agent.safetensors"
    save_file({**agent, key: torch.zeros(shape)}, source)
    out = tmp_path / "w"
    refused(lambda: convert_agent(out, source, options()), out, says)


class Evil:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("place", ["beside", "instead"])
def test_a_pickle_that_wants_to_run_code(
    place: str, agent: dict, options: Callable, tmp_path: Path
):
    witness, source = tmp_path / "it-ran", tmp_path / "evil.bin"
    evil = Evil(witness)
    torch.save({**agent, "x": evil} if place == "beside" else evil, source)
    out = tmp_path / "w"
    for convert_one in (convert_agent, convert_visual):
        refused(lambda c=convert_one: c(out, source, options()), out, "evil.bin", "refused")
    assert not witness.exists()


def test_tokenizer_without_image_tokens(golden: Path, tmp_path: Path):
    plain = tmp_path / "plain"
    shutil.copytree(golden / "tokenizer", plain)
    for name in ("added_tokens.json", "tokenizer_config.json"):
        (plain / name).chmod(0o644)
        (plain / name).write_text("{}")
    refused(
        lambda: convert_tokenizer(tmp_path / "w", plain),
        tmp_path / "w",
        str(plain),
        "<img>, </img>",
        "Use the tokenizer that was released",
    )
    refused(
        lambda: convert_tokenizer(tmp_path / "w", tmp_path),
        tmp_path / "w",
        "no sentencepiece model",
    )


def test_vocabulary_of_another_size(agent: dict, options: Callable, inputs: Inputs, tmp_path: Path):
    for key in ("model.embed_tokens", "lm_head"):
        agent[f"{STEM}{key}.weight"] = agent[f"{STEM}{key}.weight"][:-1].clone()
    source = tmp_path / "agent.safetensors"
    save_file(agent, source)
    out = tmp_path / "w"
    assert convert_tokenizer(out, inputs.tokenizer)
    refused(lambda: convert_agent(out, source, options()), out, "466 tokens", "465 embedding rows")


def test_numbers_that_do_not_fit(agent: dict, options: Callable, tmp_path: Path):
    source, out = tmp_path / "agent.safetensors", tmp_path / "w"
    key = "output_resampler.ln_q.weight"
    agent[key] = agent[key].float()
    agent[key][0] = 1e6
    save_file(agent, source)
    half = options(dtype=torch.float16)
    refused(
        lambda: convert_agent(out, source, half), out, "ln_q.weight", "1e+06", "--dtype float32"
    )
    assert convert_agent(out, source, options())
    (out / LLM).unlink()
    agent[key][0] = float("nan")
    save_file(agent, source)
    refused(lambda: convert_agent(out, source, options()), out, "no numbers", "damaged")


def test_heads_that_no_shape_tells(inputs: Inputs, options: Callable, tmp_path: Path):
    unsaid = options(sizes={})
    refused(lambda: convert_visual(tmp_path, inputs.visual, unsaid), tmp_path, "heads of vision")
    wrong = options(sizes={"vision": {"heads": 4, "width": 65, "beads": 3}})
    refused(
        lambda: convert_visual(tmp_path, inputs.visual, wrong), tmp_path, "width 65", "['beads']"
    )


def test_detokenizer_wants_the_visual_tokenizer_first(
    inputs: Inputs, options: Callable, tmp_path: Path
):
    refused(
        lambda: convert_detokenizer(tmp_path, inputs.detokenizer, None, options()),
        tmp_path,
        "vision.safetensors",
        "--visual",
    )


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, inputs: Inputs, options: Callable) -> Path:
    """A world with only its visual tokenizer. Copy before use."""
    folder = tmp_path_factory.mktemp("seeing") / "w"
    convert_visual(folder, inputs.visual, options())
    return folder


def test_bases_that_do_not_fit(
    seeing: Path, golden: Path, inputs: Inputs, options: Callable, tmp_path: Path
):
    official = load_file(golden / "detokenizer_pytorch_model.safetensors")
    unet = {k.removeprefix("unet."): v for k, v in official.items() if k.startswith("unet.")}
    out = tmp_path / "w"
    shutil.copytree(seeing, out)

    def with_base(tensors: dict, *patterns: str) -> None:
        save_file(tensors, tmp_path / "base.safetensors")
        with pytest.raises(SeedStoryError) as caught:
            convert_detokenizer(out, inputs.detokenizer, tmp_path / "base.safetensors", options())
        assert all(pattern in str(caught.value) for pattern in patterns), str(caught.value)

    with_base({"weight": torch.zeros(1)}, "base.safetensors holds no SDXL UNet")
    with_base({**unet, "conv_in.weight": torch.zeros(8, 9, 3, 3)}, "does not fit", "conv_in.weight")
    missing = {key: value for key, value in unet.items() if key != "conv_out.bias"}
    with_base(missing, "does not fit", "conv_out.bias", "None")
    assert not (out / "detokenizer.safetensors").exists()


def test_a_unet_that_is_not_whole(seeing: Path, golden: Path, options: Callable, tmp_path: Path):
    """Only the trained tensors: fine over a base, refused without one."""
    official = load_file(golden / "detokenizer_pytorch_model.safetensors")
    trained = {
        key: value
        for key, value in official.items()
        if key.startswith("resampler.") or key.endswith(("to_k.weight", "to_v.weight"))
    }
    source, out = tmp_path / "detok.safetensors", tmp_path / "w"
    shutil.copytree(seeing, out)
    save_file(trained, source)
    with pytest.raises(SeedStoryError, match="missing UNet tensors: .*--sdxl-base"):
        convert_detokenizer(out, source, None, options())
    with pytest.raises(SeedStoryError, match="unknown UNet tensors: .*--unet-config"):
        convert_detokenizer(
            out,
            source,
            None,
            options(
                unet_config={
                    **options().unet_config,
                    "block_out_channels": [8, 16],
                    "down_block_types": ["DownBlock2D", "DownBlock2D"],
                    "up_block_types": ["UpBlock2D", "UpBlock2D"],
                }
            ),
        )
    only = {key: value for key, value in official.items() if key.startswith("resampler.")}
    save_file(only, source)
    with pytest.raises(SeedStoryError, match="missing UNet tensors"):
        convert_detokenizer(out, source, None, options())


def test_the_negative_must_be_of_the_same_vision(
    inputs: Inputs, options: Callable, golden: Path, tmp_path: Path
):
    convert(tmp_path, inputs, options())
    other = load_file(golden / "visual_tokenizer.safetensors")
    other["ln_post.bias"] += 1
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(SeedStoryError, match="another visual tokenizer"):
        convert(tmp_path, Inputs(visual=tmp_path / "other.safetensors"), options())
    assert not (tmp_path / "world.json").exists(), "half-changed files must not count as a world"
    assert convert(tmp_path, Inputs(detokenizer=inputs.detokenizer), options()) is not None


def test_a_base_without_a_detokenizer(inputs: Inputs, tmp_path: Path):
    with pytest.raises(SeedStoryError, match="give --detokenizer"):
        convert(tmp_path / "w", replace(inputs, detokenizer=None, base=tmp_path))

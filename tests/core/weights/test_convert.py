"""Official files to a world: the world tells what the reference told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seedstory_core.context import Window
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.conversion.inputs import (
    LLM,
    UNET,
    Options,
    convert_agent,
    missing_inputs,
)
from seedstory_core.engines.seed_story.conversion.world import Inputs, convert
from seedstory_core.engines.seed_story.prompt import Prompt
from seedstory_core.engines.seed_story.telling import Teller
from seedstory_core.hosts import local_host
from seedstory_core.sampling import REFERENCE
from seedstory_core.world import World, load_world

CPU = torch.device("cpu")
Make = Callable[..., Options]


def bin_of(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def test_the_world_tells_what_the_reference_told(world: World, golden: Path):
    engine = open_engine(world, local_host(CPU, torch.float32))
    teller = Teller(engine.config, engine.words, engine.parts["llm"])
    io = load_file(golden / "generate_io.safetensors")
    prompt = Prompt(tuple(io["input_ids"][0].tolist()), (0,))
    case = json.loads((golden / "generate.json").read_text())["cases"][0]
    sampling = replace(REFERENCE, max_new_tokens=case["max_new_tokens"])
    pictures = [io["image_embeds"][0].float()]
    told = teller.tell(prompt, pictures, Window(), sampling, 0, True, lambda ids: None)
    assert list(told.ids) == case["generate_ids"]
    torch.testing.assert_close(told.features[None], io[case["feat_key"]], atol=2e-3, rtol=1e-3)


def test_every_part_gives_what_the_reference_gave(world: World, golden: Path):
    engine = open_engine(world, local_host(CPU, torch.float32, cast=True))
    seen = load_file(golden / "visual_tokenizer_io.safetensors")
    painted = load_file(golden / "detokenizer_io.safetensors")
    kept = load_file(world.file("detokenizer"))
    with torch.inference_mode():
        out = engine.parts["vision"].acquire()(seen["pixels"].float())
        features = load_file(golden / "generate_io.safetensors")["img_gen_feat_mx500"]
        tokens, pooled = engine.parts["detokenizer"].acquire()(features)
    torch.testing.assert_close(out, seen["out"], atol=2e-4, rtol=1e-4)
    for got, want in (
        (tokens, painted["prompt_embeds"]),
        (pooled, painted["pooled"]),
        (kept["negative.tokens"], painted["negative_prompt_embeds"]),
        (kept["negative.pooled"], painted["negative_pooled"]),
    ):
        torch.testing.assert_close(got, want, atol=2e-4, rtol=1e-3)


def test_without_a_base_the_whole_unet_is_kept(world: World, golden: Path):
    official = bin_of(golden / "detokenizer_pytorch_model.bin")
    own = {key.removeprefix("unet."): v for key, v in official.items() if key.startswith("unet.")}
    unet = load_file(world.file("unet"))
    assert unet.keys() == own.keys() and all(torch.equal(unet[key], own[key]) for key in own)
    assert not [key for key in load_file(world.file("detokenizer")) if key.startswith("unet.")]
    assert world.painter is not None and world.painter["unet"]["sample_size"] == 8
    assert world.panel_size == (64, 64)


def test_with_a_base_only_changed_tensors_are_kept(
    world: World, inputs: Inputs, options: Make, golden: Path, tmp_path: Path
):
    """Changes that vanish in fp16 do not count; an earlier whole UNet goes away."""
    official = bin_of(golden / "detokenizer_pytorch_model.bin")
    base = {k.removeprefix("unet."): v.clone() for k, v in official.items() if "unet." in k[:5]}
    moved = [key for key in base if key.endswith(("to_k.weight", "to_v.weight"))]
    for key in moved:
        base[key] += 0.05
    base["conv_in.weight"] *= 1 + 1e-7
    save_file(base, tmp_path / "base.safetensors")
    folder = tmp_path / "w"
    half = options(dtype=torch.float16)
    first = convert(folder, inputs, half)
    assert first is not None and (folder / UNET).is_file()
    second = convert(folder, replace(inputs, base=tmp_path / "base.safetensors"), half)
    assert second is not None and second.painter is None and "unet" not in second.files
    assert not (folder / UNET).exists()
    kept = load_file(second.file("detokenizer"))
    changed = {key.removeprefix("unet."): v for key, v in kept.items() if key.startswith("unet.")}
    assert set(changed) == set(moved) and len(moved) > 0
    assert all(torch.equal(changed[key], official[f"unet.{key}"].half()) for key in moved)
    patch = open_engine(second, local_host(CPU, torch.float32)).unet_patch()
    assert set(patch) == set(moved)


def test_lora_is_merged_in_fp32_and_rounded_once(
    inputs: Inputs, options: Make, golden: Path, tmp_path: Path
):
    convert_agent(tmp_path, inputs.agent, options(dtype=torch.float16))
    official, got = bin_of(golden / "agent_pytorch_model.bin"), load_file(tmp_path / LLM)
    stem = "llm.base_model.model.model.layers.1.mlp.down_proj"
    a, b = (official[f"{stem}.lora_{side}.default.weight"].float() for side in "AB")
    merged = official[f"{stem}.weight"].float() + 32 / a.shape[0] * (b @ a)
    assert (b @ a).abs().max() > 0
    assert torch.equal(got["model.layers.1.mlp.down_proj.weight"], merged.half())
    norm = "llm.base_model.model.model.norm"
    trained = official[f"{norm}.modules_to_save.default.weight"]
    assert not torch.equal(trained, official[f"{norm}.original_module.weight"])
    assert torch.equal(got["model.norm.weight"], trained.half())
    assert not [key for key in got if "lora" in key or "inv_freq" in key or "original" in key]


def test_inputs_may_come_one_by_one(world: World, inputs: Inputs, options: Make, tmp_path: Path):
    folder = tmp_path / "golden"
    left = ["--tokenizer", "--agent", "--visual", "--detokenizer"]
    for name in ("tokenizer", "agent", "visual", "detokenizer"):
        assert missing_inputs(folder) == left
        done = convert(folder, Inputs(**{name: getattr(inputs, name)}), options())
        left = left[1:]
    assert done is not None and done.digest == world.digest
    assert {r: f.sha256 for r, f in done.files.items()} == {
        r: f.sha256 for r, f in world.files.items()
    }


def test_a_second_run_leaves_finished_files_alone(inputs: Inputs, options: Make, tmp_path: Path):
    convert(tmp_path, inputs, options())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.safetensors")}
    steps: list = []
    assert convert(tmp_path, inputs, options(), progress=lambda *step: steps.append(step))
    assert {path: path.stat().st_mtime_ns for path in before} == before and not steps
    convert(tmp_path, Inputs(agent=inputs.agent), options(lora_alpha=16.0))
    changed = [path.name for path in before if path.stat().st_mtime_ns != before[path]]
    assert changed == [LLM]


def test_a_changed_file_of_the_same_size_is_noticed(
    inputs: Inputs, options: Make, golden: Path, tmp_path: Path
):
    copy = tmp_path / "agent.safetensors"
    tensors = load_file(golden / "agent_pytorch_model.safetensors")
    save_file(tensors, copy)
    assert convert_agent(tmp_path, copy, options())
    assert not convert_agent(tmp_path, copy, options())
    tensors["llm.base_model.model.lm_head.weight"] += 1
    save_file(tensors, copy)
    assert convert_agent(tmp_path, copy, options())


def test_provenance_and_terms_are_recorded(world: World):
    told = world.provenance
    assert told["agent"]["files"] == ["agent_pytorch_model.bin"]
    assert told["agent"]["lora_alpha"] == 32.0 and told["agent"]["dtype"] == "float32"
    assert len(told["visual"]["fingerprint"]) == 64 and told["detokenizer"]["base"] is None
    for name in ("Apache-2.0", "Llama 2", "Tongyi Qianwen", "RAIL"):
        assert name in world.licence
    assert load_world(world.root).digest == world.digest


@pytest.mark.parametrize("form", ["safetensors", "shards of safetensors", "shards of pickles"])
def test_every_form_of_the_agent_gives_the_same(
    form: str, world: World, options: Make, golden: Path, tmp_path: Path
):
    tensors = load_file(golden / "agent_pytorch_model.safetensors")
    source = golden / "agent_pytorch_model.safetensors"
    if form != "safetensors":
        suffix = "safetensors" if "safetensors" in form else "bin"
        source = shard(tensors, tmp_path / "in", suffix, save_file if suffix != "bin" else save_bin)
    out = tmp_path / "out"
    convert_agent(out, source, options())
    whole, again = load_file(world.file("llm")), load_file(out / LLM)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_qwen_shards_need_only_those_with_the_visual_part(
    world: World, inputs: Inputs, options: Make, golden: Path, tmp_path: Path
):
    """The language model's shards are not downloaded, and not asked for."""
    visual = load_file(golden / "visual_tokenizer.safetensors")
    tensors = {f"transformer.visual.{key}": value for key, value in visual.items()}
    folder = tmp_path / "qwen"
    index = shard(tensors, folder, "bin", save_bin)
    data = json.loads(index.read_text())
    data["weight_map"] |= {
        "transformer.wte.weight": "pytorch_model-00001-of-00010.bin",
        "transformer.h.0.attn.c_attn.weight": "pytorch_model-00001-of-00010.bin",
        "transformer.ln_f.weight": "pytorch_model-00007-of-00010.bin",
        "lm_head.weight": "pytorch_model-00010-of-00010.bin",
    }
    index.write_text(json.dumps(data))
    out = tmp_path / "out"
    convert(out, Inputs(visual=folder), options())
    whole, again = load_file(world.file("vision")), load_file(out / "vision.safetensors")
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def save_bin(tensors: dict, path: Path) -> None:
    torch.save(tensors, path)


def shard(tensors: dict, folder: Path, suffix: str, save: Callable) -> Path:
    """Two files and an index, as transformers writes them; gives the index."""
    folder.mkdir()
    names = sorted(tensors)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    where = {}
    for i, half in enumerate(halves, 8):
        name = f"pytorch_model-{i:05d}-of-00010.{suffix}"
        save({key: tensors[key].contiguous() for key in half}, folder / name)
        where |= dict.fromkeys(half, name)
    index = folder / f"pytorch_model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index

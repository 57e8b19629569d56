"""Parity passes on goldens of any sizes, and fails when a single value is wrong, case by case."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.golden_world import GOLDEN, golden_models
from support.make_goldens import make_goldens

from seedstory_core.errors import SeedStoryError
from seedstory_core.parity import run_parity
from seedstory_core.parity.check import Check
from seedstory_core.parity.goldens import Goldens
from seedstory_core.parity.models import Models
from seedstory_core.parity.run import CASES, run_case

pytest.importorskip("diffusers", reason="diffusers runs the UNet cases")

LAYER = "llm.base_model.model.model.layers.0"
NAMES = [case.name for case in CASES]
BY_NAME = {case.name: case for case in CASES}


def test_the_golden_set_passes_whole() -> None:
    results = list(run_parity(GOLDEN))
    assert [result.case for result in results] == NAMES
    assert not [(r.case, r.skipped, r.check.failures) for r in results if not r.passed]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of other sizes, heads, token order, window and panels, by the second reference."""
    folder = tmp_path_factory.mktemp("goldens") / "made"
    make_goldens(folder, GOLDEN / "tokenizer")
    return folder


def test_a_set_of_other_sizes_passes(made: Path) -> None:
    results = list(run_parity(made))
    assert not [(r.case, r.check.failures) for r in results if r.check.failures]
    assert {r.case for r in results if r.skipped} == {"file formats"}  # it has .bin only


def copy_of(folder: Path, target: Path) -> Path:
    """Files are linked, so that only what is changed is written."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).symlink_to(path)
    return target


def replaced(folder: Path, name: str) -> Path:
    """``folder/name`` as a file of its own."""
    path = folder / name
    source = path.resolve()
    path.unlink()
    shutil.copyfile(source, path)
    return path


def with_models(folder: Path) -> Models:
    """Models of ``folder``, whose weights are those of the golden set and need no new loading."""
    models = Models(Goldens(folder))
    shared = ("config", "vision", "llm_state", "mllm", "detokenizer", "tokenizer", "unet")
    models.__dict__ |= {name: getattr(golden_models(), name) for name in shared}
    return models


# For each case one tensor or record value that it must look at.
SPOILED = {
    "preprocessing": ("visual_tokenizer_io", "preproc_out"),
    "vision": ("visual_tokenizer_io", "after_block0_img0"),
    "vision, zero image": ("visual_tokenizer_io", "out_zero_image"),
    "vision, other sizes": ("visual_tokenizer_io", "out_238"),
    "lora merge": ("lora_merge_io", "model.layers.0.self_attn.q_proj.weight"),
    "input resampler": ("input_resampler_io", "out"),
    "output resampler": ("output_resampler_io", "out"),
    "prefill": ("mllm_prefill_io", "k_cache_layer0"),
    "picture token rule": ("logits_processor_io", "scores_out"),
    "generate": ("generate_io", "img_gen_feat_mx500"),
    "story loop": ("story_loop_io", "p3.img_gen_feat"),
    "given captions": ("story_vis_io", "p2.img_gen_feat_sum"),
    "training losses": ("train_forward_io", "rec_loss"),
    "conditioning": ("detokenizer_io", "pooled"),
    "negative conditioning": ("detokenizer_io", "negative_prompt_embeds"),
    "picture to conditioning": ("detokenizer_io", "pil_pooled"),
    "noise schedule": ("detokenizer_io", "euler50_sigmas"),
    "noise prediction": ("detokenizer_io", "unet_noise_pred"),
    "denoising": ("detokenizer_io", "euler3_latents_after_step1"),
    "painter's loss": ("detokenizer_io", "stage3_loss"),
}
RECORDED = {
    "tokenizer": ("MANIFEST.json", r'"boi_id": 400', '"boi_id": 401'),
    "generate": ("generate.json", r'"num_gen_imgs": 1', '"num_gen_imgs": 0'),
    "story loop": ("story_loop.json", r'"has_img_output": true', '"has_img_output": false'),
    "given captions": ("story_vis.json", r'"generate_ids": \[\s*400', '"generate_ids": [399'),
}


def test_every_case_is_spoiled_below() -> None:
    assert {*SPOILED, *RECORDED, "file formats"} == set(NAMES)


@pytest.mark.parametrize("case", SPOILED)
def test_one_wrong_value_fails_its_case(case: str, tmp_path: Path) -> None:
    stem, name = SPOILED[case]
    folder = copy_of(GOLDEN, tmp_path / "g")
    path = replaced(folder, f"{stem}.safetensors")
    tensors = load_file(path)
    flat = tensors[name].reshape(-1)
    flat[len(flat) // 3] += 0.05 + 0.02 * flat[len(flat) // 3].abs()
    save_file(tensors, path)
    result = run_case(BY_NAME[case], with_models(folder))
    assert result.check.failures and not result.passed and not result.skipped
    assert "is off by" in result.check.failures[0]


@pytest.mark.parametrize("case", RECORDED)
def test_one_wrong_record_fails_its_case(case: str, tmp_path: Path) -> None:
    name, pattern, instead = RECORDED[case]
    folder = copy_of(GOLDEN, tmp_path / "g")
    path = replaced(folder, name)
    text, count = re.subn(pattern, instead, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)
    assert run_case(BY_NAME[case], with_models(folder)).check.failures


def test_formats_that_differ_fail(tmp_path: Path) -> None:
    folder = copy_of(GOLDEN, tmp_path / "g")
    path = replaced(folder, "visual_tokenizer.bin")
    state = torch.load(path, weights_only=True)
    state["proj"][0, 0] += 1
    torch.save(state, path)
    assert run_case(BY_NAME["file formats"], Models(Goldens(folder))).check.failures


@pytest.mark.parametrize(
    ("file", "key", "fail"),
    [
        ("agent_pytorch_model", f"{LAYER}.mlp.down_proj.lora_B.default.weight",
         {"prefill", "training losses"}),
        ("visual_tokenizer", "transformer.resblocks.1.attn.in_proj.weight", {"vision"}),
        ("detokenizer_pytorch_model", "resampler.layers.1.0.to_q.weight", {"conditioning"}),
    ],
)  # fmt: skip
def test_one_wrong_weight_fails_what_uses_it(
    file: str, key: str, fail: set[str], made: Path, tmp_path: Path
) -> None:
    folder = copy_of(made, tmp_path / "g")
    path = replaced(folder, f"{file}.bin")
    state = torch.load(path, weights_only=True)
    state[key] *= 1.5
    torch.save(state, path)
    models = Models(Goldens(folder))
    for case in fail:
        assert run_case(BY_NAME[case], models).check.failures, case


def test_missing_weights_and_files_fail_or_are_skipped_by_name(made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path / "g")
    path = replaced(folder, "visual_tokenizer.bin")
    state = torch.load(path, weights_only=True)
    del state["ln_post.bias"]
    torch.save(state, path)
    for name in ("generate.json", "agent_pytorch_model.bin", "scheduler_config.json"):
        (folder / name).unlink()
    results = {result.case: result for result in run_parity(folder)}
    assert "ln_post.bias" in results["vision"].check.failures[0]
    for case, file in {"generate": "generate", "prefill": "agent_pytorch_model",
                       "denoising": "scheduler_config"}.items():  # fmt: skip
        assert results[case].skipped.startswith(f"no {file}")
    assert results["conditioning"].passed


def test_a_folder_without_goldens_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match="no MANIFEST.json"):
        list(run_parity(tmp_path))
    (tmp_path / "MANIFEST.json").write_text("{}")
    with pytest.raises(SeedStoryError, match="Not one of"):
        list(run_parity(tmp_path))
    (tmp_path / "MANIFEST.json").write_text("[")
    with pytest.raises(SeedStoryError, match="cannot be read"):
        list(run_parity(tmp_path))


@pytest.mark.parametrize(
    ("got", "passes"),
    [([1.0, 2.0], True), ([1.0, 2.0001], True), ([1.0, 2.1], False), ([torch.nan, 2.0], False),
     ([1.0], False)],
)  # fmt: skip
def test_comparing(got: list[float], passes: bool) -> None:
    check = Check()
    check.close("x", torch.tensor(got), torch.tensor([1.0, 2.0]), (1e-3, 0.0))
    assert (not check.failures) == passes


def test_the_worst_failure_is_the_one_shown() -> None:
    check = Check()
    zero = torch.zeros(1)
    check.close("loose", zero + 0.5, zero, (1.0, 0.0))
    check.close("tight", zero + 0.1, zero, (0.01, 0.0))
    assert check.error == pytest.approx(0.1) and check.tolerance == (0.01, 0.0)


def command(folder: Path) -> Iterator[str]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "seedstory_core", "parity", str(folder)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    yield str(done.returncode)
    yield from done.stdout.strip().splitlines()


def test_the_command_line(tmp_path: Path) -> None:
    """Only quick files: the whole set has run above."""
    folder = tmp_path / "g"
    folder.mkdir()
    for name in ("MANIFEST.json", "lora_merge_io.safetensors", "agent_pytorch_model.safetensors"):
        (folder / name).symlink_to(GOLDEN / name)
    code, *lines = command(folder)
    assert code == "0" and lines[-1] == "1 passed, 0 failed"
    assert any(line.startswith("lora merge") and line.endswith("ok") for line in lines)
    assert any(
        line.startswith("vision ") and "skipped (no visual_tokenizer_io" in line for line in lines
    )
    path = replaced(folder, "lora_merge_io.safetensors")
    tensors = {key: value + 1 for key, value in load_file(path).items()}
    save_file(tensors, path)
    code, *lines = command(folder)
    assert code == "1" and lines[-1] == "0 passed, 1 failed"


def test_manifest_of_the_goldens_is_what_the_cases_read() -> None:
    """Every file the manifest lists is looked at by some case."""
    listed = {
        Path(name).stem for name in json.loads((GOLDEN / "MANIFEST.json").read_text())["files"]
    }
    used = {stem for case in CASES for stem in case.needs} | {"llama_config"}
    assert listed - used == set()

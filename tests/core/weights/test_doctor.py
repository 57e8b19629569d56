"""The doctor: what is there, missing, damaged, unknown or unfinished, and the next command."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seedstory_core import doctor
from seedstory_core.cli import main
from seedstory_core.engines.seed_story.conversion.world import Inputs, convert
from seedstory_core.machine import Machine
from seedstory_core.weights.catalog import CATALOG, LOCK, find
from seedstory_core.world import World

GIB = 1 << 30


@pytest.fixture
def models(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one good world, and no other place where worlds are."""
    models = tmp_path / "models"
    shutil.copytree(world.root, models / "seedstory" / "golden")
    roots = [models / "seedstory", models]
    monkeypatch.setattr(doctor, "world_roots", lambda _: roots)
    return models


def states(models: Path, deep: bool = False) -> dict[str, str]:
    (report,) = doctor.examine_worlds(models, deep)
    return {item.name: item.state for item in report.findings}


def test_a_whole_world_is_usable(models: Path, capsys: pytest.CaptureFixture):
    assert set(states(models, deep=True).values()) == {"there"}
    assert main(["doctor", "--models", str(models), "--deep"]) == 0
    text = capsys.readouterr().out
    assert "World golden" in text and ": usable" in text and "Tongyi Qianwen" in text
    for phase in ("see", "tell", "condition", "paint", "decode"):
        assert f"    {phase} " in text
    assert text.count(" whole\n") == 5
    assert "This machine: " in text and " RAM" in text


@pytest.mark.parametrize("name", ["llm.safetensors", "unet.safetensors", "vision.safetensors"])
def test_cut_short(models: Path, name: str, capsys: pytest.CaptureFixture):
    path = models / "seedstory" / "golden" / name
    path.write_bytes(path.read_bytes()[:-100])
    assert states(models)[name] == "DAMAGED"
    assert main(["doctor", "--models", str(models)]) == 1
    text = capsys.readouterr().out
    assert "NOT usable" in text and f"instead of {path.stat().st_size + 100}" in text
    assert "-> Copy the world anew, or convert again: python -m seedstory_core convert" in text


def test_one_flipped_bit_is_found_by_the_deep_look_only(models: Path):
    path = models / "seedstory" / "golden" / "llm.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert states(models)["llm.safetensors"] == "there"
    assert states(models, deep=True)["llm.safetensors"] == "DAMAGED"


def test_missing_and_unknown_files(models: Path):
    folder = models / "seedstory" / "golden"
    (folder / "tokenizer" / "added_tokens.json").unlink()
    shutil.copy(folder / "llm.safetensors", folder / "mine.safetensors")
    found = states(models)
    assert found["tokenizer/added_tokens.json"] == "missing"
    assert found["mine.safetensors"] == "unknown" and found["llm.safetensors"] == "there"


def test_a_damaged_manifest_is_reported_and_does_not_stop_the_rest(models: Path, world: World):
    shutil.copytree(world.root, models / "seedstory" / "other")
    (models / "seedstory" / "golden" / "world.json").write_text("{")
    reports = {report.name: report for report in doctor.examine_worlds(models)}
    assert reports["other"].usable and not reports["golden"].usable
    assert "not valid JSON" in reports["golden"].findings[0].problem


def test_an_unfinished_conversion_names_what_it_wants(
    models: Path, inputs: Inputs, options: Callable, capsys: pytest.CaptureFixture
):
    shutil.rmtree(models / "seedstory" / "golden")
    folder = models / "seedstory" / "begun"
    convert(folder, replace(inputs, tokenizer=None, detokenizer=None), options())
    (report,) = doctor.examine_worlds(models)
    assert report.findings[0].state == "unfinished" and not report.usable
    assert "--tokenizer, --detokenizer" in report.findings[0].problem
    assert " --tokenizer " in report.findings[0].advice
    assert " --detokenizer " in report.findings[0].advice
    assert "--agent" not in report.findings[0].advice
    assert main(["doctor", "--models", str(models)]) == 1
    assert "Next: python -m seedstory_core download tokenizer" in capsys.readouterr().out


def test_official_files(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Sizes are compared with the table, hashes of first downloads with the lock."""
    (agent,), (base,) = find("agent"), find("sdxl-base")
    for entry in (agent, base):
        (tmp_path / entry.path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"a": torch.zeros(9)}, tmp_path / agent.path)
    (tmp_path / base.path).write_bytes(b"short")
    stranger = tmp_path / "seedstory" / "official" / "what.bin"
    stranger.write_bytes(b"?")
    part = tmp_path / (find("detokenizer")[0].path + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"12345")

    def found(deep: bool = False) -> dict[str, doctor.Finding]:
        return {item.name: item for item in doctor.examine_outside(tmp_path, deep)}

    first = found()
    assert len(first) == len(CATALOG) + 1
    assert first["agent"].state == "there" and first["sdxl-base"].state == "DAMAGED"
    assert f"5 bytes instead of {base.bytes}" in first["sdxl-base"].problem
    assert first["seedstory/official/what.bin"].state == "unknown"
    assert first["detokenizer"].state == "missing" and first["detokenizer"].bytes == 5
    assert first["detokenizer"].advice.endswith(f"download detokenizer --models {tmp_path}")
    assert first["vae-fp16-fix"].licence == "MIT"
    record = {"agent": {"sha256": "0" * 64, "bytes": (tmp_path / agent.path).stat().st_size}}
    (tmp_path / LOCK).write_text(json.dumps(record))
    assert found()["agent"].state == "there" and found(deep=True)["agent"].state == "DAMAGED"
    (tmp_path / agent.path).write_bytes((tmp_path / agent.path).read_bytes()[:-30])
    (tmp_path / LOCK).write_text("no json")
    assert "not a whole PyTorch file" in found()["agent"].problem
    assert found()["downloads.json"].state == "DAMAGED"


def test_this_machine_is_described(world: World):
    here = Machine.here(world.root)
    assert here.ram > GIB // 4 and here.disk > 0 and here.cores > 0
    assert " RAM; " in here.describe()


def test_nothing_there_at_all(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "world_roots", lambda models: [models / "seedstory"])
    assert main(["doctor", "--models", str(tmp_path / "none")]) == 1
    text = capsys.readouterr().out
    assert "(does not exist)" in text
    assert f"Next: python -m seedstory_core download tokenizer --models {tmp_path / 'none'}" in text

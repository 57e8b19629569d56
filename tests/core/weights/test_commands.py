"""``convert`` and ``download`` as typed."""

import json
from pathlib import Path

import pytest
import range_server as server  # beside this file, loaded by conftest.py

from seedstory_core.cli import main
from seedstory_core.engines.seed_story.conversion.world import Inputs
from seedstory_core.weights import catalog
from seedstory_core.world import World, load_world


@pytest.fixture
def typed(inputs: Inputs, sizes: dict, golden: Path, tmp_path: Path) -> list[str]:
    """The beginning of a convert command for the goldens."""
    config = tmp_path / "sizes.json"
    config.write_text(json.dumps(sizes))
    unet = golden / "detokenizer_unet_config.json"
    return ["convert", "--world", str(tmp_path / "golden"), "--dtype", "float32",
            "--config", str(config), "--unet-config", str(unet)]  # fmt: skip


def test_convert_in_two_calls(
    typed: list[str], inputs: Inputs, world: World, tmp_path: Path, capsys
):
    first = [*typed, "--tokenizer", str(inputs.tokenizer), "--agent", str(inputs.agent)]
    assert main(first) == 1
    assert "Still wanted: --visual, --detokenizer" in capsys.readouterr().out
    second = ["--visual", str(inputs.visual), "--detokenizer", str(inputs.detokenizer)]
    named = ["--title", "Tiny", "--licence", "none"]
    assert main([*typed, *second, *named]) == 0
    assert "World 'golden' is complete" in capsys.readouterr().out
    made = load_world(tmp_path / "golden")
    assert (made.title, made.licence, made.digest) == ("Tiny", "none", world.digest)


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "not valid JSON"), ("[]", "must hold a JSON object"), (None, "no JSON file")],
)
def test_a_bad_config_file(
    typed: list[str], content: str | None, says: str, tmp_path: Path, capsys
):
    config = tmp_path / "sizes.json"
    config.unlink()
    if content is not None:
        config.write_text(content)
    assert main(typed) == 2
    assert says in capsys.readouterr().err


def test_download_by_name_from_a_mirror(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    with server.serving(server.Behaviour(b"{}")) as base:
        named = ["download", "tokenizer/added_tokens.json", "--models", str(tmp_path)]
        assert main([*named, "--base-url", base]) == 0
        monkeypatch.setenv("SEEDSTORY_DOWNLOAD_BASE", base)
        place = ["--filename", "else/where.json", "--revision", "v2"]
        again = ["download", "tokenizer/tokenizer_config.json", "--models", str(tmp_path)]
        assert main([*again, *place]) == 0
        assert main(["download", "tokenizer", *place]) == 2
    out, err = capsys.readouterr()
    assert "Terms: Apache-2.0 (SEED-Story); Llama 2 Community License" in out
    assert "for one file, but 4 are named" in err
    for name in ("added_tokens.json", "tokenizer_config.json"):
        entry = catalog.find(f"tokenizer/{name}")[0]
        assert (tmp_path / entry.path).read_bytes() == b"{}"
    lock = json.loads((tmp_path / catalog.LOCK).read_text())
    assert lock["tokenizer/tokenizer_config.json"]["filename"] == "else/where.json"


def test_download_without_a_name_fetches_nothing(capsys):
    assert main(["download"]) == 0
    text = capsys.readouterr().out
    assert all(entry.key in text for entry in catalog.CATALOG)
    assert "place inferred" in text and "size unknown" in text
    assert main(["download", "nonsense"]) == 2

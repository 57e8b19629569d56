"""A disk without room: said before writing where it can be known, and never half a file."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from seedstory_core.engines.seed_story.conversion.inputs import LLM, convert_agent
from seedstory_core.engines.seed_story.conversion.world import Inputs
from seedstory_core.errors import SeedStoryError
from seedstory_core.weights import outputs


def test_no_room_is_said_before_writing(
    inputs: Inputs, options: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def require(folder: Path, needed: int, purpose: str) -> None:
        asked.append(needed)
        raise SeedStoryError(f"{purpose} needs {needed}")

    monkeypatch.setattr(outputs, "require_space", require)
    with pytest.raises(SeedStoryError, match="Writing llm.safetensors needs"):
        convert_agent(tmp_path, inputs.agent, options())
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    convert_agent(tmp_path, inputs.agent, options())
    assert asked == [(tmp_path / LLM).stat().st_size]


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_disk_full_while_writing(inputs: Inputs, options: Callable, tmp_path: Path):
    """A file size limit fails write() in the middle of the file, as a full disk does."""
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, old[1]))
    try:
        with pytest.raises(
            SeedStoryError, match=r"Disk full while writing .*llm.* bytes\) are free"
        ):
            convert_agent(tmp_path, inputs.agent, options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not list(tmp_path.iterdir())
    assert convert_agent(tmp_path, inputs.agent, options()), "with room it goes through"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk(
    inputs: Inputs, options: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with pytest.raises(SeedStoryError, match="Writing llm.safetensors needs"):
            convert_agent(small / "w", inputs.agent, options())
        monkeypatch.setattr(outputs, "require_space", lambda *_: None)  # another writer was quicker
        with pytest.raises(SeedStoryError, match="Disk full while writing .* bytes"):
            convert_agent(small / "w", inputs.agent, options())
        assert not (small / "w").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)

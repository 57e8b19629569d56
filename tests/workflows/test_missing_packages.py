"""Nodes run where a package that they do not use is missing, or broken by somebody's update."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.prompts import api_prompt, changed, quick
from support.server import ComfyServer

pytestmark = [pytest.mark.comfyui]

BLOCKED = Path(__file__).parents[1] / "support" / "blocked"
UNUSED = ("diffusers", "accelerate", "peft")  # by nodes; the command line paints with diffusers
BOOKS = ("fpdf", "uharfbuzz", "fontTools")  # by nodes that print books only
SINGLY = [(how, name) for how in ("missing", "broken") for name in UNUSED]


@pytest.fixture
def crippled(
    comfy_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[ComfyServer]:
    """A server that cannot import some packages."""
    monkeypatch.setenv("PYTHONPATH", str(BLOCKED))
    monkeypatch.setenv("SEEDSTORY_BLOCKED", request.param)
    server = ComfyServer(comfy_tree, Path(sys.executable), tmp_path)
    try:
        yield server.start()
    finally:
        server.stop()


def tells_and_paints(server: ComfyServer) -> None:
    prompt = changed(quick(api_prompt("03-whole-story")), "SeedStory_StartStory", run="blocked")
    run = server.run(prompt)
    assert run.status == "success", run.error()
    assert list((server.base / "output" / "seedstory" / "blocked" / "panels").glob("*.png"))


@pytest.mark.parametrize("crippled", ["missing:" + ",".join(UNUSED + BOOKS)], indirect=True)
def test_a_story_is_told_and_painted_without_any_of_them(crippled: ComfyServer) -> None:
    tells_and_paints(crippled)


@pytest.mark.slow  # six servers
@pytest.mark.parametrize("crippled", [f"{how}:{name}" for how, name in SINGLY], indirect=True)
def test_a_story_is_told_and_painted_without_one_of_them(crippled: ComfyServer) -> None:
    tells_and_paints(crippled)

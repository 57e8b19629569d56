"""Session fixtures that need a ComfyUI: skipped by name where there is none.

With SEEDSTORY_REQUIRE_COMFYUI=1, as on CI, a missing ComfyUI fails instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .comfy_places import (
    NEWEST_FRONT_END,
    find_comfy,
    find_oldest_comfy,
    front_end_folder,
    oldest_python,
)
from .server import ComfyServer

CHROMIUM_PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


def require(found: Path | None, what: str) -> Path:
    """``found``, or a skip that names it (a failure under SEEDSTORY_REQUIRE_COMFYUI=1)."""
    if found is not None:
        return found
    if os.environ.get("SEEDSTORY_REQUIRE_COMFYUI") == "1":
        pytest.fail(f"required but not found: {what}")
    pytest.skip(f"not found: {what}")


@pytest.fixture(scope="session")
def comfy_tree() -> Path:
    """The ComfyUI tree the tests run on."""
    return require(find_comfy(), "ComfyUI (set COMFYUI_PATH)")


@pytest.fixture(scope="session")
def comfy(comfy_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server of the current ComfyUI with the pack and tiny SDXL files; it makes babble itself."""
    server = ComfyServer(comfy_tree, Path(sys.executable), tmp_path_factory.mktemp("comfy"))
    yield from _serve(server)


@pytest.fixture(scope="session")
def comfy_oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """The same on the oldest supported ComfyUI, in its own small environment."""
    found = find_oldest_comfy()
    if found is None:  # never required: a machine need not keep old versions
        pytest.skip("not found: ComfyUI 0.3.64 (set COMFYUI_OLDEST_PATH)")
    server = ComfyServer(found, oldest_python(), tmp_path_factory.mktemp("comfy-oldest"))
    yield from _serve(server)


@pytest.fixture(scope="session")
def comfy_newest(
    comfy_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComfyServer]:
    """The current ComfyUI with the newest front end that is known to work."""
    yield from _with_front_end(NEWEST_FRONT_END, comfy_tree, tmp_path_factory)


@pytest.fixture(scope="session")
def comfy_today(
    comfy_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComfyServer]:
    """The current ComfyUI with the newest front end that the package registry has today."""
    yield from _with_front_end("", comfy_tree, tmp_path_factory)


def _with_front_end(
    version: str, tree: Path, places: pytest.TempPathFactory
) -> Iterator[ComfyServer]:
    pages = front_end_folder(version)
    if pages is None:  # never required: there may be no network
        pytest.skip(f"not found: comfyui-frontend-package {version} (is there a network?)")
    server = ComfyServer(tree, Path(sys.executable), places.mktemp("comfy-newest"))
    yield from _serve(server, "--front-end-root", str(pages))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium or Chrome."""
    named = os.environ.get("CHROMIUM_PATH")
    places = (named,) if named else CHROMIUM_PLACES
    found = next((Path(place) for place in places if Path(place).is_file()), None)
    if found is None:
        pytest.skip("not found: Chromium (apt install chromium, or set CHROMIUM_PATH)")
    return str(found)


def _serve(server: ComfyServer, *flags: str) -> Iterator[ComfyServer]:
    try:
        yield server.start(flags)
    finally:
        server.stop()

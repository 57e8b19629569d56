"""comfy-test, the public harness for node packs, attached to a real server with the pack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import source
from support.server import PACK, TINY_SDXL, ComfyServer

pytestmark = [pytest.mark.comfyui, pytest.mark.browser]

ENDPOINT = TINY_SDXL.with_name("validate_endpoint")
EXECUTABLES = ("chrome-linux64/chrome", "chrome-linux/chrome", "ffmpeg-linux")
EXECUTABLES += (
    "chrome-headless-shell-linux64/chrome-headless-shell",
    "chrome-linux/headless_shell",
)


def playwright_browsers(folder: Path, chromium: str) -> dict[str, str]:
    """Playwright's browser folder filled with links to ``chromium``: the variables that name it."""
    settings = {"PLAYWRIGHT_BROWSERS_PATH": str(folder), "PLAYWRIGHT_SKIP_BROWSER_GC": "1"}
    command = [sys.executable, "-m", "playwright", "install", "--dry-run", "chromium"]
    plan = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | settings
    ).stdout
    for place in re.findall(r"Install location:\s+(\S+)", plan):
        for name in EXECUTABLES:
            link = Path(place, name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(chromium)
        Path(place, "INSTALLATION_COMPLETE").touch()
    return settings


def test_it_passes_every_level_that_knows_v3_packs(
    comfy_tree: Path, chromium: str, tmp_path: Path
) -> None:
    pack = tmp_path / "base" / "custom_nodes" / PACK
    for path in source.tracked():
        if not path.startswith("tests/"):
            (pack / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source.ROOT / path, pack / path)
    config = pack / "comfy-test.toml"
    levels, _, graphs = config.read_text().partition("[test.workflows]")
    assert "tests/reference-noise.json" in graphs
    only = 'timeout = 600\nrun = ["tests/reference-noise.json"]\n'
    levels = levels.replace('"execution_light"]', '"execution"]')
    config.write_text(f"{levels}[test.workflows]\n{only}")
    settings = playwright_browsers(tmp_path / "browsers", chromium) | {"HOME": str(tmp_path)}
    packs = {PACK: pack, "tiny_sdxl": TINY_SDXL, "validate_endpoint": ENDPOINT}
    server = ComfyServer(comfy_tree, Path(sys.executable), tmp_path / "base", packs)
    try:
        server.start()
        command = [Path(sys.executable).with_name("comfy-test"), "run", "--server-url", server.url]
        done = subprocess.run(
            command, cwd=pack, capture_output=True, text=True, env=os.environ | settings
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    for level in ("REGISTRATION", "VALIDATION", "EXECUTION"):
        assert f"[{level}] PASSED" in done.stdout

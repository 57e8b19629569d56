"""Where a ComfyUI tree lies on this machine, and the interpreter that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST_ENV = ROOT / ".venv-oldest"

#: What 0.3.64 pins and a newer ComfyUI pins otherwise; all else both can share.
OLDEST_PINS = (
    "comfyui-frontend-package==1.27.10",
    "comfyui-workflow-templates==0.1.95",
    "comfyui-embedded-docs==0.2.6",
)


def find_comfy() -> Path | None:
    """The ComfyUI tree to test on: $COMFYUI_PATH, the enclosing one, comfy-cli's place, home."""
    candidates = [Path.home() / "comfy" / "ComfyUI", Path.home() / "ComfyUI"]
    if ROOT.parent.name == "custom_nodes":
        candidates.insert(0, ROOT.parents[1])
    return _first("COMFYUI_PATH", candidates)


def find_oldest_comfy() -> Path | None:
    """The tree of the oldest supported ComfyUI: $COMFYUI_OLDEST_PATH or ~/comfy/ComfyUI-0.3.64."""
    return _first("COMFYUI_OLDEST_PATH", [Path.home() / "comfy" / "ComfyUI-0.3.64"])


def oldest_python() -> Path:
    """An interpreter for the oldest ComfyUI: this environment, with that version's pins on top.

    The packages that differ are installed into a small environment of their own; everything else
    is read from the running one, so it costs seconds instead of a second torch.
    """
    if all(_installed(pin) for pin in OLDEST_PINS):
        return Path(sys.executable)  # quickstart.py test --deps oldest
    python = OLDEST_ENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = OLDEST_ENV / "pins.txt"
    wanted = "\n".join([sys.executable, *OLDEST_PINS])
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    venv.create(OLDEST_ENV, with_pip=False, clear=True)
    inner = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(inner, "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-installed"]
    subprocess.run([*pip, *OLDEST_PINS], check=True)
    stamp.write_text(wanted)
    return python


def _installed(pin: str) -> bool:
    """Whether this very environment has ``name==version``."""
    name, _, version = pin.partition("==")
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False


def _first(variable: str, candidates: Iterable[Path]) -> Path | None:
    named = os.environ.get(variable)
    if named:
        candidates = [Path(named)]  # somebody who names a tree means that one and no other
    return next((path for path in candidates if (path / "main.py").is_file()), None)

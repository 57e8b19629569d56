"""Where a ComfyUI tree lies on this machine, and the interpreter that runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
OLDEST_ENV = ROOT / ".venv-oldest"

#: What 0.3.64 pins and a newer ComfyUI pins otherwise; all else both can share.
OLDEST_PINS = (
    "comfyui-frontend-package==1.27.10",
    "comfyui-workflow-templates==0.1.95",
    "comfyui-embedded-docs==0.2.6",
)

#: The newest front end that is tried by default; its newer ones are tried with ``-m slow``.
NEWEST_FRONT_END = "1.58.1"
FRONT_ENDS = ROOT / ".quickstart" / "front-ends"
FRONT_END = "comfyui-frontend-package"


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
    with FileLock(OLDEST_ENV.with_suffix(".lock")):  # several processes may run tests
        return _small_environment()


def _small_environment() -> Path:
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


def front_end_folder(version: str) -> Path | None:
    """The pages of this version of the front end from the package registry, for ComfyUI's
    ``--front-end-root``; "" is the newest there is. None where it cannot be had."""
    wanted = version or _newest_front_end()
    if wanted is None:
        return None
    folder = FRONT_ENDS / wanted
    if not folder.is_dir():
        part = FRONT_ENDS / f"{wanted}.{os.getpid()}.part"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", part]
        done = subprocess.run([*pip, f"{FRONT_END}=={wanted}"], check=False)
        if done.returncode:
            return None
        try:
            part.rename(folder)
        except OSError:  # another run was faster
            shutil.rmtree(part)
    return folder / "comfyui_frontend_package" / "static"


def _newest_front_end() -> str | None:
    pip = [sys.executable, "-m", "pip", "index", "versions", FRONT_END]
    asked = subprocess.run(pip, check=False, capture_output=True, text=True)
    found = re.match(rf"{FRONT_END} \(([\w.]+)\)", asked.stdout)
    return found[1] if found else None


def _first(variable: str, candidates: Iterable[Path]) -> Path | None:
    named = os.environ.get(variable)
    if named:
        candidates = [Path(named)]  # somebody who names a tree means that one and no other
    return next((path for path in candidates if (path / "main.py").is_file()), None)

#!/usr/bin/env python3
"""Renews the locks: exact versions with hashes of all that quickstart.py installs.

    python locks/renew.py                to what the registry gives today
    python locks/renew.py --keep         only what pyproject.toml or a list in this folder changed

Needs uv (``pip install uv``). Each lock holds for Python 3.10 and newer on every system, except
``oldest.txt``: the lower bounds of pyproject.toml on Python 3.10. Run the tests with all three sets
of packages before the new locks are committed (docs/DEPENDENCIES.md).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent
FIRST_PYTHON = "3.10"
COMFY, OLDEST_COMFY = "comfyui-0.33.0.in", "comfyui-0.3.64.in"
EXTRAS_WITH_BOUNDS = ("train", "video")  # `quantised` needs a torch newer than the oldest


def entries(name: str) -> list[str]:
    """A list of pyproject.toml (read as text: Python 3.10 has no TOML reader)."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    body = text.split(f"\n{name} = [", 1)[1].split("]", 1)[0]
    return json.loads(f"[{body.strip().rstrip(',')}]")


def name_of(requirement: str) -> str:
    """``"numpy>=1.25"`` -> ``"numpy"``."""
    return requirement.split(">=")[0].split("==")[0].strip().lower()


def lower_bounds() -> list[str]:
    """Every package that the library or an extra asks for, at the oldest version it allows."""
    asked = [*entries("dependencies"), *(x for extra in EXTRAS_WITH_BOUNDS for x in entries(extra))]
    return [requirement.replace(">=", "==") for requirement in asked]


def oldest_wanted() -> str:
    """The requirements of ``oldest.txt``: lower bounds, and test tools as they come."""
    bounds = lower_bounds()
    tools = [name_of(tool) for tool in entries("test")]
    bound = {name_of(requirement) for requirement in bounds}
    unused = {"ruff", "pyright", "comfy-test"}  # they read the source and run with the lock
    return "\n".join([*bounds, *(tool for tool in tools if tool not in bound | unused)])


def compile_lock(target: str, sources: list[str], words: list[str], stdin: str = "") -> None:
    """One run of ``uv pip compile``."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is missing: pip install uv")
    command = [uv, "pip", "compile", *sources, "--generate-hashes", "--no-annotate", "--quiet"]
    command += ["--custom-compile-command", "python locks/renew.py", "--python-version"]
    command += [FIRST_PYTHON, "--no-emit-index-url", "--output-file", f"locks/{target}", *words]
    subprocess.run(command, cwd=ROOT, check=True, input=stdin, text=True, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="keep versions that still fit")
    fresh = [] if parser.parse_args().keep else ["--upgrade"]
    every = [*fresh, "--universal"]
    run = ["requirements.txt", "locks/torch.in", f"locks/{COMFY}"]
    compile_lock("run.txt", run, every)
    test = [*run, "pyproject.toml", "--extra", "test"]
    compile_lock("test.txt", test, [*every, "--constraints", "locks/run.txt"])
    compile_lock("oldest.txt", ["-", f"locks/{OLDEST_COMFY}"], every, oldest_wanted())


if __name__ == "__main__":
    main()

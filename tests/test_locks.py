"""The locks say what pyproject.toml, ComfyUI and the docs say, with a hash for every file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from support.comfy_places import find_comfy, find_oldest_comfy
from support.source import ROOT

LOCKS = ROOT / "locks"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SYSTEMS = (("linux", "Linux"), ("win32", "Windows"), ("darwin", "Darwin"))


def lines_of(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pins(lock: str) -> list[Requirement]:
    """Every entry of a lock."""
    return [
        Requirement(line.rstrip("\\ "))
        for line in lines_of(LOCKS / lock)
        if not line.lstrip().startswith("--hash")
    ]


def chosen(lock: str, python: str, system: tuple[str, str] = SYSTEMS[0]) -> dict[str, str]:
    """What a lock installs there: name -> version."""
    here = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": system[0],
        "platform_system": system[1],
    }
    found = [pin for pin in pins(lock) if pin.marker is None or pin.marker.evaluate(here)]
    return {name(pin.name): str(pin.specifier).removeprefix("==") for pin in found}


def name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def asked(extra: str | None = None) -> list[Requirement]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    body = text.split(f"\n{extra or 'dependencies'} = [", 1)[1].split("]", 1)[0]
    return [Requirement(entry) for entry in re.findall(r'"([^"]+)"', body)]


@pytest.mark.parametrize("lock", ["run.txt", "test.txt", "oldest.txt"])
def test_every_entry_is_one_version_with_hashes(lock: str) -> None:
    text = (LOCKS / lock).read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=[a-z0-9])", text) if "==" in entry]
    assert len(entries) == len(pins(lock)) > 50
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert [str(pin) for pin in pins(lock) if not str(pin.specifier).startswith("==")] == []
    assert "://" not in text, "a lock names packages, not where somebody got them from"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=[one[1] for one in SYSTEMS])
def test_the_locks_hold_for_every_python_and_system(python: str, system: tuple[str, str]) -> None:
    run, tests = chosen("run.txt", python, system), chosen("test.txt", python, system)
    assert run.items() <= tests.items(), "the tests must run on what users get"
    lists = [LOCKS / "torch.in", LOCKS / "comfyui-0.33.0.in", ROOT / "requirements.txt"]
    wanted = [Requirement(line) for file in lists for line in lines_of(file)]
    wanted += [*asked(), *asked("train"), *asked("quantised"), *asked("video")]
    for requirement in [*wanted, *asked("test")]:
        version = tests.get(name(requirement.name))
        assert version and requirement.specifier.contains(version), (requirement, version)


def test_the_oldest_lock_has_the_lower_bounds() -> None:
    have = chosen("oldest.txt", "3.10")
    for requirement in [*asked(), *asked("train"), *asked("video")]:
        assert str(requirement.specifier).startswith(">="), requirement
        floor = str(requirement.specifier).removeprefix(">=")
        version = have[name(requirement.name)]
        assert requirement.specifier.contains(version), (requirement, version)
        assert re.sub(r"(\.0)+$", "", version) == re.sub(r"(\.0)+$", "", floor), requirement


def test_versions_with_known_holes_are_not_allowed() -> None:
    """CVE-2025-68146 and CVE-2026-22701: older filelock empties files behind links."""
    floors = {name(one.name): str(one.specifier) for one in asked()}
    assert floors["filelock"] == ">=3.20.3"
    assert floors["torch"] == ">=2.6", "before 2.6, weights_only loading could be escaped"


@pytest.mark.parametrize(
    ("listed", "tree"),
    [("comfyui-0.33.0.in", find_comfy()), ("comfyui-0.3.64.in", find_oldest_comfy())],
    ids=["0.33.0", "0.3.64"],
)
def test_what_comfyui_asks_for_is_copied_right(listed: str, tree: Path | None) -> None:
    if tree is None:
        pytest.skip(f"not found: the ComfyUI of {listed}")
    version = re.search(r'"(.+)"', (tree / "comfyui_version.py").read_text())
    assert version is not None
    if version[1] not in listed:
        pytest.skip(f"ComfyUI is {version[1]} here, which {listed} is not about")
    assert set(lines_of(tree / "requirements.txt")) <= set(lines_of(LOCKS / listed))


def test_an_existing_comfyui_is_not_moved() -> None:
    """The loose list asks for nothing that the environment with ComfyUI's packages lacks."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*command, "-r", "requirements.txt"], cwd=ROOT, capture_output=True, text=True
    )
    if "No module named pip" in done.stderr:
        pytest.skip("pip is not in this environment")
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


def test_the_docs_list_the_versions() -> None:
    text = (ROOT / "docs" / "DEPENDENCIES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([\w.+]+) \| ([\w.+]+) \| ([\w.+]+) \|", text, re.M)
    oldest, locked = chosen("oldest.txt", "3.10"), chosen("test.txt", "3.11")
    table = {package: (low, now) for package, low, now, _ in rows}
    for requirement in asked():
        package = name(requirement.name)
        assert table.get(package) == (oldest[package], locked[package]), package

"""What an installation gets: all packages, the shipped world, the tools' extras."""

from __future__ import annotations

import re
from pathlib import Path

from support import source

from seedstory_core.weights import places

CONFIG = (source.ROOT / "pyproject.toml").read_text(encoding="utf-8")


def listed(name: str) -> list[str]:
    """The quoted entries of a list in pyproject.toml (Python 3.10 has no TOML reader)."""
    match = re.search(rf"^{re.escape(name)} = \[(.*?)\n?\]", CONFIG, re.M | re.S)
    assert match, name
    return re.findall(r'"([^"]+)"', match[1])


def test_every_package_is_named() -> None:
    folders = {str(Path(path).parent) for path in source.modules("seedstory_core/")}
    packages = {folder.replace("/", ".") for folder in folders}
    assert sorted(packages | {"seedstory_core.worlds"}) == listed("packages")


def test_the_shipped_worlds_files_are_package_data() -> None:
    patterns = listed('"seedstory_core.worlds"')
    root = source.ROOT / "worlds"
    packed = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    tracked = {source.ROOT / path for path in source.tracked() if path.startswith("worlds/")}
    assert tracked and tracked <= packed


def test_installed_worlds_are_searched_last() -> None:
    package = Path(places.__file__).parents[1]
    roots = places.world_roots(Path("models"))
    assert roots[-2:] == [package.parent / "worlds", package / "worlds"]


def test_comfyui_and_pip_need_the_same() -> None:
    lines = (source.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert {line for line in listed("dependencies") if not line.startswith("torch")} == wanted

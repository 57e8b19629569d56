"""README's map of the files equals the tree."""

from __future__ import annotations

import re

import pytest
from support import source


def file_map(text: str) -> list[str]:
    """Paths in the fenced block under the heading that ends in "map".

    A line is ``path  description`` (two spaces or more between); ``a.py, b.py  ...`` names two.
    Indented lines lie in the folder (``name/``) above them.
    """
    match = re.search(r"^#+ .*\bmap\s*\n(?:.*\n)*?```.*\n((?:.*\n)*?)```", text, re.M | re.I)
    assert match, "README.md has no fenced file map under a heading that ends in 'map'"
    paths: list[str] = []
    folders: list[tuple[int, str]] = []
    for line in filter(str.strip, match[1].splitlines()):
        indent = len(line) - len(line.lstrip())
        while folders and folders[-1][0] >= indent:
            folders.pop()
        parent = folders[-1][1] if folders else ""
        names, _, description = line.strip().partition("  ")
        assert description.strip(), f"no description: {line!r}"
        for name in names.split(","):
            paths.append(parent + name.strip())
        if names.endswith("/"):
            folders.append((indent, parent + names))
    return paths


@pytest.fixture(scope="module")
def mapped() -> list[str]:
    return file_map((source.ROOT / "README.md").read_text(encoding="utf-8"))


def test_every_path_in_the_map_exists(mapped: list[str]) -> None:
    missing = [path for path in mapped if not (source.ROOT / path).exists()]
    assert not missing, f"in README's map but not in the tree: {missing}"


def test_the_map_names_everything(mapped: list[str]) -> None:
    top = {path.split("/")[0] + ("/" if "/" in path else "") for path in source.tracked()}
    code = [
        path
        for path in source.modules("seedstory_core/", "nodes/")
        if (source.ROOT / path).stat().st_size and not path.endswith("/__init__.py")
    ]
    missing = sorted({*top, *code} - set(mapped))
    assert not missing, f"in the tree but not in README's map: {missing}"


def test_the_map_is_read_with_folders_and_lists() -> None:
    lines = ["a/   things", "  b.py, c.py  two", "  d/  inner", "    e.py  one", "f.py  last"]
    text = "\n".join(["# File map", "", "```", *lines, "```", ""])
    assert file_map(text) == ["a/", "a/b.py", "a/c.py", "a/d/", "a/d/e.py", "f.py"]

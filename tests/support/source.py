"""Our own source as data: which files there are, what they import, how long their functions are."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One import: file, line, ``level`` leading dots, dotted module (names included), and depth.

    ``module`` of ``from ..a import b`` is ``a.b``; ``lazy`` says it stands inside a function.
    """

    file: str
    line: int
    level: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {'.' * self.level}{self.module}"


@cache
def tracked() -> tuple[str, ...]:
    """Paths of all files that belong to the repository: known to git, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return tuple(sorted(path for path in done.stdout.splitlines() if (ROOT / path).is_file()))


def modules(*folders: str) -> list[str]:
    """Python files under these folders (or these files), as paths from the root."""
    return [path for path in tracked() if path.endswith(".py") and path.startswith(tuple(folders))]


@cache
def parsed(path: str) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), path)


def imports(path: str) -> Iterator[Import]:
    """Every import in a file; one entry per imported name."""
    tree = parsed(path)
    inner = {id(node) for func in functions(path) for node in ast.walk(func)}
    for node in ast.walk(tree):
        lazy = id(node) in inner
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, 0, alias.name, lazy)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{node.module}.{alias.name}" if node.module else alias.name
                yield Import(path, node.lineno, node.level, module, lazy)


def absolute(found: Import) -> str:
    """The imported module as a dotted path from the root, dots resolved."""
    if not found.level:
        return found.module
    package = found.file.removesuffix(".py").removesuffix("/__init__").split("/")
    if not found.file.endswith("/__init__.py"):
        package = package[:-1]
    kept = package[: len(package) - (found.level - 1)]
    return ".".join([*kept, found.module])


def functions(path: str) -> list[Function]:
    """Every function and method of a file."""
    return [node for node in ast.walk(parsed(path)) if isinstance(node, Function)]


def length(node: Function) -> int:
    """Lines of a function, signature and docstring included."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1

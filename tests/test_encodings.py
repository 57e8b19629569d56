"""Text has a named encoding wherever it is read, written or passed, and no system's line ends.

Without one, Python takes the system's: UTF-8 here, a code page on Windows. And text that is written
without ``newline`` has other bytes there, so that hashes differ.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from support import source

#: How many arguments without a name come before the encoding of a text file.
OPENS = {"open": 3, "fdopen": 3, "read_text": 0, "write_text": 1, "TextIOWrapper": 1}
MODES = {"open": 1, "fdopen": 1}
RUNS = {"run", "Popen", "check_output", "check_call", "call", "getoutput"}
WRAPPED = {"Image", "Source", "os", "webbrowser", "opener", "tarfile", "zipfile", "av", "wave"}


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call, its name, and what it is called on where that is a plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node, node.func.id, ""
            elif isinstance(node.func, ast.Attribute):
                value = node.func.value
                yield node, node.func.attr, value.id if isinstance(value, ast.Name) else ""


def named(call: ast.Call) -> dict[str | None, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords}


def mode_of(call: ast.Call, name: str, on: str) -> str:
    """The mode of a file that is opened; "?" where it is computed."""
    if name not in MODES:
        return "w" if name == "write_text" else "r"
    method = name == "open" and isinstance(call.func, ast.Attribute) and on != "io"
    at = MODES[name] - method
    given = named(call).get("mode", call.args[at] if len(call.args) > at else None)
    if given is None:
        return "r"
    texts = [node.value for node in ast.walk(given) if isinstance(node, ast.Constant)]
    return "".join(text for text in texts if isinstance(text, str)) or "?"


def faults(tree: ast.AST) -> Iterator[str]:
    """What is wrong, with its line."""
    for call, name, on in calls(tree):
        given = named(call)
        if name in OPENS and on not in WRAPPED and None not in given:
            mode = mode_of(call, name, on)
            if "b" in mode or mode == "?":
                continue
            if "encoding" not in given and len(call.args) <= OPENS[name]:
                yield f"{call.lineno}: {name} without an encoding"
            if set(mode) & set("wax+") and "newline" not in given:
                yield f"{call.lineno}: {name} writes text without newline"
        if name in RUNS and on == "subprocess":
            text = {"text", "universal_newlines"} & given.keys()
            if text and "encoding" not in given:
                yield f"{call.lineno}: {name} takes text without an encoding"


def test_all_text_names_its_encoding() -> None:
    bad = [
        f"{path}:{line}"
        for path in source.modules("seedstory_core/", "nodes/", ".ci/", "quickstart.py", "locks/")
        for line in faults(source.parsed(path))
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "open(path, 'w', encoding='utf-8')",
        "path.open()",
        "path.open('a', encoding='utf-8')",
        "path.read_text()",
        "path.write_text('a', encoding='utf-8')",
        "subprocess.run(command, text=True)",
    ],
)
def test_what_names_none_is_found(line: str) -> None:
    assert list(faults(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'rb')",
        "open(path, mode='wb')",
        "open(path, 'ab' if more else 'wb')",
        "path.open('rb')",
        "open(path, encoding='utf-8')",
        "path.read_text('utf-8')",
        "path.write_text('a', encoding='utf-8', newline='\\n')",
        "Image.open(path)",
        "subprocess.run(command, text=True, encoding='utf-8')",
        "subprocess.run(command, capture_output=True)",
    ],
)
def test_what_names_one_or_has_bytes_is_left_alone(line: str) -> None:
    assert not list(faults(ast.parse(line)))

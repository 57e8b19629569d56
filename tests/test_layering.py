"""The arrows between our layers, and the size budgets, checked on the source itself."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys

from support import source

HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "server", "nodes"}
HOST |= {"execution", "latent_preview", "node_helpers", "comfyui_version"}
SCHEMA_API = {
    "comfy_api"
}  # what describes a node; everything else of the host is behind nodes/host
HEAVY = {"transformers", "diffusers", "accelerate", "comfy_kitchen", "matplotlib", "pandas"}

MAX_FILE, MAX_FUNCTION, MAX_EXECUTE, P90_FUNCTION = 400, 60, 20, 45
MAX_TEST_FILE = 500
MIN_ARGUMENTS, MIN_RETURNS = 0.95, 0.90

CORE = source.modules("seedstory_core/")
NODES = source.modules("nodes/")
TESTS = source.modules("tests/")
LIBRARY = CORE + NODES + source.modules("__init__.py", "quickstart.py")
VALUES = ("types", "images", "picture_files", "picture_headers", "errors", "sampling")
VALUES += ("context", "parts", "ops", "strict_json")
TELLERS = ("story", "story_store", "story_reader", "book")


def offenders(found: list[str]) -> str:
    return "\n".join(found)


def part(path: str) -> str:
    """``seedstory_core/book/page.py`` -> ``book``; ``seedstory_core/story.py`` -> ``story``."""
    return path.split("/")[1].removesuffix(".py")


def inner(path: str) -> list[str]:
    """Modules of the core that a file imports, as paths below ``seedstory_core``."""
    found = [source.absolute(item) for item in source.imports(path)]
    prefix = "seedstory_core."
    return [name.removeprefix(prefix) for name in found if name.startswith(prefix)]


def test_the_core_never_imports_the_host() -> None:
    bad = [
        str(item)
        for path in CORE
        for item in source.imports(path)
        if not item.level and item.module.split(".")[0] in HOST | {"seedstory_core"}
    ]
    bad += [
        str(item)
        for path in CORE
        for item in source.imports(path)
        if item.level and not source.absolute(item).startswith("seedstory_core")
    ]
    assert not bad, offenders(bad)


def test_nodes_import_the_core_only_relatively() -> None:
    bad = [
        str(item)
        for path in [*NODES, "__init__.py"]
        for item in source.imports(path)
        if not item.level and item.module.split(".")[0] == "seedstory_core"
    ]
    assert NODES and not bad, offenders(bad)


def test_only_the_host_adapter_calls_the_host() -> None:
    bad = [
        str(item)
        for path in NODES
        if not path.startswith("nodes/host")
        for item in source.imports(path)
        if not item.level and item.module.split(".")[0] in HOST - SCHEMA_API
    ]
    assert not bad, offenders(bad)


def test_values_know_no_model_and_tellers_know_no_engine() -> None:
    bad = []
    for path in CORE:
        own = part(path)
        for name in inner(path):
            first = name.split(".")[0]
            if own in VALUES and first not in VALUES:
                bad.append(f"{path} imports {name}")
            if own in TELLERS and first == "engines":
                bad.append(f"{path} imports {name}")
    assert not bad, offenders(bad)


def test_engines_know_neither_each_other_nor_what_is_above_them() -> None:
    above = {"book", "cli", "painter", "parity", "babble", "story_store", "bench", "training"}
    bad = []
    for path in source.modules("seedstory_core/engines/"):
        own = "/".join(path.split("/")[1:3])
        for name in inner(path):
            other = "/".join(name.split(".")[:2])
            if name.split(".")[0] in above:
                bad.append(f"{path} imports {name}")
            if other.startswith("engines/") and path.count("/") > 2 and other != own:
                bad.append(f"{path} imports {name}")
    assert not bad, offenders(bad)


def test_heavy_packages_are_imported_inside_functions() -> None:
    bad = [
        str(item)
        for path in CORE + NODES
        for item in source.imports(path)
        if not item.lazy and item.module.split(".")[0] in HEAVY
    ]
    assert not bad, offenders(bad)


def test_importing_the_whole_core_loads_nothing_heavy() -> None:
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in CORE]
    names = [name for name in names if not name.endswith("__main__")]
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print([name for name in {sorted(HEAVY)!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_files_fit_their_budget() -> None:
    budgets = dict.fromkeys(LIBRARY, MAX_FILE) | dict.fromkeys(TESTS, MAX_TEST_FILE)
    sizes = {path: len((source.ROOT / path).read_text().splitlines()) for path in budgets}
    bad = [f"{path}: {size} lines" for path, size in sizes.items() if size > budgets[path]]
    assert not bad, offenders(bad)


def test_functions_fit_their_budget() -> None:
    found = [(path, node) for path in LIBRARY for node in source.functions(path)]
    sizes = sorted(source.length(node) for _, node in found)
    bad = [
        f"{path}:{node.lineno} {node.name}: {source.length(node)} lines"
        for path, node in found
        if source.length(node) > (MAX_EXECUTE if _is_execute(path, node) else MAX_FUNCTION)
        and node.name != "define_schema"  # a table in the shape of a function
    ]
    assert not bad, offenders(bad)
    assert statistics.quantiles(sizes, n=10)[-1] <= P90_FUNCTION


def test_annotations_are_nearly_complete() -> None:
    arguments, returns = [], []
    for path in LIBRARY:
        for node in source.functions(path):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [arg.annotation is not None for arg in given if arg.arg != "self"]
            arguments += [] if not given or given[0].arg != "cls" else [True]
            returns.append(node.returns is not None or node.name == "__init__")
    assert statistics.mean(arguments) >= MIN_ARGUMENTS
    assert statistics.mean(returns) >= MIN_RETURNS


def test_no_error_is_swallowed() -> None:
    bad = []
    for path in LIBRARY:
        for node in ast.walk(source.parsed(path)):
            if isinstance(node, ast.ExceptHandler):
                kinds = "" if node.type is None else ast.unparse(node.type)
                if not kinds or re.search(r"\b(Base)?Exception\b", kinds):
                    bad.append(f"{path}:{node.lineno} except {kinds}")
    assert not bad, offenders(bad)


def test_no_file_names_a_machine() -> None:
    homes = "|".join(["ro" + "ot", "ho" + "me/[a-z]+", "wo" + "rk/[a-z]+", "opt/(?:pypi|wheels)"])
    place = re.compile(rf"(?<![\w.:/$}}>])/(?:{homes})\b".encode())
    texts = {path: (source.ROOT / path).read_bytes() for path in source.tracked()}
    bad = [
        f"{path} names {found[0].decode()}"
        for path, text in texts.items()
        if b"\0" not in text and (found := place.search(text))
    ]
    assert not bad, offenders(bad)


def _is_execute(path: str, node: source.Function) -> bool:
    return path.startswith("nodes/") and node.name == "execute"

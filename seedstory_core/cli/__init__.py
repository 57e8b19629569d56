"""The command line: each command is a module with ``add_parser(subparsers)`` and ``run(args)``.

Modules import what is heavy inside ``run``, so that help is quick.
"""

from __future__ import annotations

import argparse
import difflib
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from ..errors import SeedStoryError
from ..troubles import in_words, require_memory

COMMANDS = (
    "tell",
    "story",
    "convert",
    "download",
    "doctor",
    "parity",
    "train",
    "evaluate",
    "bench",
)
USER_ERROR, STOPPED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 after an error users can mend, 130 when stopped."""
    _replace_letters()
    try:
        with in_words():
            return _run(list(sys.argv[1:] if argv is None else argv))
    except SeedStoryError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}.", file=sys.stderr)
        return USER_ERROR


def _replace_letters() -> None:
    """Let no letter end a run that the console, or the file the output goes to, cannot hold."""
    for stream, way in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=way)


def _run(given: list[str]) -> int:
    require_memory()
    modules = {name: import_module(f"{__name__}.{name}") for name in COMMANDS if _exists(name)}
    parser = _parser(modules)
    if not given:
        parser.print_help()
        return USER_ERROR
    unknown = next((word for word in given[:1] if not word.startswith("-")), None)
    if unknown is not None and unknown not in modules:
        print(_suggestion(unknown, modules), file=sys.stderr)
        return USER_ERROR
    args = parser.parse_args(given)
    logging.basicConfig(format="%(message)s", level=logging.DEBUG if args.verbose else None)
    return modules[args.command].run(args)


def _exists(name: str) -> bool:
    return find_spec(f"{__name__}.{name}") is not None


def _parser(modules: dict[str, ModuleType]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seedstory", description="Picture stories told by a multimodal LLM."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is going on")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in modules.values():
        module.add_parser(subparsers)
    return parser


def _suggestion(unknown: str, modules: dict[str, ModuleType]) -> str:
    near = difflib.get_close_matches(unknown, modules, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join(modules)
    return f"error: there is no command {unknown!r}.{hint} Commands: {known}. Help: seedstory -h"

"""Reads JSON that strangers wrote: bounded in size, depth and numbers, and text that can be kept.

Python's own reader takes NaN, endless numbers, and half letters, which break whoever uses them
later. What this one gives can be computed with, written again, and used for the names of files.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .errors import SeedStoryError

DEEPEST = 64  # lists and objects within one another; whoever walks them may recurse
MOST_SETTING, LONGEST_SETTING = 1_000_000, 200  # a number, and letters, of one setting
DIGITS = 40  # of a whole number; the largest in any file of ours, a seed, has 20


def read_json(path: Path, most: int, remedy: str = "") -> Any:
    """The JSON in a file of at most ``most`` bytes.

    Args:
        remedy: what to do about a wrong file, for the message.

    Raises:
        SeedStoryError: no file, one that is too large or cannot be read, or `parse_json`'s.
    """
    return parse_json(read_small(path, most, remedy), str(path), remedy)


def read_small(path: Path, most: int, remedy: str = "") -> bytes:
    """The bytes of a plain file of at most ``most``; errors as `read_json`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise OSError("it is no plain file")
        with open(path, "rb") as file:
            raw = file.read(most + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error  # which would quote the path again
        raise SeedStoryError(_joined(f"{path} cannot be read ({why}).", remedy)) from error
    if len(raw) > most:
        raise SeedStoryError(_joined(f"{path} is larger than {most} bytes.", remedy))
    return raw


def parse_json(
    raw: bytes | str, where: str, remedy: str = "", deepest: int = DEEPEST, nul: bool = False
) -> Any:
    """The value that ``raw`` writes: UTF-8, a mark of byte order in front is passed over.

    Args:
        where: what to call it in messages.
        remedy: what to do about it, likewise.
        deepest: lists and objects within one another.
        nul: whether texts may have the character NUL, which no name of a file bears.

    Raises:
        SeedStoryError: it is no JSON, or has numbers that are none (NaN, 1e999) or have more than
            `DIGITS` digits, text with half a letter, or more depth.
    """
    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw.removeprefix("\ufeff")
        value = json.loads(text, parse_constant=_none, parse_float=_real, parse_int=_whole)
        _check(value, deepest, nul)
    except RecursionError as error:
        raise SeedStoryError(
            _joined(f"{where} is not valid JSON (nested more than {deepest} deep).", remedy)
        ) from error
    except ValueError as error:
        raise SeedStoryError(_joined(f"{where} is not valid JSON ({error}).", remedy)) from error
    return value


def whole(value: object, what: str, least: int, most: int) -> int:
    """``value`` if it is a whole number from ``least`` to ``most``.

    Raises:
        SeedStoryError: it is not; ``what`` it is of is said.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SeedStoryError(
            f"{what} must be a whole number from {least} to {most}, got {shown(value)}."
        )
    return value


def number(value: object, what: str, least: float, most: float) -> float:
    """``value`` if it is a number from ``least`` to ``most``; errors as `whole`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise SeedStoryError(
            f"{what} must be a number from {least:g} to {most:g}, got {shown(value)}."
        )
    return float(value)


def text(value: object, what: str, most: int) -> str:
    """``value`` if it is text of at most ``most`` letters; errors as `whole`."""
    if not isinstance(value, str) or len(value) > most:
        raise SeedStoryError(f"{what} must be text of at most {most} letters, got {shown(value)}.")
    return value


def like_defaults(kind: Any, data: object, what: str) -> dict[str, Any]:
    """``data`` as the arguments of the dataclass ``kind``: each of its field's default's type.

    Raises:
        SeedStoryError: no object, an unknown field, a value of another type, or of a size that no
            setting has.
    """
    if not isinstance(data, Mapping):
        raise SeedStoryError(f"{what} must be an object, got {shown(data)}.")
    made, known = {}, {field.name: field.default for field in fields(kind)}
    for key, value in data.items():
        default, name = known.get(key), f"{what}: {key:.80}"
        if key not in known:
            raise SeedStoryError(f"{name} is not known; expected {', '.join(known)}.")
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise SeedStoryError(f"{name} must be true or false, got {shown(value)}.")
        elif isinstance(default, int):
            value = whole(value, name, -MOST_SETTING, MOST_SETTING)
        elif isinstance(default, float):
            value = number(value, name, -MOST_SETTING, MOST_SETTING)
        elif isinstance(default, str):
            value = text(value, name, LONGEST_SETTING)
        made[key] = value
    return made


def shown(value: object) -> str:
    """``value`` for a message: its beginning."""
    written = repr(value)
    return written if len(written) <= 80 else f"{written[:76]} ..."


def _joined(problem: str, remedy: str) -> str:
    return f"{problem} {remedy}" if remedy else problem


def _none(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _check(value: Any, deepest: int, nul: bool) -> None:
    """Depth and texts of all of ``value``; level by level, so that no depth overflows the stack."""
    level = [[value]]
    for _ in range(deepest + 1):
        below: list[Any] = []
        for holder in level:
            for item in (*holder, *holder.values()) if isinstance(holder, dict) else holder:
                if isinstance(item, str):
                    _check_text(item, nul)
                elif isinstance(item, dict | list):
                    below.append(item)
        if not below:
            return
        level = below
    raise RecursionError


def _check_text(text: str, nul: bool) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a letter, in {text[:40]!r}") from error
    if not nul and "\0" in text:
        raise ValueError(f"the character NUL, in {text[:40]!r}")

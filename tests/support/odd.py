"""Odd values in the place of each value of a JSON file, as strangers may write them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

#: Values that JSON can hold and no field expects everywhere.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 257, 2**31, 10**9, 10**30, 0.5, -0.0, 1e300, "", "x", "y" * 10_000,
    "../x", "/etc/passwd", "C:\\x", "a\\b", [], [0], [10**8, 10**8], [["x"]], {}, {"a": 1},
    ["x"] * 1000,
)  # fmt: skip
#: What JSON cannot hold, or only as text that no file or page bears.
BROKEN: tuple[str, ...] = (
    "NaN", "-Infinity", "1e999", "1" * 400, '"\\u0000"', '"\\ud800"', "[" * 100_000, "",
    "[" * 70 + "]" * 70,
)  # fmt: skip
MARK = "the odd value"

Way = tuple[str | int, ...]


def ways(value: Any, way: Way = ()) -> Iterator[Way]:
    """The places of all values within ``value``, lists of more than three by their first three."""
    if way:
        yield way
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ways(inner, (*way, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:3]):
            yield from ways(inner, (*way, number))


def changed(value: Any, way: Way, odd: Any) -> Any:
    """A copy of ``value`` with ``odd`` at ``way``."""
    whole = copy.deepcopy(value)
    part = whole
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = odd
    return whole


def written(value: Any, way: Way, broken: str) -> str:
    """``value`` as JSON, with the text ``broken`` in place of what is at ``way``."""
    return json.dumps(changed(value, way, MARK)).replace(json.dumps(MARK), broken)

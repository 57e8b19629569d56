"""JSON as no program writes it: odd values at any place, and text that is hardly JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

NAMES = ("../secret.png", "../../secret.png", "../../../secret.png", "../../../../secret.png",
         "/etc/hostname", "C:\\x.png", "a\\..\\b.png", "CON", "nul.png", "aux/x", ".", "..", "",
         "/", "//x", "a//b", "./a", "a/./b", "panels", "story.json", "story.json/x.png", " ", "~",
         "~root/x", "a:b", "\u202egnp.exe", "\u0000", "a\u0000.png", "\ud800.png", "\udfff",
         "p/" * 3000 + "a.png", "a" * 300, "a" * 5000, "\u00e9" * 200, "x.png\n", "%2e%2e/x",
         "*", "?", "[a]", "-rf", "\uffff", "\U0010ffff", "panels/000.PNG")  # fmt: skip
TEXTS = (*NAMES, "true", "null", "0", "1e999", "NaN", "{}", "[]", "a fox", "\u72d0", "\ufeff",
         "\u2028", "<script>", "<img>", "\x1b[31m", "\r\n", "\x7f", "\u0085", "a" * 100_000,
         "\U0001f98a", "e\u0301" * 50, "{" * 1000, "%s%n", "{0.__class__}", "$(id)")  # fmt: skip
#: As they stand in the text.
LITERALS = ("1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" + "0" * 400, "-1" + "0" * 400,
            "9" * 5000, "1e-400", "1E5", "-0", "-0.0", "0.1", "0", "1", "-1", "2", "3", "255",
            "256", "65535", "65536", "1000000", "2147483647", "2147483648", "4294967295",
            "4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808",
            "18446744073709551616", "-2147483649", "1.5", "3.999999", "1e5", "1e15", "1e18",
            "true", "false", "null", '""', "[]", "{}", "[[]]", '{"":0}', "[null]", '["a"]',
            '"\\ud800"', '"\\u0000"', "01", ".5", "+1", "0x10", "'a'", "undefined", "")  # fmt: skip
DEPTHS = (10, 65, 200, 900, 1100, 5000, 50_000)


class Raw(str):
    """Text that stands in JSON as it is."""


def value(rng: random.Random) -> Any:
    """Anything that could stand where something else is expected."""
    roll = rng.random()
    if roll < 0.45:
        return Raw(rng.choice(LITERALS))
    if roll < 0.75:
        return rng.choice(TEXTS)
    if roll < 0.8:
        return Raw(deep(rng))
    if roll < 0.84:
        return [Raw(rng.choice(LITERALS)) for _ in range(rng.choice((1, 2, 3, 30, 3000)))]
    if roll < 0.88:
        return {rng.choice(TEXTS): Raw(rng.choice(LITERALS)) for _ in range(rng.randrange(6))}
    if roll < 0.9:
        return Raw("[" + ",".join("0" * rng.choice((5, 20_000))) + "]")
    return rng.choice((rng.randrange(-5, 300), rng.random() * 10, rng.randrange(1 << 40)))


def deep(rng: random.Random) -> str:
    """Something nested in itself, sometimes never closed."""
    depth = rng.choice(DEPTHS)
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")))
    return opening * depth + "0" + (closing * depth if rng.random() < 0.8 else "")


def places(data: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every value of ``data``."""
    yield way
    if isinstance(data, dict):
        for key, inner in data.items():
            yield from places(inner, (*way, key))
    elif isinstance(data, list):
        for number, inner in enumerate(data):
            yield from places(inner, (*way, number))


def changed(data: Any, way: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of ``data`` with the value at the end of ``way`` changed."""
    if not way:
        return change(data)
    if isinstance(data, dict):
        return {k: changed(v, way[1:], change) if k == way[0] else v for k, v in data.items()}
    return [changed(v, way[1:], change) if k == way[0] else v for k, v in enumerate(data)]


def mutated(rng: random.Random, data: Any, most: int = 3) -> Any:
    """``data`` with one or a few values of another kind, gone, doubled or swapped."""
    for _ in range(rng.choice((1, 1, 1, 2, most))):
        ways = list(places(data))
        way = rng.choice(ways[1:] or ways)
        if rng.random() < 0.5:  # high up, where a few values rule the rest
            way = rng.choice([one for one in ways if len(one) <= 3][1:] or ways)
        data = changed(data, way, lambda old: _other(rng, old))
    return data


def _other(rng: random.Random, old: Any) -> Any:
    roll = rng.random()
    if roll < 0.55:
        return value(rng)
    if isinstance(old, str):
        return rng.choice((old * 2, old[:-1], old.upper(), [*old[:50]], old + "\u0000", old[:1],
                           old.replace("/", "\\"), f"../{old}", f"./{old}", {"a": old}, [old],
                           old + " ", old.encode(errors="replace").hex()))  # fmt: skip
    if isinstance(old, bool) or old is None:
        return rng.choice((0, 1, "true", [], {}, not old))
    if isinstance(old, int):
        return rng.choice((old + 1, old - 1, -old, old * 2, old * 1000, old << 40, str(old), 0,
                           float(old), [old], old / 3, old // 2, Raw(f"{old}.0")))  # fmt: skip
    if isinstance(old, float):
        return rng.choice(
            (-old, old * 1e300, str(old), round(old) if abs(old) < 1e300 else 0, [old], 0)
        )
    if isinstance(old, list):
        return _list(rng, old)
    return _dict(rng, old) if isinstance(old, dict) else value(rng)


def _list(rng: random.Random, old: list[Any]) -> Any:
    roll = rng.randrange(8)
    if not old or roll == 0:
        return [value(rng) for _ in range(rng.randrange(4))]
    if roll == 1:
        return old[:-1]
    if roll == 2:
        return old * rng.choice((2, 3, 200))
    if roll == 3:
        return old[::-1]
    if roll == 4:
        return dict(enumerate(map(str, range(len(old)))))
    if roll == 5:
        return old[0]
    if roll == 6:
        return [old]
    return [*old, value(rng)]


def _dict(rng: random.Random, old: dict[str, Any]) -> Any:
    keys, roll = list(old), rng.randrange(8)
    if not keys or roll == 0:
        return {**old, str(rng.choice(TEXTS)): value(rng)}
    key = rng.choice(keys)
    if roll in (1, 2):
        return {k: v for k, v in old.items() if k != key}
    if roll == 3:
        return list(old.values())
    if roll == 4:
        return list(old)
    if roll == 5:
        return {k: old[rng.choice(keys)] for k in keys}
    if roll == 6:
        return {(str(rng.choice(TEXTS)) if k == key else k): v for k, v in old.items()}
    return Pairs([*old.items(), (key, value(rng))])


class Pairs(list):
    """A JSON object as pairs, so that keys can come twice."""


def text(data: Any) -> str:
    """JSON text of what `mutated` makes."""
    if isinstance(data, Raw):
        return str(data)
    if isinstance(data, Pairs):
        return "{" + ",".join(f"{json.dumps(str(k))}:{text(v)}" for k, v in data) + "}"
    if isinstance(data, dict):
        return "{" + ",".join(f"{json.dumps(str(k))}:{text(v)}" for k, v in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ",".join(map(text, data)) + "]"
    return json.dumps(data)


def encoded(rng: random.Random, data: Any) -> bytes:
    """The bytes of a JSON file that says ``data``, mostly in UTF-8 and whole."""
    made = text(data)
    roll = rng.random()
    if roll < 0.8:
        return made.encode(errors="surrogatepass")
    if roll < 0.84:
        return made.encode("utf-8-sig", errors="surrogatepass")
    if roll < 0.87:
        return made.encode(rng.choice(("utf-16", "utf-32", "latin-1")), errors="replace")
    if roll < 0.9:
        return json.dumps(json.loads(made), ensure_ascii=False).encode(errors="replace") if (
            _plain(made)) else made.encode(errors="replace")  # fmt: skip
    if roll < 0.94:
        return made[: rng.randrange(len(made) + 1)].encode(errors="replace")
    if roll < 0.97:
        at = rng.randrange(len(made) + 1)
        odd = rng.choice(("\x00", "\\", '"', ",", "}", "[", "\x01", "\u00a0", "//x\n", "\\u12"))
        return (made[:at] + odd + made[at:]).encode(errors="replace")
    blanks = " " * rng.choice((10, 70_000, 300_000))
    return rng.choice((blanks + made, made + blanks, made + made, "")).encode(errors="replace")


def _plain(made: str) -> bool:
    try:
        json.loads(made)
    except (ValueError, RecursionError):
        return False
    return True

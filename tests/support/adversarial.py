"""Texts that make careless parsers slow, and a check that a parser's time grows with the text."""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import strategies as st

from seedstory_core.errors import SeedStoryError

#: What patterns begin, repeat or end with; repeated, each has frozen some program.
ATOMS = (
    *("```", "```json", "~~~", "<!--", "-->", "#", "# ", "## a\n", " #", "*", "**", "_", "-", "- "),
    *("1. ", "1", "(1) ", "Panel 1: ", "panel ", "[", "]", "{", "}", '{"a":', '["', '", "', "("),
    *('"', "'", "\u201c", "\u201d", "\u201e", "\u00ab", "\u00bb", "\u300c", "\u300d", "\\", "\\u"),
    *(
        "<a",
        "<",
        ">",
        "</",
        "&#",
        "&amp;",
        "|",
        "|-",
        ": ",
        ",",
        ", ",
        ".",
        "!",
        "?",
        "/",
        "@",
        "$",
    ),
    *(" ", "\t", "\n", "\r\n", " \n", "\n\n", "\u2028", "\u3000", "\u00a0", "\u200b", "\u00ad"),
    *("a", "A", "AAA!", "word ", "aB", "\u0301", "a\u0301", "\u0323\u0301", "\u4f60", "\u3001"),
    *(
        "\u0627",
        "\u05d0",
        "\u0939\u093f",
        "\U0001f98a",
        "\u200d",
        "\ufe0f",
        "0",
        "9.",
        "1e",
        "-->\n",
    ),
    *("[INST]", "<img>", "Mila ", "Mila, ", "Mila's ", "data:", "=", "%", ";", "--", "\u2014"),
)
HEADS = ("", "# a\n", "# a", "```\n", "a", '"', "[", '{"panels": [', "1. a\n", "Mila ", "<", "\n")
TAILS = ("", "b", "\n", '"', "]", "-->", "```", "\n```", "x\n1. y", "!")

FLOOR = 0.25  # seconds of CPU; what takes less is not judged, whatever the machine does meanwhile
#: Four times the letters take 4 times as long where time grows with them, 16 with their square.
MOST_GROWTH = 9.0
RUNS = 3  # the quickest counts: others were slowed by their neighbours


def texts() -> st.SearchStrategy[Callable[[int], str]]:
    """Makers of a text of so many letters: a head, some atoms over and over, a tail."""
    atoms = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3)
    return st.builds(repeated, st.sampled_from(HEADS), atoms, st.sampled_from(TAILS))


def repeated(head: str, atoms: list[str], tail: str) -> Callable[[int], str]:
    """The maker of ``head``, ``atoms`` over and over, and ``tail``."""
    once = "".join(atoms)

    def make(letters: int) -> str:
        return head + once * max(1, letters // len(once)) + tail

    make.__name__ = f"{head!r} {atoms!r} {tail!r}"
    return make


def seconds(act: Callable[[str], object], text: str) -> float:
    """CPU time of ``act(text)``, which may refuse the text in words."""
    began = time.process_time()
    try:
        act(text)
    except SeedStoryError:
        pass
    return time.process_time() - began


def check_below(limit: float, act: Callable[[str], object], text: str) -> None:
    """Assert that ``act(text)`` takes less than so many seconds of CPU, at its quickest."""
    took = [seconds(act, text)]
    while min(took) >= limit and len(took) < RUNS:
        took.append(seconds(act, text))
    assert min(took) < limit, f"{len(text)} letters took {min(took):.2f} s: {text[:40]!r} ..."


def check_linear(
    act: Callable[[str], object], make: Callable[[int], str], letters: int = 10_000
) -> None:
    """Assert that four times the letters take about four times as long, where that can be seen."""
    small, large = make(letters), make(4 * letters)
    once, four = float("inf"), seconds(act, large)
    for attempt in range(RUNS):
        if four < FLOOR:
            return
        once = min(once, seconds(act, small))
        if four < MOST_GROWTH * once:
            return
        if attempt < RUNS - 1:
            four = min(four, seconds(act, large))
    raise AssertionError(
        f"{len(small)} letters took {once:.2f} s, {len(large)} took {four:.2f} s: {make.__name__}"
    )

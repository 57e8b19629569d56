"""Texts as people, language models and attackers write them: captions, lists, Markdown, fences."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from . import odd

WORDS = (
    "The", "fox", "runs", "to", "Mila", "and", "says", "a", "green", "kite.", "home!", "BANG!",
    "\u201cCome in!\u201d", '"Who', 'there?"', "\u2014", "\u2026", "caf\u00e9",
    "\u72d0\u72f8\u3002", "\u0644\u0639\u0628", "\u0e01\u0e34\u0e19", "\U0001f98a", "e\u0301",
    "**bold**", "_it_", "`code`", "[link](http://x)", "![p](../secret.png)", "<b>x</b>",
    "<think>", "</think>", "<img>", "[INST]", "</s>", "\\", "|", "1.", "#", "-", "x\u200by",
    "\u202e", "don't", "Mila's", "\u00ab", "\u00bb", "\u300c", "\u300d"
)  # fmt: skip
HEADS = (
    "# ", "## ", "### ", "###### ", "####### ", "#", "- ", "* ", "\u2022 ", "1. ", "2) ", "(3) ",
    "4: ", "Panel 5: ", "Scene 6 - ", "page 7. ", "**Panel 8**: ", "> ", "    ", "\t", "| ",
    "1.1. ", "99999. ", "\u2160. ", "a) ", "[ ] ", "- [x] ", "**", "***", "Panel 1 (close): ",
    "\uff11\u3001", "\u7b2c\u4e00\u5e55\uff1a", "", "", ""
)  # fmt: skip
LINES = (
    "```", "```json", "```markdown", "~~~", "---", "***", "===", "<!--", "-->", "<!-- x -->",
    "|---|---|", "| a | b |", "<think>", "</think>", "<details>", "Here are 5 captions:",
    "Sure! I hope this helps.", "{", "}", "[", "]", '"captions": [', '"a fox",', "", "", "",
    "title: x", "---\ntitle: x\n---", "\x0c", "\u2028", "\r", "\ufeff", "&nbsp;", "<br>"
)  # fmt: skip
#: What a pattern of a reader may stumble over when there is a lot of it.
FLOODS = (
    "\n", " ", "#", "# ", "`", "```", "```\n", "<!--", "-->", "<!", "<", ">", "(", "[", "{", '"',
    "\u201c", "\u201d", "'", "*", "**", "_", "-", "- ", "1.", "1. ", "|", "| ", "\\", "A!", "AAA",
    "!", "a ", "\t", "\r\n", "\u3000", "e\u0301", "\U0001f98a\u200d", '{"a":', "[[", "<think>",
    "\u72d0", "\u0644", "9", "Panel 1: ", "\u2028", ".", "...", ". ", ",", "\u00ad", "\u200b",
    "&amp;", "<b>", "a\n", "~~~\n"
)  # fmt: skip


def sentence(rng: random.Random) -> str:
    """A few words, sound or odd."""
    return " ".join(rng.choices(WORDS, k=rng.choice((1, 3, 6, 12, 40))))


def flood(rng: random.Random, most: int = 60_000) -> str:
    """One or two short texts, very often."""
    piece = rng.choice(FLOODS) + rng.choice(("", "", "", rng.choice(FLOODS)))
    start, end = (rng.choice(("", "a", "# a", "```", '"', "x\n", "- ")) for _ in range(2))
    size = rng.choice((300, 3000, 20_000, most))
    return start + piece * (size // len(piece)) + end


def lines(rng: random.Random) -> str:
    """Lines of any kind, each with any mark before it."""
    kept = []
    head = rng.choice(HEADS)
    for _ in range(rng.choice((1, 3, 8, 30))):
        roll = rng.random()
        if roll < 0.2:
            kept.append(rng.choice(LINES))
        else:
            kept.append((head if roll < 0.7 else rng.choice(HEADS)) + sentence(rng))
    return rng.choice(("\n", "\n", "\n\n", "\r\n", "\r", "\u2028")).join(kept)


def panels(rng: random.Random) -> str:
    """JSON of a script, in the key names that models choose, mostly a little wrong."""
    keys = ("caption", "text", "description", "scene", "panel", "heading", "title", "prompt")
    items: list[object] = []
    for _ in range(rng.randrange(6)):
        item = {rng.choice(keys): sentence(rng) for _ in range(rng.randrange(1, 4))}
        items.append(rng.choice((sentence(rng), item, item)))
    whole: object = items
    if rng.random() < 0.6:
        outer = rng.choice(("panels", "captions", "story", "scenes", "pages"))
        whole = {"title": sentence(rng), outer: items}
    made = odd.text(odd.mutated(rng, whole) if rng.random() < 0.6 else whole)
    if rng.random() < 0.2:
        made = json.dumps(whole, indent=2, ensure_ascii=False)
    return made[: rng.randrange(len(made) + 1)] if rng.random() < 0.15 else made


def fenced(rng: random.Random) -> str:
    """An answer in code fences, with chatter around."""
    inner = rng.choice((panels, lines))(rng)
    mark = rng.choice(("```", "```json", "~~~", "````", "``` "))
    closing = rng.choice(("```", "```", "", "~~~", "`````"))
    parts = [
        rng.choice(("", "Sure!", sentence(rng))),
        mark,
        inner,
        closing,
        rng.choice(("", "Enjoy!")),
    ]
    return "\n".join(parts * rng.choice((1, 1, 2)))


def mixed(rng: random.Random) -> str:
    """Several of all that."""
    return "\n".join(rng.choice(SHAPES)(rng) for _ in range(3))


def scrambled(rng: random.Random) -> str:
    """Any characters."""
    pools: Sequence[Sequence[int]] = (range(128), range(0x250), range(0x10000), range(0x110000),
                                      range(0x2000, 0x2070), range(0x0600, 0x0700))  # fmt: skip
    pool = rng.choice(pools)
    return "".join(chr(rng.choice(pool)) for _ in range(rng.choice((1, 5, 50, 400))))


SHAPES: tuple[Callable[[random.Random], str], ...] = (lines, lines, panels, fenced, sentence,
                                                      flood, scrambled)  # fmt: skip


def prose(rng: random.Random) -> str:
    """A text of any kind."""
    made = rng.choice((*SHAPES, mixed))(rng)
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        at = rng.randrange(len(made) + 1)
        cut = made[at + rng.choice((0, 1, 10)) :]
        made = made[:at] + rng.choice((*LINES, *WORDS, "\x00", "\ud800", "\x1b")) + cut
    return made

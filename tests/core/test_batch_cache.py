"""Rows that several lines of reading share: who sees what, written out literally."""

from __future__ import annotations

import random

import torch

from seedstory_core.batch_cache import ROOT, SharedRows


def rows_of(text: str) -> list[list[int]]:
    """A mask drawn in characters."""
    return [[int(char == "#") for char in line] for line in text.split()]


def test_lines_that_agree_share_their_rows() -> None:
    tree: SharedRows[str] = SharedRows(3)
    reading = tree.plan({0: "abc", 1: "abd", 2: "x"})
    assert reading.keys == list("abcdx")
    assert reading.parents == [ROOT, 0, 1, 1, ROOT]
    assert reading.positions == [0, 1, 2, 2, 0]
    assert reading.lines == {0: [0, 1, 2], 1: [0, 1, 3], 2: [4]}
    assert reading.runs == [(0, 3), (3, 4), (4, 5)]
    assert tree.mask(reading, 0, 5).int().tolist() == rows_of("#.... ##... ###.. ##.#. ....#")
    tree.commit(reading)
    assert tree.length == 5 and tree.line(1) == (0, 1, 3)


def test_a_line_sees_its_own_rows_only() -> None:
    tree: SharedRows[str] = SharedRows(2)
    tree.commit(tree.plan({0: "ab", 1: "ac"}))  # rows a b c
    reading = tree.plan({1: "de", 0: "f"})  # ragged: one line reads more than the other
    assert reading.keys == list("def") and reading.positions == [2, 3, 2]
    assert tree.mask(reading, 0, 3).int().tolist() == rows_of("#.##.. #.###. ##...#")
    assert tree.mask(reading, 1, 3).int().tolist() == rows_of("#.###. ##...#"), "the second pass"
    assert tree.way(reading, 1) == [0, 2, 3] and tree.way(reading, 2) == [0, 1]


def test_lines_that_stand_apart_share_nothing_new() -> None:
    """Equal tokens behind different rows are different rows."""
    tree: SharedRows[str] = SharedRows(2)
    tree.commit(tree.plan({0: "a", 1: "b"}))
    assert tree.plan({0: "x", 1: "x"}).lines == {0: [2], 1: [3]}
    tree.commit(tree.plan({0: "x"}))
    assert tree.plan({0: "y", 1: "y"}).lines == {0: [3], 1: [4]}


def test_a_line_is_taken_back_to_what_it_shares_with_a_prompt() -> None:
    tree: SharedRows[str] = SharedRows(2)
    tree.commit(tree.plan({0: "abcd", 1: "abxy"}))  # rows a b c d x y
    assert tree.rewind(0, "abxz") == 3, "what another line has read counts too"
    assert tree.line(0) == (0, 1, 4)
    assert tree.rewind(1, "q") == 0 and tree.line(1) == ()
    reading = tree.plan({0: "z", 1: "q"})
    assert tree.mask(reading, 0, 2).int().tolist() == rows_of("##..#.#. .......#")


def test_rows_of_no_line_are_let_go_of_together() -> None:
    tree: SharedRows[str] = SharedRows(2)
    tree.commit(tree.plan({0: "abcdef", 1: "abxy"}))  # rows a b c d e f x y
    assert tree.wasted() is None
    tree.rewind(0, "abc")
    assert tree.wasted() == [0, 1, 2, 6, 7]
    tree.keep([0, 1, 2, 6, 7])
    assert tree.length == 5 and tree.line(0) == (0, 1, 2) and tree.line(1) == (0, 1, 3, 4)
    assert tree.wasted() is None
    reading = tree.plan({0: "d", 1: "z"})
    assert tree.mask(reading, 0, 2).int().tolist() == rows_of("###..#. ##.##.#")
    assert tree.rewind(0, "abxyz") == 4, "the tree is known still"


def test_rows_can_be_taken_from_a_line_only() -> None:
    tree: SharedRows[str] = SharedRows(2)
    tree.commit(tree.plan({0: "abc", 1: "abc"}))
    tree.cut(0, 2)
    assert tree.line(0) == (0,) and tree.line(1) == (0, 1, 2)
    reading = tree.plan({0: "b", 1: "d"})
    assert tree.mask(reading, 0, 2).int().tolist() == rows_of("#..#. ###.#")


def test_any_lines_see_what_they_have_read() -> None:
    """Against the plain way: a list of keys for each line."""
    draw = random.Random(3)
    tree: SharedRows[int] = SharedRows(4)
    known: list[list[int]] = [[] for _ in range(4)]
    cache: list[int] = []
    for _ in range(120):
        if draw.random() < 0.2:
            line = draw.randrange(4)
            source = draw.choice(known)
            page = source[: draw.randrange(len(source) + 1)]
            agreed = tree.rewind(line, page)
            known[line] = page[:agreed]
            used = tree.wasted()
            if used is not None:
                tree.keep(used)
                cache = [cache[row] for row in used]
        wanted = {
            line: [draw.randrange(3) for _ in range(draw.choice([1, 1, 2, 7]))]
            for line in draw.sample(range(4), draw.randrange(1, 5))
        }
        reading = tree.plan(wanted)
        mask = tree.mask(reading, 0, len(reading.keys))
        keys = torch.tensor([*cache, *reading.keys])
        for line, rows in reading.lines.items():
            known[line] = known[line] + wanted[line]
            for place, row in enumerate(rows):
                seen = mask[row - tree.length]
                until = len(known[line]) - len(rows) + place + 1
                assert keys[seen].tolist() == known[line][:until]
                assert reading.positions[row - tree.length] == until - 1
        tree.commit(reading)
        cache += reading.keys
        assert [[cache[row] for row in tree.line(line)] for line in range(4)] == known

"""JSON by strangers: what is read can be written again and names files; the rest is refused."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seedstory_core.errors import SeedStoryError
from seedstory_core.strict_json import (
    DEEPEST,
    DIGITS,
    number,
    parse_json,
    read_json,
    text,
    whole,
)

BAD = {
    "NaN": "[NaN]",
    "infinity": "-Infinity",
    "a float beyond all": "[1e999]",
    "a float beyond all, below": '{"a": -1e999}',
    "many digits": f"[{'1' * (DIGITS + 1)}]",
    "half a letter": r'["\ud83d"]',
    "the other half": r'{"a": "\udc00 b"}',
    "half a letter in a key": r'{"\ud800": 1}',
    "NUL": r'["a\u0000"]',
    "NUL in a key": r'{"\u0000": 1}',
    "depth": "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2),
    "depth of objects": '{"a":' * (DEEPEST + 2) + "1" + "}" * (DEEPEST + 2),
    "endless depth": "[" * 100_000,
    "two values": "1 2",
    "a comma": "[1,]",
    "nothing": "",
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_by_name(name: str) -> None:
    with pytest.raises(SeedStoryError, match="the card .* Save it anew"):
        parse_json(BAD[name], "the card", "Save it anew.")


@pytest.mark.parametrize("raw", [b"\xff", b'"\xed\xa0\x80"', '["é"]'.encode("utf-16")])
def test_other_bytes_than_utf8_are_refused(raw: bytes) -> None:
    with pytest.raises(SeedStoryError, match="not valid JSON"):
        parse_json(raw, "it")


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_numbers = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_values, st.booleans(), st.booleans())
def test_sound_json_is_read_as_python_reads_it(value: Any, escaped: bool, mark: bool) -> None:
    written = json.dumps(value, ensure_ascii=escaped)
    raw = ("\ufeff" if mark else "") + written
    assert parse_json(raw, "it") == parse_json(raw.encode(), "it") == json.loads(written)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode(errors="ignore")))
def test_other_bytes_end_in_words_or_in_values_that_can_be_kept(raw: bytes) -> None:
    try:
        value = parse_json(raw, "it")
    except SeedStoryError:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def test_depth_and_nul_are_the_callers_choice() -> None:
    assert parse_json("[[[1]]]", "it", deepest=3) == [[[1]]]
    with pytest.raises(SeedStoryError, match="more than 2 deep"):
        parse_json("[[[1]]]", "it", deepest=2)
    assert parse_json(r'"a\u0000"', "it", nul=True) == "a\0"


def test_files_are_plain_and_small(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1]")
    assert read_json(path, 3) == [1]
    with pytest.raises(SeedStoryError, match=r"larger than 2 bytes\. Copy it"):
        read_json(path, 2, "Copy it.")
    for other in (tmp_path / "none", tmp_path, tmp_path / ("a" * 5000), tmp_path / "\0"):
        with pytest.raises(SeedStoryError, match="cannot be read"):
            read_json(other, 3)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SeedStoryError, match="no plain file"):
            read_json(tmp_path / "pipe", 3)


@pytest.mark.parametrize("bad", [True, 1.0, "1", None, [1], 0, 11, 10**39])
def test_whole_numbers_have_bounds(bad: object) -> None:
    assert whole(10, "it", 1, 10) == 10
    with pytest.raises(SeedStoryError, match="it must be a whole number from 1 to 10, got"):
        whole(bad, "it", 1, 10)


@pytest.mark.parametrize("bad", [True, "1", None, [1], 0.5, 10.5, math.nan, math.inf, 10**39])
def test_numbers_have_bounds(bad: object) -> None:
    assert number(1, "it", 1, 10) == 1.0
    with pytest.raises(SeedStoryError, match="it must be a number from 1 to 10, got"):
        number(bad, "it", 1, 10)


@pytest.mark.parametrize("bad", [True, 1, None, ["a"], "abcd"])
def test_texts_have_bounds(bad: object) -> None:
    assert text("abc", "it", 3) == "abc"
    with pytest.raises(SeedStoryError, match="it must be text of at most 3 letters, got"):
        text(bad, "it", 3)

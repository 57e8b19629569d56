"""What users are told can be printed and read, whatever a stranger's file made it quote."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstory_core.errors import MOST, SeedStoryError

ANYTHING = st.text(st.characters(), max_size=60)


@given(ANYTHING, st.integers(1, 400))
def test_a_message_is_printable_and_bounded(quoted: str, times: int) -> None:
    text = str(SeedStoryError(f"Expected a name, got {quoted * times}. Choose another."))
    text.encode()
    assert len(text) <= MOST + 10
    assert text.startswith("Expected a name, got ") and text.endswith(". Choose another.")
    assert not any(char < " " and char not in "\n\t" for char in text)


@pytest.mark.parametrize("message", ["", "A fox.", "two\nlines\tand \u72d0 \U0001f98a", "a" * MOST])
def test_what_can_be_read_stays_as_it_is(message: str) -> None:
    error = SeedStoryError(message)
    assert str(error) == message
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(other) == message and isinstance(other, SeedStoryError)

"""The one error class users meet."""

from __future__ import annotations

import re

MOST = 3000  # characters of a message: more than a screen is read by nobody
END = 600  # of them are its end, where the advice stands
#: Half letters, which nothing can print, and controls, which a terminal would obey.
_UNPRINTABLE = re.compile("[\ud800-\udfff\x00-\x08\x0b-\x1f\x7f-\x9f]")


class SeedStoryError(ValueError):
    """Something the user can act on.

    The message says what was expected, what came, and what to do next. Raised for bad input,
    bad files and impossible requests; our own broken invariants stay plain ``assert``. It can be
    printed and read whatever it quotes: what has no letter becomes a question mark in a box, and
    the middle of a very long message is left out.
    """

    #: Hosts show an error's class with its module, which for a pack is a path on the user's disk.
    __module__ = "seedstory_core.errors"

    def __init__(self, message: str = "") -> None:
        super().__init__(_readable(message))


def _readable(message: str) -> str:
    if len(message) > MOST:
        message = f"{message[: MOST - END]} ... {message[-END:]}"
    return _UNPRINTABLE.sub("\ufffd", message)

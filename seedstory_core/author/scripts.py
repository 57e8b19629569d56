"""A script becomes captions, each to be illustrated word for word.

Four ways to write one are read; `FORMATS` says how. Whatever the format, a caption comes out as
one line: runs of blanks and line breaks inside it become one blank, and nothing else changes.
Scripts come from strangers and from language models: sizes are bounded, every scan takes time in
proportion to the text, and what no caption can hold is refused with its place.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

from ..errors import SeedStoryError
from ..files import human
from ..story import check_caption, check_text
from ..story_reader import MAX_PANELS

MAX_BYTES = 4 << 20  # of a script; ten thousand captions of 400 letters
MAX_LINES = 200_000  # of a script; ten thousand captions, each in twenty short lines
MAX_CAPTIONS = MAX_PANELS - 1  # behind an opening
MAX_LETTERS = 4000  # of a caption: more than any model here reads at once
AUTO = "auto"
SUFFIXES = {".txt": "lines", ".md": "markdown", ".markdown": "markdown", ".json": "json"}

_LEVELS = 6  # of headings
_COMMENT, _COMMENT_END = "<!--", "-->"
_FENCE, _LETTERS = "```", string.ascii_letters
# No two parts of this pattern can take the same letter, so it never tries a text in two ways.
_MARK = re.compile(
    r"(?:[-*\u2022]|\(?\d{1,4}[.):]|(?:panel|page|scene)\s+\d{1,4}\s*[.:)\u2013-])\s+", re.I
)


@dataclass(frozen=True)
class Script:
    """What a script says.

    Attributes:
        captions: one for each panel, in order; each one line.
        title: of the story, "" where it has none.
        headings: of the panels, as many as captions; "" where one has none.
    """

    captions: tuple[str, ...]
    title: str = ""
    headings: tuple[str, ...] = ()


def read_script(text: str, form: str = AUTO) -> Script:
    """The captions in ``text``.

    Args:
        form: one of `FORMATS`, or ``auto``: JSON where it begins like it, Markdown where it has
            headings, a list where every line has a mark, else lines.

    Raises:
        SeedStoryError: no caption at all; too many or too long ones; too many lines; control
            characters; JSON of another shape.
    """
    if len(text) > MAX_BYTES:
        raise SeedStoryError(f"A script has at most {human(MAX_BYTES)}, got {human(len(text))}.")
    check_text(text, "script")
    text = text.removeprefix("\ufeff")
    if (count := len(text.splitlines())) > MAX_LINES:
        raise SeedStoryError(
            f"A script has at most {MAX_LINES} lines, got {count}. Split it, or take the empty "
            "ones out."
        )
    form = _guessed(text) if form == AUTO else form
    if form not in FORMATS:
        known = ", ".join((AUTO, *FORMATS))
        raise SeedStoryError(f"A script's format is one of {known}; got {form!r}.")
    found = FORMATS[form](text)
    if not found.captions:
        raise SeedStoryError(
            f"The script has no caption (read as {form}). Write one a line, or a heading for each "
            "panel with its caption below."
        )
    _check_number(len(found.captions))
    captions = tuple(checked(caption, n) for n, caption in enumerate(found.captions, start=1))
    headings = found.headings or ("",) * len(captions)
    return Script(captions, one_line(found.title), tuple(one_line(line) for line in headings))


def read_script_file(path: Path) -> Script:
    """The captions in a UTF-8 file; its suffix says the format.

    Raises:
        SeedStoryError: as of `read_script`; no such file, too large a one, or no UTF-8.
    """
    return read_script(script_text(path), SUFFIXES.get(path.suffix.lower(), AUTO))


def script_text(path: Path) -> str:
    """The text of a script file; errors as `read_script_file`."""
    if not path.is_file():
        raise SeedStoryError(f"There is no script at {path}. Check the path.")
    if path.stat().st_size > MAX_BYTES:
        raise SeedStoryError(f"{path} is larger than {human(MAX_BYTES)}; that is no script.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedStoryError(
            f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error


def checked(caption: str, number: int) -> str:
    """``caption`` as one line.

    Raises:
        SeedStoryError: it is empty, too long, or holds a control character.
    """
    line = one_line(caption)
    if not line:
        raise SeedStoryError(f"Caption {number} of the script is empty. Write at least a word.")
    if len(line) > MAX_LETTERS:
        raise SeedStoryError(
            f"Caption {number} of the script has {len(line.split())} words ({len(line)} letters); "
            f"at most {MAX_LETTERS} letters are read. Split it into several panels."
        )
    check_caption(line, f"caption {number} of the script")
    return line


def one_line(text: str) -> str:
    """``text`` with every run of blanks and line breaks as one blank, none at its ends."""
    return re.sub(r"[ \t\r\n\u2028\u2029]+", " ", text).strip()


def _check_number(captions: int) -> None:
    if captions > MAX_CAPTIONS:
        raise SeedStoryError(
            f"The script has {captions} captions; a story has at most {MAX_CAPTIONS} behind its "
            "opening. Split it into several stories."
        )


def _guessed(text: str) -> str:
    start = "\n".join(_answers(text)).lstrip()
    if start[:1] in ("{", "[") and _is_json(_answers(text)):
        return "json"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(_heading(line) for line in lines):
        return "markdown"
    return "list" if lines and all(_MARK.match(line) for line in lines) else "lines"


def _is_json(answers: Sequence[str]) -> bool:
    try:
        for answer in answers:
            json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return True


def _answers(text: str) -> list[str]:
    """What is between a language model's code fences, if it put its answer into some; else all.

    A fence opens at the end of a line, behind words or with a language's name after it, and closes
    where a line begins with one. One that never closes is part of the text.
    """
    found: list[str] = []
    inside: list[str] | None = None
    for line in text.split("\n"):
        if inside is None:
            if line.rstrip().rstrip(_LETTERS).endswith(_FENCE):
                inside = []
        elif line.lstrip().startswith(_FENCE):
            found.append("\n".join(inside))
            inside = None
        else:
            inside.append(line)
    return found or [text]


def _lines(text: str) -> Script:
    return Script(tuple(line for line in text.splitlines() if line.strip()))


def _list(text: str) -> Script:
    lines = (line.strip() for answer in _answers(text) for line in answer.splitlines())
    marks = ((line, _MARK.match(line)) for line in lines)
    return Script(tuple(line[mark.end() :] for line, mark in marks if mark))


def _heading(line: str) -> tuple[int, str] | None:
    """Level and words of a Markdown heading without blanks at its ends; None for another line."""
    words = line.lstrip("#")
    level = len(line) - len(words)
    if not 1 <= level <= _LEVELS or not words[:1].isspace():
        return None
    return level, words.rstrip("#").strip()


def _uncommented(text: str) -> Iterator[str]:
    """The parts of ``text`` outside HTML comments; one that never closes is part of the text."""
    at = 0
    while (start := text.find(_COMMENT, at)) >= 0:
        end = text.find(_COMMENT_END, start + len(_COMMENT))
        if end < 0:
            break
        yield text[at:start]
        at = end + len(_COMMENT_END)
    yield text[at:]


def _markdown(text: str) -> Script:
    """A heading for each panel, its caption below; a first heading of a higher level is the title.

    Comments are left out, and so is what stands before the first panel's heading.
    """
    sections: list[tuple[int, str, list[str]]] = []
    for line in "".join(_uncommented(text)).splitlines():
        heading = _heading(line.strip())
        if heading is not None:
            sections.append((*heading, []))
        elif sections:
            sections[-1][2].append(line)
    title = ""
    if len(sections) > 1 and sections[0][0] < min(level for level, _, _ in sections[1:]):
        title = sections.pop(0)[1]
    told = [(heading, " ".join(lines)) for _, heading, lines in sections]
    told = [(heading, caption) for heading, caption in told if caption.strip()]
    return Script(tuple(c for _, c in told), title, tuple(h for h, _ in told))


def _json(text: str) -> Script:
    """``["caption", ...]``, or ``{"title": ..., "panels": ["caption" or {"caption": ...}]}``.

    Several answers, each between fences of its own, are one script; the first title counts.
    """
    parts: list[tuple[str, str]] = []
    titles: list[str] = []
    for answer in _answers(text):
        panels, title = _json_panels(answer)
        _check_number(len(parts) + len(panels))
        parts += [_json_panel(panel, n) for n, panel in enumerate(panels, start=len(parts) + 1)]
        titles.append(title)
    title = next(filter(None, titles), "")
    return Script(tuple(c for c, _ in parts), title, tuple(h for _, h in parts))


def _json_panels(text: str) -> tuple[list[Any], str]:
    """Panels as they are written, and the title."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SeedStoryError(
            f"The script is not valid JSON ({error}). Mend it, or write one caption a line."
        ) from error
    whole: Mapping[str, Any] = data if isinstance(data, dict) else {"panels": data}
    panels, title = whole.get("panels"), whole.get("title", "")
    if not isinstance(panels, list) or not isinstance(title, str):
        raise SeedStoryError(
            'A JSON script is a list of captions, or {"title": "...", "panels": [...]} whose '
            'panels are captions or {"caption": "...", "heading": "..."}.'
        )
    return panels, title


def _json_panel(panel: Any, number: int) -> tuple[str, str]:
    entry = {"caption": panel} if isinstance(panel, str) else panel
    caption = entry.get("caption") if isinstance(entry, dict) else None
    heading = entry.get("heading", "") if isinstance(entry, dict) else None
    if not isinstance(caption, str) or not isinstance(heading, str):
        raise SeedStoryError(
            f"Panel {number} of the script is {short(panel)}; expected its caption as text, or "
            'an object with a text "caption".'
        )
    return caption, heading


#: How a script can be written. ``lines``: one caption a line. ``list``: the same with a dash or a
#: number before each, as language models write, which is taken off. ``markdown``: a heading for
#: each panel. ``json``: see `_json`.
FORMATS: Mapping[str, Callable[[str], Script]] = {
    "lines": _lines,
    "list": _list,
    "markdown": _markdown,
    "json": _json,
}

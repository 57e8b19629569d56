"""The rules of resuming over HTTP (RFC 9110, ranges and If-Range), apart from any connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)$")


@dataclass(frozen=True)
class Answer:
    """What the server sends: bytes from ``start`` on, of ``total`` in all (None where unsaid)."""

    start: int
    total: int | None
    validators: Mapping[str, str] = field(default_factory=dict)


def request_headers(
    have: int, note: Mapping[str, Any], url: str, trusted: bool = False
) -> dict[str, str]:
    """Ask for the rest after ``have`` bytes where it is safe to join the pieces, else for all.

    Safe means: the same address, and a strong validator that makes the server send everything when
    the file has changed; or a known hash at the end (``trusted``).
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "seedstory"}
    if not have or note.get("url") not in (None, url):
        return headers
    etag = str(note.get("etag", ""))
    validator = etag if etag and not etag.startswith("W/") else str(note.get("last_modified", ""))
    if validator and note.get("url") == url:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    elif trusted:
        headers["Range"] = f"bytes={have}-"
    return headers


def wanted(status: int, headers: Message, asked: int) -> Answer | None:
    """How to take an answer to a request for the bytes from ``asked`` on; None: not usable."""
    validators = {
        name: value
        for name, value in (
            ("etag", headers.get("ETag")),
            ("last_modified", headers.get("Last-Modified")),
        )
        if value
    }
    length = headers.get("Content-Length", "")
    if status == 206:
        match = _RANGE.match(headers.get("Content-Range", ""))
        if match is None or not asked or int(match[1]) != asked:
            return None
        total = None if match[3] == "*" else int(match[3])
        if total is None or int(match[2]) != total - 1:
            return None
        return Answer(asked, total, validators)
    return Answer(0, int(length) if length.isdigit() else None, validators)

"""What pages print to the browser's console: errors of anybody, warnings of the pack's files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page

from .server import PACK

#: Names the pack's files, nodes, routes and events.
OURS = re.compile(rf"{PACK}|seedstory", re.IGNORECASE)
DEPTH = 4  # calls that waited for each other, which a message is traced through

#: Errors that ComfyUI's own pages print whatever the pack does: (pattern, why it is no fault).
KNOWN = (
    (r"404 \(Not Found\) \S+/(api/userdata\b|user\.css)", "a new user has no files yet"),
    (r"https://huggingface\.co/", "the workflow it opens first names models, and it asks for them"),
    (r"ComfyApp graph accessed before initialization", "1.49 asks for its graph while it starts"),
    (r"404 \([\w ]+\) \S+/favicon\.ico", "1.27 has none, nor have books"),
    (r"404 \([\w ]+\) \S+/favicon_progress", "behind a proxy it looks for them above its folder"),
    (r"reading 'id'\)\s+at onChange", "1.27 tells a setting of itself before it knows it"),
    (r"cleanup event listeners for graph that was never set up", "1.27 closes subgraphs so"),
)


class Console:
    """Hears pages.

    Unlike Playwright's own events it sees who called: a warning about something deprecated is
    printed by the front end's file, and names the pack only in its stack.
    """

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._expected: tuple[str, ...] = ()

    def listen(self, page: Page) -> None:
        """Hear this page, also after reloads, until it is closed."""
        session = page.context.new_cdp_session(page)
        session.on("Runtime.consoleAPICalled", self._printed)
        session.on("Runtime.exceptionThrown", self._thrown)
        session.on("Log.entryAdded", self._logged)
        for domain in ("Runtime", "Log"):
            session.send(f"{domain}.enable")
        session.send("Runtime.setAsyncCallStackDepth", {"maxDepth": DEPTH})

    def take(self) -> list[str]:
        """Complaints since the last call."""
        heard, self._heard = self._heard, []
        return heard

    @contextmanager
    def expecting(self, *patterns: str) -> Iterator[None]:
        """Complaints that match are left out meanwhile: the test causes them."""
        self._expected = patterns
        try:
            yield
        finally:
            self._expected = ()

    def _printed(self, event: Mapping[str, Any]) -> None:
        said = " ".join(_said(one) for one in event["args"])
        self._judge(event["type"], said, event.get("stackTrace"))

    def _thrown(self, event: Mapping[str, Any]) -> None:
        details = event["exceptionDetails"]
        said = f"{details['text']} {_said(details.get('exception') or {})}"
        self._judge("error", said, details.get("stackTrace"))

    def _logged(self, event: Mapping[str, Any]) -> None:
        entry = event["entry"]
        said = f"{entry['text']} {entry.get('url', '')}"
        self._judge(entry["level"], said, entry.get("stackTrace"))

    def _judge(self, level: str, said: str, stack: Mapping[str, Any] | None) -> None:
        if level not in ("error", "assert", "warning"):
            return
        text = "\n".join([f"{level}: {said[:2000]}", *_frames(stack)])
        if any(re.search(pattern, text) for pattern in self._expected):
            return
        ours = bool(OURS.search(text))
        known = not ours and any(re.search(pattern, text) for pattern, _ in KNOWN)
        if ours or (level != "warning" and not known):
            self._heard.append(text)


def _said(value: Mapping[str, Any]) -> str:
    return str(value.get("description") or value.get("value") or value.get("type", ""))


def _frames(stack: Mapping[str, Any] | None) -> Iterator[str]:
    while stack:
        for frame in stack["callFrames"]:
            yield f"  at {frame['functionName']} {frame['url']}:{frame['lineNumber'] + 1}"
        stack = stack.get("parent")

"""One queued prompt as its client sees it: events as they come, then the history entry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import websocket

if TYPE_CHECKING:
    from .server import ComfyServer

FINAL = {"execution_success", "execution_error", "execution_interrupted"}
PREVIEW_TYPES = {1, 4}  # binary frames: a preview picture, the same with metadata
Event = tuple[str, dict[str, Any]]
Wanted = Callable[[str, dict[str, Any]], bool]


class PromptRun:
    """Events and outcome of one prompt.

    Attributes:
        events: ``(type, data)`` in order; binary previews as ``("preview", {"bytes": n})``.
        status: ``success``, ``error`` or ``interrupted`` once it is over, else "".
        history: the server's history entry once it is over.
    """

    def __init__(self, server: ComfyServer, client_id: str) -> None:
        self.server, self.client_id, self.prompt_id = server, client_id, ""
        self.events: list[Event] = []
        self.status = ""
        self.history: dict[str, Any] = {}
        address = server.url.replace("http", "ws") + f"/ws?clientId={client_id}"
        self._socket = websocket.create_connection(address, timeout=30)

    def wait_for(self, wanted: Wanted, timeout: float = 600) -> Event:
        """The next event for which ``wanted(type, data)``; the end of the prompt is an error."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            event = self._next(deadline)
            if wanted(*event):
                return event
            assert not self.status, f"the prompt ended ({self.status}) before it: {self.error()}"
        raise TimeoutError(f"no such event in {timeout:g} s; log:\n{self.server.log_tail()}")

    def finish(self, timeout: float = 600.0) -> PromptRun:
        """Wait for the end and fetch the history entry."""
        deadline = time.monotonic() + timeout
        while not self.status:
            self._next(deadline)
        while self.prompt_id not in (found := self.server.get(f"/history/{self.prompt_id}")):
            if time.monotonic() > deadline:
                raise TimeoutError("the prompt ended but never came into the history")
            time.sleep(0.05)
        self.history = found[self.prompt_id]
        self.close()
        return self

    def close(self) -> None:
        """Leave the event stream; the prompt goes on."""
        self._socket.close()

    def _next(self, deadline: float) -> Event:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the prompt did not end in time; log:\n{self.server.log_tail()}")
        self._socket.settimeout(left)
        try:
            frame = self._socket.recv()
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError(f"no event in time; log:\n{self.server.log_tail()}") from error
        if isinstance(frame, bytes):
            kind = int.from_bytes(frame[:4], "big")
            event = ("preview" if kind in PREVIEW_TYPES else "binary", {"bytes": len(frame)})
        else:
            message = json.loads(frame)
            event = (message["type"], message.get("data") or {})
        self.events.append(event)
        if event[0] in FINAL and event[1].get("prompt_id") in (self.prompt_id, None):
            self.status = event[0].removeprefix("execution_")
        return event

    # ---- what tests ask

    @property
    def executed(self) -> list[str]:
        """Ids of the nodes that really ran, in order; ephemeral nodes by their own id."""
        return [
            str(data["node"])
            for kind, data in self.events
            if kind == "executing" and data.get("node") is not None
        ]

    @property
    def cached(self) -> set[str]:
        """Ids of the nodes whose earlier result was used."""
        return {key for data in self.of("execution_cached") for key in data["nodes"]}

    @property
    def outputs(self) -> dict[str, Any]:
        """``ui`` output per node id."""
        return self.history.get("outputs", {})

    @property
    def previews(self) -> int:
        """Number of preview pictures that came while it ran."""
        return sum(kind == "preview" for kind, _ in self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Data of all events of one type."""
        return [data for name, data in self.events if name == kind]

    def error(self) -> str:
        """The message the user would see, or ""."""
        return " / ".join(str(data.get("exception_message")) for data in self.of("execution_error"))

"""A small HTTP server with ranges that can be told to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server has and how it errs; lists are used up request by request.

    Attributes:
        body: the file.
        drop_after: close the connection after so many bytes of a body.
        statuses: answer with these error codes first.
        wrong_start: answer ranges from this byte on instead of the one asked for.
        ignore_range: answer 200 and everything.
        announce: claim this length instead of the true one.
        silent: give no length at all.
    """

    body: bytes
    etag: str = '"v1"'
    drop_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    wrong_start: int | None = None
    ignore_range: bool = False
    announce: int | None = None
    silent: bool = False
    seen: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serve on a free local port; gives the base address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour.seen.append({"path": self.path, **dict(self.headers)})
            if behaviour.statuses:
                self.send_error(behaviour.statuses.pop(0))
                return
            self._send(*self._piece())

        def _piece(self) -> tuple[int, int]:
            asked = self.headers.get("Range")
            same = self.headers.get("If-Range", behaviour.etag) == behaviour.etag
            if not asked or behaviour.ignore_range or not same:
                return 200, 0
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(behaviour.body):
                return 416, 0
            return 206, start if behaviour.wrong_start is None else behaviour.wrong_start

        def _send(self, status: int, start: int) -> None:
            size = len(behaviour.body)
            piece = b"" if status == 416 else behaviour.body[start:]
            self.send_response(status)
            self.send_header("ETag", behaviour.etag)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            if not behaviour.silent:
                length = len(piece) if behaviour.announce is None else behaviour.announce
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if behaviour.drop_after:
                piece = piece[: behaviour.drop_after.pop(0)]
                self.close_connection = True
            self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

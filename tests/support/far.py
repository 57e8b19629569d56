"""A ComfyUI as from another machine: under another name, behind a proxy, in a folder of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .server import ComfyServer

HOST = "far.test"  # Chromium is told that it is this machine; so no page is "localhost"
FOLDER = "/tools/stories"
#: Headers that say how one of the two connections is used.
OWN = {"transfer-encoding", "connection", "content-encoding", "content-length", "upgrade"}
MOST = 1 << 26  # bytes of a request


@contextmanager
def far(server: ComfyServer) -> Iterator[str]:
    """An address under which the server is reached, without the "/" at its end."""
    ready, ports = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        from aiohttp import ClientSession, web

        async with ClientSession(auto_decompress=True) as session:
            app = web.Application(client_max_size=MOST)
            app.router.add_route("*", FOLDER + "/{path:.*}", Forward(server.url, session).answer)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
            ready.set()
            await ended.wait()
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()], daemon=True)
    thread.start()
    try:
        assert ready.wait(30), "the proxy did not start"
        yield f"http://{HOST}:{ports[0]}{FOLDER}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)


class Forward:
    """Answers with what the server says."""

    def __init__(self, url: str, session: Any) -> None:
        self.url, self.session = url, session

    async def answer(self, request: Any) -> Any:
        from aiohttp import web

        url = self.url + str(request.rel_url).removeprefix(FOLDER)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.talk(request, url)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in OWN}
        body = await request.read()
        asked = self.session.request(request.method, url, headers=headers, data=body)
        async with asked as got:
            kept = {k: v for k, v in got.headers.items() if k.lower() not in OWN}
            return web.Response(status=got.status, headers=kept, body=await got.read())

    async def talk(self, request: Any, url: str) -> Any:
        """Hand messages on, both ways, until one side ends."""
        from aiohttp import WSMsgType, web

        near = web.WebSocketResponse()
        await near.prepare(request)
        async with self.session.ws_connect(url, max_msg_size=0) as there:

            async def pour(source: Any, target: Any) -> None:
                async for message in source:
                    if message.type == WSMsgType.TEXT:
                        await target.send_str(message.data)
                    elif message.type == WSMsgType.BINARY:
                        await target.send_bytes(message.data)

            both = [asyncio.ensure_future(pour(*pair)) for pair in ((near, there), (there, near))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
        return near

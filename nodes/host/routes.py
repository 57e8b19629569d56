"""What the pack's JavaScript asks the server for: stories on disk, and messages it missed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from .keeping import messages
from .shelf import Shelf

STORIES = "/seedstory/stories"
MISSED = "/seedstory/kept"


def register_routes() -> None:
    """Add the routes; nothing where no server is, as when another program imports the pack."""
    server = sys.modules.get("server")
    instance = getattr(getattr(server, "PromptServer", None), "instance", None)
    if instance is not None:
        add_routes(instance.routes)


def add_routes(routes: Any) -> None:
    """``routes``: aiohttp's table. GET only, and only story folders are read."""
    from aiohttp import web

    shelf = Shelf()  # lives as long as the routes that ask it

    @routes.get(STORIES)
    async def stories(request: Any) -> Any:
        """``?folder=a&folder=b`` -> their tree, see `shelf`."""
        names = request.query.getall("folder", [])
        return web.json_response(await asyncio.to_thread(shelf.tree, names))

    @routes.get(MISSED)
    async def missed(request: Any) -> Any:
        """``?client=<id>&after=<number>`` -> the messages since then, see `keeping.Messages`."""
        after = request.query.get("after", "0")
        since = int(after) if after.isdecimal() and len(after) < 16 else 0
        told = messages.since(request.query.get("client", ""), since)
        return web.json_response({"messages": told, "newest": messages.newest})

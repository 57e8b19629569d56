"""The ComfyUI nodes: each declares its sockets, calls the library once, and hands the result on.

Read in the order of the flow: `loaders`, `starting`, `telling`, `futures`, `settings`, `contexts`,
`memory`, `conditioning`, `guidance`, `painting`, `panels`, `book`, `loop`; `editing`, `arranging`,
`choosing` change a story, `authoring` brings captions from elsewhere. `host` is the only place that
talks to ComfyUI's machinery.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import (
    arranging,
    authoring,
    book,
    choosing,
    conditioning,
    contexts,
    editing,
    futures,
    guidance,
    host,
    loaders,
    loop,
    memory,
    painting,
    panels,
    press,
    settings,
    starting,
    story_files,
    telling,
    viewing,
)

_ALL: tuple[type[io.ComfyNode], ...] = (
    *loaders.NODES,
    *starting.NODES,
    *telling.NODES,
    *settings.NODES,
    *contexts.NODES,
    *conditioning.NODES,
    *painting.NODES,
    *panels.NODES,
    *book.NODES,
    *loop.NODES,
    *memory.NODES,
    *futures.NODES,
    *guidance.NODES,
    *viewing.NODES,
    *press.NODES,
    *editing.NODES,
    *arranging.NODES,
    *choosing.NODES,
    *authoring.NODES,
    *story_files.NODES,
)
NODES = tuple(host.said_in_words(node) for node in _ALL)

host.register_folders()  # at import, since old hosts never call on_load
host.register_routes()


class SeedStoryExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)


async def comfy_entrypoint() -> SeedStoryExtension:
    """ComfyUI's way in."""
    return SeedStoryExtension()

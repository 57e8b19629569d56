"""What the machine lacks while a node runs, said on the node in a sentence."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from comfy_api.latest import io

from ...seedstory_core.troubles import in_words


def said_in_words(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """``node``, whose errors of memory, disks and open files are sentences from now on.

    ComfyUI frees models itself where a device's memory runs out: those errors pass as they are.
    """
    plain = node.execute.__func__  # type: ignore[attr-defined]

    @functools.wraps(plain)
    def execute(cls: type[io.ComfyNode], *args: Any, **kwargs: Any) -> Any:
        with in_words(device=False):
            return plain(cls, *args, **kwargs)

    @functools.wraps(plain)
    async def execute_later(cls: type[io.ComfyNode], *args: Any, **kwargs: Any) -> Any:
        with in_words(device=False):
            return await plain(cls, *args, **kwargs)

    wrapped = execute_later if inspect.iscoroutinefunction(plain) else execute
    node.execute = classmethod(wrapped)  # type: ignore[method-assign,assignment]
    return node

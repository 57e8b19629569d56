"""ComfyUI's own executor in this process: prompts run as on a server, without HTTP."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any


class Executor:
    """Runs prompts one after the other with ComfyUI's caches between them.

    Attributes:
        ran: ``(real node id, class type)`` of the nodes that ran in the last prompt, in order.
        outputs: ``ui`` values of the last prompt by node id.
        messages: what a client would have received.
    """

    def __init__(self, node_classes: Iterable[Any], cache: str = "classic") -> None:
        """``cache``: as the host's flags have it: classic, lru (of one), ram, none."""
        import execution

        import nodes

        for kind in node_classes:
            nodes.NODE_CLASS_MAPPINGS[kind.GET_SCHEMA().node_id] = kind
        self.server = new_server()
        self.server.client_id = "test"
        self.messages: list[tuple[str, Any]] = []
        self.server.send_sync = self._receive
        self._stop_at = ""
        self._executor = execution.PromptExecutor(self.server, **cache_settings(cache))
        self._execution = execution
        self.outputs: dict[str, Any] = {}

    def _receive(self, kind: str, data: Any, sid: str | None = None) -> None:
        """What a client gets; who presses stop does so when the node ``_stop_at`` begins."""
        self.messages.append((kind, data))
        if kind == "executing" and self._stop_at and data.get("node") == self._stop_at:
            import nodes

            nodes.interrupt_processing(True)

    def run(self, prompt: Mapping[str, Any], stop_at: str = "") -> Executor:
        """Validate and run ``prompt``; errors in nodes are raised as they were.

        ``stop_at``: the run is interrupted when this node begins.
        """
        self._stop_at = stop_at
        prompt_id = str(uuid.uuid4())
        graph = {key: dict(node) for key, node in prompt.items()}
        valid = asyncio.run(self._execution.validate_prompt(prompt_id, graph, None))
        assert valid[0], (valid[1], valid[3])
        self.messages.clear()
        self._executor.execute(graph, prompt_id, {"client_id": "test"}, valid[2])
        self.outputs = self._executor.history_result.get("outputs", {})
        for kind, data in self._executor.status_messages:
            if kind == "execution_error":
                raise AssertionError(f"{data['exception_type']}: {data['exception_message']}")
        return self

    @property
    def ran(self) -> list[str]:
        """Ids of the nodes that ran, in order."""
        return [d["node"] for kind, d in self.messages if kind == "executing" and d.get("node")]

    def shown(self, kind: str) -> list[Any]:
        """Data of the messages of one type."""
        return [data for name, data in self.messages if name == kind]

    def forget(self) -> None:
        """What ``/free`` with both flags does: drop all cached values and models."""
        import comfy.model_management

        comfy.model_management.unload_all_models()
        self._executor.reset()


def new_server() -> Any:
    """A server that does not listen; newer hosts want a manager of assets for it."""
    import server

    arguments: list[Any] = [asyncio.new_event_loop()]
    if "asset_manager" in inspect.signature(server.PromptServer).parameters:
        from comfy.cli_args import args

        arguments.append(import_module("app.assets.manager").NoAssets(args))
    return server.PromptServer(*arguments)


def cache_settings(cache: str) -> dict[str, Any]:
    """What a host's executor is made with to cache like that.

    "ram" with so much to be kept free that what older prompts left always goes at once, as on
    machines with less than 128 GB.
    """
    import execution

    kinds = execution.CacheType
    names = {"classic": "CLASSIC", "lru": "LRU", "ram": "RAM_PRESSURE", "none": "NONE"}
    if not hasattr(kinds, "NONE"):  # 0.3.64
        names["none"] = "DEPENDENCY_AWARE"
    settings: dict[str, Any] = {"cache_type": getattr(kinds, names[cache])}
    if "cache_args" in inspect.signature(execution.PromptExecutor).parameters:
        settings["cache_args"] = {"lru": 1, "ram": 0.0, "ram_inactive": 1e6}
    else:
        settings["cache_size"] = 1
    return settings

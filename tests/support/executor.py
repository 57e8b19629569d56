"""ComfyUI's own executor in this process: prompts run as on a server, without HTTP."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Iterable, Mapping
from typing import Any


class Executor:
    """Runs prompts one after the other with ComfyUI's caches between them.

    Attributes:
        ran: ``(real node id, class type)`` of the nodes that ran in the last prompt, in order.
        outputs: ``ui`` values of the last prompt by node id.
        messages: what a client would have received.
    """

    def __init__(self, node_classes: Iterable[Any]) -> None:
        import execution
        import server

        import nodes

        for kind in node_classes:
            nodes.NODE_CLASS_MAPPINGS[kind.GET_SCHEMA().node_id] = kind
        loop = asyncio.new_event_loop()
        self.server = server.PromptServer(loop)
        self.server.client_id = "test"
        self.messages: list[tuple[str, Any]] = []
        self.server.send_sync = lambda kind, data, sid=None: self.messages.append((kind, data))
        settings: dict[str, Any] = {"cache_type": execution.CacheType.CLASSIC}
        if "cache_args" in inspect.signature(execution.PromptExecutor).parameters:
            settings["cache_args"] = {"lru": 0, "ram": 0.0, "ram_inactive": 0.0}
        self._executor = execution.PromptExecutor(self.server, **settings)
        self._execution = execution
        self.outputs: dict[str, Any] = {}

    def run(self, prompt: Mapping[str, Any]) -> Executor:
        """Validate and run ``prompt``; errors in nodes are raised as they were."""
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

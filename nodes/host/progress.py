"""Progress, live text and interruption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

MAX_SIDE = 512  # of a picture that is shown while a node works, as ComfyUI's own previews
#: Received by web/told_text.js.
TEXT_EVENT = "seedstory.text"


def interruptible() -> None:
    """Raise ComfyUI's interruption if the user asked for it."""
    import comfy.model_management

    comfy.model_management.throw_exception_if_processing_interrupted()


def further_item() -> bool:
    """Whether the running node is called for the second or a later item of a list.

    ComfyUI calls a node once for each item. What other nodes make of a node then goes wrong: of
    all their results only the first is handed on.
    """
    from comfy_execution.utils import get_executing_context

    context = get_executing_context()
    return context is not None and bool(context.list_index)


class Reporter:
    """The library's `Progress` on the node that is running: bar, text, and the stop button.

    A node with several equal stages, as one per panel, shows them on one bar: see `next_stage`.
    """

    def __init__(self, stages: int = 1) -> None:
        import comfy.utils

        self._bar: Any = comfy.utils.ProgressBar(max(1, stages))
        self._stages = max(1, stages)
        self._stage = 0
        self._note = ""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.step(done, total)
        if note and note != self._note:
            self._note = note
            _send_text(note)

    def step(self, done: int, total: int, picture: tuple | None = None) -> None:
        """``done`` of ``total`` steps of this stage; ``picture``: ("JPEG", PIL, max side)."""
        interruptible()
        total = max(1, total)
        done = self._stage * total + min(done, total)
        self._bar.update_absolute(done, self._stages * total, picture)

    def next_stage(self, picture: Tensor | None = None) -> None:
        """The current stage is done; ``picture``, uint8 [H, W, 3], is shown as what it made."""
        self._stage += 1
        shown = None if picture is None else ("PNG", Image.fromarray(picture.numpy()), MAX_SIDE)
        self._bar.update_absolute(self._stage, self._stages, shown)


def _send_text(text: str) -> None:
    """Show ``text`` on the visible node while it runs.

    ComfyUI's own progress text would stay beside the pack's text field and repeat it.
    """
    announce(TEXT_EVENT, {"text": text})


def announce(event: str, data: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Send ``data``, the visible running node (for a clone of a loop, its original), and the id of
    its workflow: the page may have several open, with nodes of the same ids.

    Returns:
        Whom it was sent to, and what; None where nobody is watching.
    """
    from comfy_execution.progress import get_progress_state
    from comfy_execution.utils import get_executing_context
    from server import PromptServer

    context = get_executing_context()
    server = getattr(PromptServer, "instance", None)
    if context is None or server is None or server.client_id is None:
        return None
    node = get_progress_state().dynprompt.get_display_node_id(context.node_id)
    message = {"node": node, "workflow": _workflow_id(server, context.prompt_id), **data}
    server.send_sync(event, message, server.client_id)
    return server.client_id, message


def _workflow_id(server: Any, prompt_id: str) -> str:
    """The id that the front end gave the workflow of a running prompt, "" where it has none."""
    running = list(server.prompt_queue.currently_running.values())
    queued = next((item for item in running if item[1] == prompt_id), None)
    found: Any = queued and queued[3]
    for key in ("extra_pnginfo", "workflow", "id"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""

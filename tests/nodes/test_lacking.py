"""What a machine lacks while a node runs is said there; a device's memory is ComfyUI's to free."""

from __future__ import annotations

import errno
import inspect
from types import ModuleType

import pytest
import torch


def failing(pack: ModuleType, error: Exception) -> type:
    """A node of the host's own kind that runs into ``error``."""
    from comfy_api.latest import io

    class Failing(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(node_id="Failing", inputs=[], outputs=[])

        @classmethod
        def execute(cls) -> io.NodeOutput:
            raise error

    return pack.nodes.host.said_in_words(Failing)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "too little memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "too little memory"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), "Disk full"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "read-only"),
        (OSError(errno.EMFILE, "Too many open files", "a"), "too many files"),
        (OSError(errno.EIO, "Input/output error", "a"), "failed"),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else "",
)
def test_the_node_says_what_is_lacking(pack: ModuleType, error: Exception, said: str) -> None:
    node = failing(pack, error)
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match=said):
        node.EXECUTE_NORMALIZED()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("shapes"), KeyError("a")],
    ids=repr,
)
def test_what_comfyui_acts_on_and_our_own_faults_pass(pack: ModuleType, error: Exception) -> None:
    node = failing(pack, error)
    with pytest.raises(type(error)) as caught:
        node.EXECUTE_NORMALIZED()
    assert caught.value is error


def test_every_node_says_it(pack: ModuleType) -> None:
    for node in pack.nodes.NODES:
        plain = inspect.unwrap(node.execute.__func__)
        assert plain is not node.execute.__func__, node
        coroutine = inspect.iscoroutinefunction(plain)
        assert inspect.iscoroutinefunction(node.execute) == coroutine, node

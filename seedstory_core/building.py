"""Models built from a stranger's sizes: refused while they are built, if they outgrow their file.

A world's numbers say how many layers there are and how wide; one of them could ask for years. What
its file of weights holds is known before: a model with more than that fits nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from .errors import SeedStoryError
from .troubles import lacks_memory, words

#: What constructors raise on sizes that make no model.
_NO_MODEL = (
    ArithmeticError, RuntimeError, TypeError, ValueError, LookupError, AttributeError, MemoryError,
)  # fmt: skip
#: Tensors and numbers beyond twice those of the file, before a model counts as outgrown: a
#: constructor may replace a layer, and what is only somewhat wrong is better named key by key.
SLACK = (1000, 1 << 30)


@dataclass(frozen=True)
class Room:
    """How large a model may be: its tensors, and the numbers in all of them."""

    tensors: int
    numbers: int

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Room:
        """What a state dict holds."""
        return cls(len(state), sum(value.numel() for value in state.values()))


#: For a model whose file is not at hand: more than any that one machine runs.
LARGEST = Room(tensors=10_000, numbers=2**40)


@contextlib.contextmanager
def within(room: Room, source: str) -> Iterator[None]:
    """Build models in here, best on the meta device: no more parameters than fit ``room``.

    Args:
        source: whose sizes they are, for the message.

    Raises:
        SeedStoryError: the sizes ask for more, or make no model at all.
    """
    left = [2 * size + more for size, more in zip((room.tensors, room.numbers), SLACK, strict=True)]
    thread = threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Tensor) -> None:
        if threading.get_ident() != thread:  # the hook is called for every thread's modules
            return
        left[0] -= 1
        left[1] -= parameter.numel()
        if min(left) < 0:
            raise SeedStoryError(
                f"The sizes of {source} ask for a larger model than its file holds ({room.tensors} "
                f"tensors, {room.numbers} numbers). They are wrong, or the file is another one: "
                "convert the official files again, or get the world anew."
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    except SeedStoryError:
        raise
    except _NO_MODEL as error:
        if lacks_memory(error):
            raise SeedStoryError(words(error) or str(error)) from error
        raise SeedStoryError(
            f"The sizes of {source} make no model ({type(error).__name__}: {str(error)[:200]}). "
            "Convert the official files again, or get the world anew."
        ) from error
    finally:
        hook.remove()


@contextlib.contextmanager
def on_meta(room: Room, source: str) -> Iterator[None]:
    """As `within`, and on the meta device, where no size takes memory."""
    with within(room, source), torch.device("meta"):
        yield

"""The rows that an LLM keeps between panels, in ComfyUI's books.

To ComfyUI they are a small model of their own: counted where it counts models, and told to leave
when another model needs the room. Leaving moves them to the CPU at once and whole; the next telling
brings them back. Under dynamic memory they stay a plain model beside the LLM's dynamic one, which
is what makes ComfyUI move them: dynamic models are never asked to leave for each other.
"""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any

import torch
from torch import nn

from ...seedstory_core.memory import Kept


class KeptRows(nn.Module):
    """Stands for the rows where ComfyUI expects a module; holds no weights.

    Args:
        keeper: is not held on to: its engine has it, which has the part that has this.

    Attributes:
        placed: whether the rows may be on the card: from the LLM's loading on until they leave.
    """

    def __init__(self, keeper: Kept) -> None:
        super().__init__()
        self.placed = False
        self._keeper = weakref.ref(keeper)

    @property
    def nbytes(self) -> int:
        """Bytes on the card."""
        keeper = self._keeper()
        return keeper.nbytes if self.placed and keeper is not None else 0

    def leave(self) -> None:
        """To the CPU, all of them."""
        keeper = self._keeper()
        if keeper is not None:
            keeper.park()
        self.placed = False


def kept_patcher(keeper: Kept, llm: Any) -> Any:
    """A ModelPatcher for the rows of ``keeper``, which go with the ModelPatcher ``llm``."""
    from comfy.patcher_extension import CallbacksMP

    patcher = _patcher_class()(KeptRows(keeper), llm.load_device, torch.device("cpu"))
    kept = weakref.ref(patcher)

    def follow(_llm: Any, unpatch_all: bool) -> None:
        """The LLM leaves; it is also "detached" without leaving, each time it is loaded anew."""
        rows = kept()
        if unpatch_all and rows is not None:
            rows.detach()

    llm.add_callback(CallbacksMP.ON_DETACH, follow)
    return patcher


@cache
def _patcher_class() -> Any:
    from comfy.model_patcher import ModelPatcher

    class KeptPatcher(ModelPatcher):
        """A "model" whose size is what its rows take on the card right now."""

        def model_size(self) -> int:
            return self.model.nbytes

        def loaded_size(self) -> int:
            return self.model.nbytes

        def partially_load(self, device_to: Any, *_how: Any, **_settings: Any) -> int:
            """Makes no copy: the reader brings its rows when it begins to read."""
            self.model.device, self.model.placed = device_to, True
            return 0

        def partially_unload(self, *_how: Any, **_settings: Any) -> int:
            """Rows leave all at once: see `detach`, which ComfyUI calls next."""
            return 0

        def detach(self, unpatch_all: bool = True) -> Any:
            if unpatch_all:
                self.model.leave()
            return super().detach(unpatch_all)

    return KeptPatcher

"""What a memory plan asks of this engine: its models, their passes, and the rows of a panel.

Nothing here loads or computes: modules are built on the meta device, and the passes are those that
`engine.py` and `telling.py` make at their largest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from ...building import LARGEST, within
from ...context import ContextPolicy
from ...ops import torch_ops
from .config import SeedStoryConfig
from .detokenizer import Detokenizer
from .futures import AT_ONCE, TOGETHER
from .mllm import Mllm
from .vision import Vision


@dataclass(frozen=True)
class Memory:
    """Of one world's sizes.

    Attributes:
        config: the sizes.
        prefixes: of the keys that belong to a part, where its file has others too.
    """

    config: SeedStoryConfig
    prefixes: ClassVar[Mapping[str, str]] = {"detokenizer": "resampler."}

    @classmethod
    def of(cls, sizes: Mapping[str, Any]) -> Memory:
        """From the field ``sizes`` of a world.json."""
        return cls(SeedStoryConfig.from_json(sizes))

    def build(self, part: str) -> nn.Module:
        """``vision``, ``llm`` or ``detokenizer`` on the current default device."""
        config = self.config
        builders: dict[str, Callable[[], nn.Module]] = {
            "vision": lambda: Vision(config.vision, torch_ops),
            "llm": lambda: Mllm(config, torch_ops),
            "detokenizer": lambda: Detokenizer(config.detokenizer, torch_ops),
        }
        with within(LARGEST, f"this world's {part}"):
            return builders[part]()

    @property
    def picture_rows(self) -> int:
        """Rows of a picture in the LLM: ``<img>``, its tokens, ``</img>``."""
        return self.config.image_tokens + 2

    @property
    def max_rows(self) -> int:
        return self.config.llm.max_positions

    def stories_at_once(self, context: ContextPolicy) -> int:
        """How many stories are told in one batch at most, each with rows of its own."""
        return AT_ONCE if isinstance(context, TOGETHER) else 1

    def kept_bytes(self, rows: int, dtype: torch.dtype, context: ContextPolicy) -> int:
        """Keys and values of ``rows`` rows, and keys before they are turned where they move."""
        llm, kinds = self.config.llm, 3 if context.reindexes else 2
        return kinds * llm.layers * llm.kv_heads * llm.head_width * rows * dtype.itemsize

    def run(self, part: str, module: nn.Module, dtype: torch.dtype, rows: int) -> Callable[[], Any]:
        """The largest pass of a part, on the meta device.

        Args:
            rows: of the prompt that the LLM reads at once.
        """
        vision = self.config.vision
        source, side = vision.pool, vision.image_size
        features = torch.empty(1, source.tokens, source.width, device="meta", dtype=dtype)
        if isinstance(module, Mllm):
            return lambda: _read(module, rows, dtype)
        if part == "vision":
            return lambda: module(torch.empty(1, 3, side, side, device="meta", dtype=dtype))
        return lambda: module(features)


def _read(llm: Mllm, rows: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """A whole prompt at once, and the words' scores and the picture behind it.

    The pictures in it stay beside it while it is read: at most as many rows again.
    """
    width, queries = llm.model.config.width, llm.input_resampler.tokens
    pictures = torch.empty(rows, width, device="meta", dtype=dtype)  # alive while it is read
    embeds = torch.empty(1, rows, width, device="meta", dtype=dtype)
    hidden = llm(embeds, torch.arange(rows, device="meta"))
    del pictures
    return llm.scores(hidden[0, -1:]), llm.output_resampler(hidden[:, -queries:])

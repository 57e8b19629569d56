"""Picture features to SDXL's conditioning, and the constants of a world's de-tokenizer file.

The de-tokenizer adds no attention of its own: the resampler's output *is* SDXL's conditioning, and
the rest is a set of changed UNet weights, host-neutral data that each host lays on its UNet.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ...errors import SeedStoryError
from ...parts import Part
from ...story import check_features
from ...types import Cond, Conditioning
from ...weights.reader import read_tensors
from .detokenizer import Detokenizer

NEGATIVE = "negative."
UNET = "unet."


class Conditioner:
    """The de-tokenizer part and its file's constants: ``negative.*`` and ``unet.*``."""

    def __init__(self, part: Part[Detokenizer], constants: Path) -> None:
        self._part, self._constants = part, constants

    def condition(self, features: Tensor) -> Conditioning:
        """[B, 256, D] -> positive and negative of batch B, fp32 on the CPU.

        The negative belongs to a picture of the mean colour and is the same for every panel
        (adapter_modules.py:402-417 computes it anew for each picture; SPEC quirk 20).
        """
        part = self._part
        with torch.inference_mode():
            tokens, pooled = part.acquire()(features.to(part.device, part.dtype))
            tokens, pooled = tokens.float().cpu(), pooled.float().cpu()
        with torch.inference_mode(False):
            positive = Cond(tokens.clone(), pooled.clone())  # plain tensors, usable in any mode
        check_features({"tokens": tokens, "pooled": pooled}, "the de-tokenizer's output")
        grey, grey_pooled = (part.expand(len(tokens), *part.shape[1:]) for part in self.negative)
        negative = Cond(grey, grey_pooled)
        return Conditioning((positive,), (negative,))

    @cached_property
    def negative(self) -> tuple[Tensor, Tensor]:
        """Tokens [1, L, D] and pooled [1, D'] of the negative, fp32; read from the file once."""
        with torch.inference_mode(False):  # kept for callers in any mode
            constants = self.constants(NEGATIVE)
        if not {"tokens", "pooled"} <= constants.keys():
            raise SeedStoryError(
                f"{self._constants} has no {NEGATIVE}tokens and {NEGATIVE}pooled. Convert the "
                "official files again."
            )
        with torch.inference_mode(False):
            return constants["tokens"].float(), constants["pooled"].float()

    def constants(self, prefix: str) -> dict[str, Tensor]:
        """The file's tensors under ``prefix``, mapped, with the prefix cut off."""
        return read_tensors(self._constants, prefix)

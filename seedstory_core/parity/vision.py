"""Cases: preprocessing and the visual tokenizer."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ..images import clip_input, read_picture
from .check import Check
from .models import Models

IO = "visual_tokenizer_io"


def preprocessing(models: Models, check: Check) -> None:
    goldens = models.goldens
    picture = read_picture(goldens.folder / "preproc_input.png")
    got = clip_input([picture], models.config.vision.image_size)[0]
    check.close("preproc_out", got, goldens.tensors(IO)["preproc_out"], goldens.tolerance(IO))


def vision(models: Models, check: Check) -> None:
    """Output, and what passes through the first norm and single blocks."""
    tensors, tolerance = models.goldens.tensors(IO), models.goldens.tolerance(IO)
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        for name, module in _watched(models)
    ]
    check.close("out", models.vision(tensors["pixels"]), tensors["out"], tolerance)
    for hook in hooks:
        hook.remove()
    for name, want in tensors.items():
        match = re.fullmatch(r"(after_\w+)_img(\d+)", name)
        if match:
            got = seen[match[1]][int(match[2])][None]
            check.close(name, got, want, tolerance)


def _watched(models: Models) -> list[tuple[str, torch.nn.Module]]:
    blocks = models.vision.blocks
    return [
        ("after_ln_pre", models.vision.ln_pre),
        *((f"after_block{i}", block) for i, block in enumerate(blocks)),
    ]


def zero_image(models: Models, check: Check) -> None:
    """The mean-coloured picture, whose conditioning is the negative."""
    tensors, size = models.goldens.tensors(IO), models.config.vision.image_size
    want = tensors["out_zero_image"]
    got = models.vision(torch.zeros(1, 3, size, size))
    check.close("out_zero_image", got, want, models.goldens.tolerance(IO))


def other_sizes(models: Models, check: Check) -> None:
    """Pictures of other sizes, for which the position tables are resized up, down or not at all."""
    tensors = models.goldens.tensors(IO)
    for name, pixels in tensors.items():
        match = re.fullmatch(r"pixels_u8_(\d+)", name)
        if match:
            got = models.vision(pixels.float() / 64 - 2)
            want = tensors[f"out_{match[1]}"]
            check.close(f"out_{match[1]}", got, want, models.goldens.tolerance(IO))

"""Trains the probes on true renders, measures them on unseen ones, and writes them to a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import save
from torch import Tensor, autocast

from ..files import atomic_write_bytes
from ..picture_world.palette import PALETTE
from ..types import Progress, no_progress
from .probe_data import TRUE, Examples, draw_examples
from .probe_net import IGNORE, NOTES, Probes, probe_loss

SPECKLES = 0.02  # most of the pixels that may be wrong
PATCHES = 3  # at most so many 3 x 3 squares of one wrong colour
DIGEST_RENDERS = 24


@dataclass(frozen=True)
class ProbeSettings:
    """How probes are trained; the defaults made the shipped ones.

    Attributes:
        pool: renders drawn to train on; ``steps`` batches of ``batch`` are drawn from them.
    """

    pool: int = 60_000
    steps: int = 2400
    batch: int = 64
    lr: float = 3e-3
    unseen: int = 4000


def render_digest() -> str:
    """Tells drawings apart: probes know only the drawing they were trained on."""
    examples = draw_examples(DIGEST_RENDERS, seed=1, kind=TRUE)
    digest = hashlib.sha256(examples.pictures.tobytes())
    digest.update(PALETTE.tobytes())
    return digest.hexdigest()


def speckle(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Palette indices [B, 64, 64] with a few wrong pixels and squares, as painters leave them."""
    batch, side = len(pictures), pictures.shape[-1]
    colours = len(PALETTE)
    rate = torch.rand(batch, 1, 1, generator=generator) * SPECKLES
    rate *= torch.rand(batch, 1, 1, generator=generator) < 0.5
    wrong = torch.rand(pictures.shape, generator=generator) < rate
    noise = torch.randint(0, colours, pictures.shape, generator=generator, dtype=pictures.dtype)
    pictures = torch.where(wrong, noise, pictures)
    squares = torch.randint(-PATCHES, PATCHES + 1, (batch,), generator=generator).clamp(min=0)
    for index in squares.nonzero()[:, 0].tolist():
        for _ in range(int(squares[index])):
            y, x, colour = (
                int(torch.randint(0, most, (1,), generator=generator))
                for most in (side - 2, side - 2, colours)
            )
            pictures[index, y : y + 3, x : x + 3] = colour
    return pictures


def to_pixels(pictures: Tensor) -> Tensor:
    """Palette indices [B, H, W] -> float [B, 3, H, W] in 0..1."""
    table = torch.from_numpy(PALETTE.copy()).float() / 255
    return rearrange(table[pictures.long()], "b h w c -> b c h w").contiguous()


def train_probes(
    seed: int = 0, settings: ProbeSettings = ProbeSettings(), progress: Progress = no_progress
) -> Probes:
    """Probes from nothing, deterministic by seed; cancelled by an error raised in ``progress``."""
    total = settings.pool + settings.steps * 10

    def drawn(done: int) -> None:
        if done % 100 == 0:
            progress(done, total, "drawing what the probes learn from")

    examples = draw_examples(settings.pool, seed, stop=drawn)
    pictures = torch.from_numpy(examples.pictures)
    labels = {name: torch.from_numpy(values) for name, values in examples.labels.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        probes = Probes().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(probes.parameters(), settings.lr, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _rate(step, settings.steps)
        rows = torch.randint(0, len(pictures), (settings.batch,), generator=generator)
        pixels = to_pixels(speckle(pictures[rows], generator))
        with autocast("cpu", torch.bfloat16):
            seen = probes.trunk(pixels)
        asked = {name: value[rows] for name, value in labels.items()}
        loss = probe_loss(probes.answers(seen.float()), asked)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(probes.parameters(), 1.0)
        optimizer.step()
        progress(
            settings.pool + step * 10,
            total,
            f"training the probes: loss {float(loss.detach()):.3f}",
        )
    return probes.eval().requires_grad_(False)


def _rate(step: int, steps: int) -> float:
    """Warm-up over the first twentieth, then a cosine down to nothing."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + cos(pi * (step - warm) / max(1, steps - warm)))


@torch.inference_mode()
def accuracies(probes: Probes, examples: Examples, batch: int = 250) -> dict[str, float]:
    """Share of right answers to each question, and of pictures with every answer right (``all``).

    Questions without an answer are not counted; those never asked are left out.
    """
    right: dict[str, list[int]] = {}
    whole = 0
    for start in range(0, len(examples), batch):
        pixels = to_pixels(torch.from_numpy(examples.pictures[start : start + batch]))
        every = torch.ones(len(pixels), dtype=torch.bool)
        for name, scores in probes(pixels).items():
            label = torch.from_numpy(examples.labels[name][start : start + batch])
            asked = label != IGNORE
            good = (scores.argmax(-1) == label) | ~asked
            counts = right.setdefault(name, [0, 0])
            counts[0] += int((good & asked).sum())
            counts[1] += int(asked.sum())
            every &= good.reshape(len(pixels), -1).all(1)
        whole += int(every.sum())
    shares = {name: good / asked for name, (good, asked) in right.items() if asked}
    return {**shares, "all": whole / len(examples)}


def make_probes(
    file: Path,
    seed: int = 0,
    settings: ProbeSettings = ProbeSettings(),
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Train probes and write them in fp16; the same seed gives the same file on one machine.

    Returns: accuracies on unseen renders, half of them wrong on purpose, as the file keeps them.
    """
    probes = train_probes(seed, settings, progress)
    state = {name: value.half().contiguous() for name, value in probes.state_dict().items()}
    probes.load_state_dict({name: value.float() for name, value in state.items()})
    found = accuracies(probes, draw_examples(settings.unseen, seed + 1))
    notes = {
        "render": render_digest(),
        "seed": seed,
        "settings": vars(settings),
        "accuracy": {name: round(value, 5) for name, value in found.items()},
    }
    # one entry: the order of several changes from run to run
    atomic_write_bytes(file, save(state, {NOTES: json.dumps(notes)}))
    return found

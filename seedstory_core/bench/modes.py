"""The schedules that are compared, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch

from ..context import Block, ContextPolicy, Dense, MultimodalSink, Window
from ..errors import SeedStoryError
from ..quantised import LIBRARY

WINDOW = 8  # panels in view, as in the reference
SINK = MultimodalSink(WINDOW)


@dataclass(frozen=True)
class Mode:
    """One way to tell a story.

    Attributes:
        baseline: name of the mode it is compared with.
        reference: told by transformers' generate() instead of our engine.
        merged: whether the LoRA is merged (always in our engine).
        policy: what of the story is in view.
        fresh: nothing is kept from panel to panel.
        given: captions are given, only pictures are told.
        same: it must say what its baseline says.
        form: how the weights are quantised (`quantised.FORMATS`), or "".
        graphs: short passes are captured; for a GPU, and not run elsewhere.
    """

    name: str
    what: str
    baseline: str = "ref_merged"
    reference: bool = False
    merged: bool = True
    policy: ContextPolicy = field(default_factory=lambda: Window(WINDOW))
    fresh: bool = False
    given: bool = False
    same: bool = False
    form: str = ""
    graphs: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode(
            "ref", "generate(), LoRA beside the matrices", reference=True, merged=False, same=True
        ),
        Mode("ref_merged", "generate(), LoRA merged", reference=True),
        Mode("fused", "picture in one pass, nothing kept", fresh=True, same=True),
        Mode("exact", "the same, and KV kept until the window slides", same=True),
        Mode("block", "KV kept, the window slides by 4 panels", policy=Block(WINDOW, 4)),
        Mode("sink", "KV kept for ever, capped sink", policy=SINK),
        Mode("dense", "KV kept, all panels in view", policy=Dense()),
        Mode(
            "ref_given",
            "generate() behind given captions, LoRA merged",
            "ref_given",
            reference=True,
            given=True,
        ),
        Mode("given", "given captions, KV kept", "ref_given", given=True, same=True),
        Mode(
            "given_sink",
            "given captions, capped sink",
            "ref_given",
            policy=SINK,
            given=True,
        ),
        Mode("graph", "the capped sink, captured as CUDA graphs", policy=SINK, graphs=True),
        Mode("int8", "the same, 8-bit weights", policy=SINK, graphs=True, form="int8"),
        Mode("int4", "the same, 4-bit weights", policy=SINK, graphs=True, form="int4"),
    )
}
DEFAULT = (
    "ref", "ref_merged", "fused", "exact", "block", "sink", "ref_given", "given", "given_sink",
    "graph", "int8", "int4",
)  # fmt: skip


def chosen(names: Sequence[str], device: torch.device) -> tuple[list[Mode], dict[str, str]]:
    """Modes to run, each with its baseline, and those that cannot run on ``device`` with the
    reason.

    Raises:
        SeedStoryError: an unknown name.
    """
    unknown = [name for name in names if name not in MODES]
    if unknown:
        raise SeedStoryError(f"There is no mode {unknown[0]!r}. Known: {', '.join(MODES)}.")
    asked = [MODES[name] for name in names]
    lacking = {mode.name: why for mode in asked if (why := _obstacle(mode, device))}
    able = {mode.name for mode in asked} - set(lacking)
    wanted = able | {MODES[name].baseline for name in able}
    return [mode for mode in MODES.values() if mode.name in wanted], lacking


def _obstacle(mode: Mode, device: torch.device) -> str:
    """Why a mode cannot run on ``device``, or ""."""
    if mode.graphs and device.type != "cuda":
        return f"needs CUDA: {mode.what}"
    if mode.form and find_spec("comfy_kitchen") is None:
        return f"needs the library {LIBRARY}: {mode.what}"
    return ""

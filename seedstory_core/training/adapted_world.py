"""Writes the adapted world: a copy of its base with what was learnt, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engines.seed_story.conditioning import NEGATIVE, UNET
from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.detokenizer import Detokenizer
from ..errors import SeedStoryError
from ..files import atomic_folder, require_space, sha256_of
from ..hosts import read_part
from ..images import encode_png
from ..parts import PartSpec, load_strict
from ..weights.outputs import fitting
from ..weights.reader import open_checkpoint
from ..weights.stream import StreamWriter, TensorSpec
from ..weights.world_writer import write_world_json
from ..world import World, inside
from .adapt_encode import shown
from .adapt_telling import merged
from .adapt_words import EMBEDDING, HEAD, ROLES, Words
from .data import Stories

OPENINGS = 5  # of the new series, before those of the base
PEN, BRUSH = "detokenizer.", "unet."
Changes = Mapping[str, Tensor]


def write_adapted(
    world: World,
    out: Path,
    words: Words,
    told: Changes,
    painted: Changes,
    drawn: Changes,
    zero: Tensor,
    series: Stories,
    provenance: Mapping[str, Any],
) -> None:
    """Write ``out``.

    Args:
        words: of the new world.
        told: changes of the LLM, as `adapt_telling.merged` reads them.
        painted: changed tensors ``detokenizer.*`` and ``unet.*``; may be empty.
        drawn: changed tensors of the VAE; may be empty.
        zero: features [L, D] of no picture.
        series: its first pictures become openings.

    Raises:
        SeedStoryError: ``out`` is there, the disk is full, or a weight does not fit its dtype.
    """
    refuse_existing(out)
    total = sum(entry.bytes for entry in world.files.values())
    require_space(out.parent, 2 * total, f"The world {out.name}")
    with atomic_folder(out) as beside:
        _fill(world, beside, words, told, painted, drawn, zero, series, provenance)


def refuse_existing(out: Path) -> None:
    """An adaptation makes a new folder.

    Raises:
        SeedStoryError: there is something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SeedStoryError(f"{out} exists already. Choose another --out, or move it away.")


def _fill(
    world: World,
    folder: Path,
    words: Words,
    told: Changes,
    painted: Changes,
    drawn: Changes,
    zero: Tensor,
    series: Stories,
    provenance: Mapping[str, Any],
) -> None:
    hashes = {}
    pens = {name.removeprefix(PEN): v for name, v in painted.items() if name.startswith(PEN)}
    brushes = {name.removeprefix(BRUSH): v for name, v in painted.items() if name.startswith(BRUSH)}
    own_unet = "unet" in world.files
    replaced: dict[str, dict[str, Tensor]] = {"vae": dict(drawn)}
    replaced["detokenizer"] = {f"resampler.{name}": value for name, value in pens.items()}
    if own_unet:
        replaced["unet"] = brushes
    else:
        replaced["detokenizer"] |= {f"{UNET}{name}": value for name, value in brushes.items()}
    if pens:
        replaced["detokenizer"] |= _negative(world, pens, zero)
    for role, entry in world.files.items():
        target = inside(folder, entry.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if role == "llm" and told:
            hashes[entry.path] = _write_llm(world, target, words, told)
        elif role in ROLES and words.folder is not None:
            hashes[entry.path] = _copy(words.folder / ROLES[role], target)
        elif replaced.get(role):
            new = replaced[role]
            hashes[entry.path] = _write(
                world.file(role),
                target,
                new.items(),
                lambda name, base, new=new: new.get(name, base),
            )
        else:
            shutil.copyfile(world.file(role), target)
            hashes[entry.path] = entry.sha256
    openings = _openings(world, folder, series)
    _write_json(world, folder, words, hashes, openings, provenance)


def _copy(source: Path, target: Path) -> str:
    """Copy a file; its sha256."""
    shutil.copyfile(source, target)
    return sha256_of(target)


def _write_llm(world: World, target: Path, words: Words, told: Changes) -> str:
    """The LLM with what it learnt, with a row for every new word; the new file's sha256."""
    source = world.file("llm")
    whole = (EMBEDDING, HEAD) if words.count else ()
    rows = {name: told[name] for name in whole}
    return _write(source, target, (), lambda name, base: merged(name, base, told), rows)


def _write(
    source: Path,
    target: Path,
    more: Sequence[tuple[str, Tensor]] | Any,
    change: Callable[[str, Tensor], Tensor],
    grown: Changes | None = None,
) -> str:
    """Copy a file tensor by tensor, each through ``change``, with what ``more`` has beside them.

    Returns: the new file's sha256.
    """
    base = open_checkpoint(source)
    known = set(base.keys())
    dtype = next((base.dtype(key) for key in base.keys()), torch.float16)
    specs = {key: TensorSpec(base.shape(key), base.dtype(key)) for key in base.keys()}
    for name, value in (grown or {}).items():
        specs[name] = TensorSpec(tuple(value.shape), specs[name].dtype)
    extra = {name: value for name, value in more if name not in known}
    specs |= {name: TensorSpec(tuple(value.shape), dtype) for name, value in extra.items()}
    writer = StreamWriter(target, specs, {"format": "pt"})
    with torch.inference_mode(), writer:
        for name in writer.order:
            value = extra[name] if name in extra else change(name, base.tensor(name))
            writer.add(name, fitting(value, specs[name].dtype, f"{target.name}: {name}"))
    return writer.sha256


@torch.no_grad()
def _negative(world: World, pens: Changes, zero: Tensor) -> dict[str, Tensor]:
    """The constant conditioning of no picture by the changed de-tokenizer."""
    config = SeedStoryConfig.from_json(world.sizes).detokenizer
    spec = PartSpec(
        "detokenizer", lambda ops: Detokenizer(config, ops), world.file("detokenizer"), "resampler."
    )
    state = {name: value.float() for name, value in (read_part(spec) | dict(pens)).items()}
    pen = Detokenizer(config)
    load_strict(pen, state, str(spec.weights))
    tokens, pooled = pen(zero[None])
    return {f"{NEGATIVE}tokens": tokens, f"{NEGATIVE}pooled": pooled}


def _openings(world: World, folder: Path, series: Stories) -> list[dict[str, str]]:
    """First panels of the new stories, then the base's openings; pictures are written."""
    kept: list[dict[str, str]] = []
    for number, tale in enumerate(series.tales[:OPENINGS]):
        name = f"openings/new_{number:02d}.png"
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_png(shown(series.root / tale.images[0], world)))
        kept.append({"image": name, "text": tale.captions[0]})
    for opening in world.openings:
        name = str(opening["image"])
        target = inside(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(inside(world.root, name), target)
        kept.append({"image": name, "text": str(opening["text"])})
    return kept


def _write_json(
    world: World,
    folder: Path,
    words: Words,
    hashes: Mapping[str, str],
    openings: Sequence[Mapping[str, str]],
    provenance: Mapping[str, Any],
) -> None:
    write_world_json(
        folder,
        title=f"{world.title}, adapted",
        engine=world.engine,
        sizes=words.config.to_json(),
        files={role: entry.path for role, entry in world.files.items()},
        panel_size=world.panel_size,
        licence=world.licence,
        provenance=provenance,
        painter=None if world.painter is None else _plain(world.painter),
        defaults=_plain(world.defaults),
        openings=openings,
        notice=world.notice,
        hashes=hashes,
    )


def _plain(value: Any) -> Any:
    """A frozen value of world.json as plain JSON again."""
    return json.loads(json.dumps(value, default=_thaw))


def _thaw(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)

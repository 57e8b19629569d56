"""The de-tokenizer's checkpoint -> detokenizer.safetensors, and unet.safetensors without a base.

Of its UNet only what differs from the base is kept, after rounding both to the stored dtype.
The negative conditioning of SEED-Story is the de-tokenizer's answer to a picture of zeros (in
normalised space), so it is a constant of the weights and is computed here, once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .... import held
from ....errors import SeedStoryError
from ....hosts import LocalPart
from ....ops import cast_ops
from ....parts import MAX_NAMED_KEYS, PartSpec, load_strict
from ....schedule import SDXL
from ....types import Progress, no_progress
from ....weights.outputs import Output, fitting, hash_of, is_finished, told_by
from ....weights.sdxl import VAE_SCALE, Base, unet_shapes
from ....weights.sources import Source
from ....weights.stream import TensorSpec
from ..config import SeedStoryConfig
from ..detokenizer import Detokenizer
from ..keymap import DETOKENIZER_RESAMPLER
from ..vision import Vision
from .inputs import DETOKENIZER, UNET, VISION, Options, fits, planned, unfinish
from .sizes import detokenizer_sizes, filled

log = logging.getLogger(__name__)

PREFIX = "unet."  # of UNet tensors in the official file and in ours


def convert_detokenizer(
    world: Path,
    path: Path,
    base: Path | None,
    options: Options,
    progress: Progress = no_progress,
) -> bool:
    """Convert; False when it is there already, made from the same files.

    Args:
        base: SDXL base (single file, diffusers folder, or UNet file). None keeps the whole UNet.

    Raises:
        SeedStoryError: the visual tokenizer is not converted yet, or files do not fit together.
    """
    if told_by(world / VISION) is None:
        raise SeedStoryError(
            f"{world} has no {VISION} yet, which the constant negative embedding is made with. "
            "Convert the visual tokenizer first, or in the same command (--visual)."
        )
    source = Source.open(path)
    under = None if base is None else Source.open(_unet_of(base))
    told, told_base = source.describe(), None if under is None else under.describe()
    recipe = options.recipe(
        "detokenizer",
        source=told["fingerprint"],
        base=None if told_base is None else told_base["fingerprint"],
        vision=hash_of(world / VISION),
        unet_config=dict(options.unet_config),
    )
    if is_finished(world / DETOKENIZER, recipe) and (under or is_finished(world / UNET, recipe)):
        return False
    unet = _Unet.of(source, options, whole=under is None)
    resampler, config = _resampler(world, source, options)
    changed = [] if under is None else unet.changed(Base(under.checkpoint), progress)
    unfinish(world)
    negative = negative_embedding(world / VISION, config, resampler)
    facts = {
        "sizes": {"detokenizer": config.to_json()["detokenizer"]},
        "source": told,
        "base": told_base,
        "panel_size": [int(options.unet_config.get("sample_size") or 128) * VAE_SCALE] * 2,
        "painter": _painter(options) if under is None else None,
    }
    if under is None:
        unet.output(world / UNET, list(unet.shapes), "", recipe, facts).write(progress)
    elif told_by(world / UNET) is not None:
        held.unlink(world / UNET)  # ours, from an earlier conversion without a base
    tensors = {**{f"resampler.{key}": value for key, value in resampler.items()}, **negative}
    kept = unet.output(world / DETOKENIZER, changed, PREFIX, recipe, facts)
    _joined(tensors, kept).write(progress)
    return True


def _joined(tensors: Mapping[str, Tensor], more: Output) -> Output:
    """``more`` with ``tensors`` that are in memory in front."""
    specs = {key: TensorSpec(tuple(value.shape), value.dtype) for key, value in tensors.items()}
    return replace(
        more,
        specs={**specs, **more.specs},
        make=lambda name: tensors[name] if name in tensors else more.make(name),
    )


def negative_embedding(
    vision: Path, config: SeedStoryConfig, resampler: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """``negative.tokens`` [1, Q, D] and ``negative.pooled`` [1, D'] in fp32.

    Computed on the CPU in fp32 from weights that stay mapped, so it needs little memory
    (adapter_modules.py:402-417 of the reference computes it anew for every picture).
    """
    spec = PartSpec("vision", lambda ops: Vision(config.vision, ops), vision)
    eyes = LocalPart(spec, torch.device("cpu"), torch.float32, cast=True).acquire()
    with torch.device("meta"):
        module = Detokenizer(config.detokenizer, cast_ops)
    load_strict(module, resampler, "the de-tokenizer's resampler")
    side = config.vision.image_size
    with torch.inference_mode():
        tokens, pooled = module.eval()(eyes(torch.zeros(1, 3, side, side)))
    return {
        "negative.tokens": fitting(tokens, torch.float32, "the negative embedding"),
        "negative.pooled": fitting(pooled, torch.float32, "the negative embedding"),
    }


def _resampler(
    world: Path, source: Source, options: Options
) -> tuple[dict[str, Tensor], SeedStoryConfig]:
    """The resampler's tensors in the stored dtype (small), and the sizes known by now."""
    recipes = source.recipes(DETOKENIZER_RESAMPLER)
    _, own = planned(source, recipes, detokenizer_sizes, options)
    told = told_by(world / VISION)
    assert told is not None
    config = filled({**told["facts"]["sizes"], **own})
    shapes = {name: recipe.shape(source.checkpoint.shape) for name, recipe in recipes.items()}
    fits(lambda: Detokenizer(config.detokenizer), shapes, source)
    tensors = {
        name: fitting(
            recipe.make(source.checkpoint.tensor, {}), options.dtype, f"{source.path}: {name}"
        )
        for name, recipe in recipes.items()
    }
    return tensors, config


@dataclass(frozen=True)
class _Unet:
    """The UNet inside the de-tokenizer's file, under diffusers names."""

    source: Source
    shapes: Mapping[str, tuple[int, ...]]
    dtype: torch.dtype

    @classmethod
    def of(cls, source: Source, options: Options, whole: bool) -> _Unet:
        """Check names and shapes against the configuration.

        Raises:
            SeedStoryError: unknown, misshapen or (where all must be there) missing tensors.
        """
        checkpoint = source.checkpoint
        found = {
            key.removeprefix(PREFIX): checkpoint.shape(key)
            for key in checkpoint.keys()
            if key.startswith(PREFIX)
        }
        wanted = unet_shapes(options.unet_config)
        unknown = [key for key in found if key not in wanted]
        wrong = [
            f"{key} {found[key]} instead of {wanted[key]}"
            for key in found
            if key in wanted and found[key] != wanted[key]
        ]
        missing = [key for key in wanted if key not in found] if whole or not found else []
        for problem, keys in (("unknown", unknown), ("misshapen", wrong), ("missing", missing)):
            if keys:
                raise SeedStoryError(
                    f"{source.path} has {len(keys)} {problem} UNet tensors: "
                    f"{', '.join(keys[:MAX_NAMED_KEYS])}. "
                    + (
                        "Give the base they are to be laid over as --sdxl-base."
                        if problem == "missing" and found
                        else "Is it SDXL's? For another UNet give --unet-config."
                    )
                )
        return cls(source, found, options.dtype)

    def changed(self, base: Base, progress: Progress) -> list[str]:
        """Names of tensors that differ from the base when both are rounded to the stored dtype."""
        misfits = [
            f"{name} {self.shapes[name]} (base: {base.shape(name)})"
            for name in self.shapes
            if base.shape(name) != self.shapes[name]
        ]
        if misfits:
            raise SeedStoryError(
                f"{self.source.path} does not fit the base: {len(misfits)} tensors differ in shape "
                f"or are missing there: {', '.join(misfits[:MAX_NAMED_KEYS])}. Give SDXL base 1.0."
            )
        names = []
        for done, name in enumerate(self.shapes, 1):
            own = self._tensor(name).to(self.dtype)
            if not torch.equal(own, base.tensor(name).to(self.dtype)):
                names.append(name)
            progress(done, len(self.shapes), "comparing with the base")
        log.info("%d of %d UNet tensors differ from the base", len(names), len(self.shapes))
        return names

    def output(
        self,
        target: Path,
        names: list[str],
        prefix: str,
        recipe: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> Output:
        """A file with the tensors ``names``, each under ``prefix``."""
        specs = {f"{prefix}{name}": TensorSpec(self.shapes[name], self.dtype) for name in names}
        return Output(
            target, specs, lambda name: self._tensor(name.removeprefix(prefix)), recipe, facts
        )

    def _tensor(self, name: str) -> Tensor:
        return self.source.checkpoint.tensor(f"{PREFIX}{name}")


def _unet_of(base: Path) -> Path:
    """``unet/`` inside a diffusers pipeline folder; else the path itself."""
    return base / "unet" if (base / "unet").is_dir() else base


def _painter(options: Options) -> dict[str, Any]:
    return {"unet": dict(options.unet_config), "vae": None, "scheduler": dict(SDXL)}

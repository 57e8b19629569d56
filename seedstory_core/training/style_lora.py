"""Trains a LoRA for a world's UNet: the same words painted in another style.

With Picture World's scene graphs the style is a change of the scene, drawn truly: features of the
picture as told, the latents of the picture as changed. Without a style the LoRA learns the pictures
of the data as they are. The result has kohya's naming, which stock Load LoRA reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import SeedStoryError
from ..painter.steering import lora_state
from ..picture_world.scene import Scene
from .cache import AT_ONCE, Rows
from .controlnet import trained_painter
from .data import Stories, open_data
from .detokenizer import DetokenizerStage, PainterModule, Pairs, held_out_splits, pairs_of
from .encoded import enlargement, frozen, open_vision, vae_input, vision_input, zero_features
from .lora import ADAPTER, need_peft
from .recipe import StageSettings
from .stage import Job, generator_of
from .vae import open_vae

NAME = "style-lora"
#: What a style makes of every scene.
STYLES: Mapping[str, Mapping[str, str]] = {
    "night": {"time": "night"},
    "winter": {"weather": "snow"},
    "winter-night": {"time": "night", "weather": "snow"},
}
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
PICTURES, MOST = 2000, 8000  # drawn for a style; more need no more than one shard
CHECKED = 64


def styled(scene: Scene, style: str) -> Scene:
    """The scene in another style.

    Raises:
        SeedStoryError: no such style.
    """
    if style not in STYLES:
        raise SeedStoryError(f"Styles are {', '.join(STYLES)}, got {style!r:.80}.")
    return replace(scene, **STYLES[style])


class StyleStage(DetokenizerStage):
    """Stage 1 on styled pictures, of whose module only the adapters learn."""

    def result(self, module: nn.Module) -> dict[str, Mapping[str, Tensor]]:
        """See `Stage.result`."""
        assert isinstance(module, PainterModule)
        return {NAME: lora_state(module.unet, ADAPTER)}


def add_adapters(module: PainterModule, settings: StageSettings) -> None:
    """Put adapters on the UNet's linear layers; nothing else is trained.

    Raises:
        SeedStoryError: a wrong rank, a target that is not there, or no peft.
    """
    peft = need_peft()
    rank = settings.option("rank", 8)
    alpha = settings.option("alpha", float(rank))
    targets = settings.option("target", list(TARGETS))
    module.requires_grad_(False)
    try:
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)  # type: ignore[arg-type]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator_of(settings.seed, NAME, "weights").initial_seed())
            peft.inject_adapter_in_model(config, module.unet, ADAPTER)
    except (TypeError, ValueError) as error:
        raise SeedStoryError(f"The options of stage {NAME!r} are wrong ({error}).") from error
    for name, value in module.named_parameters():
        value.requires_grad_(".lora_" in name)


def styled_pairs(job: Job, stories: Stories, style: str, count: int, seed: int) -> Pairs:
    """Features of ``count`` pictures as told, latents and pictures of them as styled.

    Raises:
        SeedStoryError: the data has no scene graphs.
    """
    from ..picture_world.render import render, rgb

    scenes, freedoms = stories.scenes, stories.freedoms
    if scenes is None or freedoms is None:
        raise SeedStoryError(
            f"{stories.root} has no scene graphs, from which style {style!r} is drawn. Make the "
            'data with `seedstory train make-world`, or set the option style to "" to learn the '
            "pictures as they are."
        )
    draw = generator_of(seed, NAME, "pictures", stories.name)
    chosen = torch.randperm(len(stories), generator=draw)[:count].tolist()
    plain = [(scenes[i], freedoms[i], stories.looks[i]) for i in chosen]
    told = np.stack([rgb(render(*one)) for one in plain])
    shown = np.stack([rgb(render(styled(scene, style), *rest)) for scene, *rest in plain])
    return Pairs(*encoded(job, told, shown), shown)


@torch.no_grad()
def encoded(job: Job, told: np.ndarray, shown: np.ndarray) -> tuple[Rows, Rows]:
    """Features of ``told`` and latents of ``shown``, uint8 [N, S, S, 3] both."""
    vision, vae = open_vision(job), frozen(open_vae(job), job)
    enlarge, size = enlargement(job), job.recipe.sizes.vision.image_size
    rows: tuple[list[Tensor], list[Tensor]] = ([], [])
    for start in range(0, len(told), AT_ONCE):
        job.progress(start, len(told), "drawing the style")
        here = slice(start, start + AT_ONCE)
        rows[0].append(vision(vision_input(told[here], enlarge, size).to(job.device)))
        rows[1].append(vae.encode_native(vae_input(shown[here]).to(job.device)))
    features, latents = (Rows([torch.cat(part).cpu().half().numpy()]) for part in rows)
    return features, latents


def _pairs(job: Job, settings: StageSettings, splits: Sequence[str], count: int) -> list[Pairs]:
    style = settings.option("style", "night")
    if not style:
        return [pairs_of(job, split) for split in splits]
    data = [open_data(job.data, split) for split in splits]
    return [styled_pairs(job, stories, style, count, settings.seed) for stories in data]


def build(job: Job) -> StyleStage:
    """The stage for a run whose stage 1, or 3, has ended."""
    settings = job.settings(NAME)
    count = settings.option("pictures", PICTURES)
    if not 1 <= count <= MOST:
        raise SeedStoryError(f"Stage {NAME!r} draws 1 to {MOST} pictures, got {count}.")
    module = trained_painter(job)
    add_adapters(module, settings)
    held_out = _pairs(job, settings, held_out_splits(job, settings), CHECKED)
    parts: Any = {
        "train": _pairs(job, settings, (settings.option("split", "train"),), count)[0],
        "zero": zero_features(open_vision(job), job.recipe.sizes)[0].cpu(),
        "held_out": held_out[0] if held_out else None,
    }
    vae = frozen(open_vae(job), job)
    return StyleStage(module, settings, job.recipe, **parts, vae=vae, name=NAME)

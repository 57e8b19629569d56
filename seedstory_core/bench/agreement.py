"""Where rounding is coarse, ids may part by chance; so both models score the same given words."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..engines.seed_story.features import SPACE
from .invariants import Finding
from .modes import WINDOW
from .stage import Stage
from .tracks import Theatre, Track, features_at, wide

COMPARED = 3  # pictures
LEAST = 0.995  # of the words
LEAST_COSINE = {"int8": 0.999}


def agreement(theatre: Theatre, track: Track, merged: bool) -> Finding:
    """Share of a story's words on which our LLM and the stock one agree, each having read the
    reference's text up to there in one pass; and the widest gap where they do not."""
    stage = theatre.stage
    last = len(track.story) - 1
    chosen = sorted({min(last, panel) for panel in (1, WINDOW // 2, WINDOW)})
    agreed, words, gap, top = 0, 0, 0.0, 0.0
    for index in chosen:
        ours, theirs = _scores(theatre, track, index, merged)
        picked, wanted = ours.argmax(-1), theirs.argmax(-1)
        words += len(wanted)
        agreed += int((picked == wanted).sum())
        best = theirs.gather(1, wanted[:, None]) - theirs.gather(1, picked[:, None])
        gap = max(gap, float(best.max()))
        top = max(top, float(theirs.max()))
    kind = "ref_merged" if merged else "ref"
    step = torch.finfo(stage.weights.dtype).eps * 2 ** (math.frexp(top)[1] - 1)
    seen = f"{agreed} of {words} words, widest gap of scores {gap:.3g} ({gap / step:.1f} ulps)"
    return Finding(f"{stage.weights.dtype} agrees with {kind}", agreed >= LEAST * words, seen)


def quantised_agrees(name: str, cosine: float) -> list[Finding]:
    """Whether quantised weights mean the same pictures, where random weights can tell.

    4-bit weights are made for the few large weights of a trained model; on random ones, without
    any, they are further off than on the trained world, where the fidelity test holds them.
    """
    if name not in LEAST_COSINE:
        return []
    least = LEAST_COSINE[name]
    what = f"{name}: cosine of features to unquantised weights >= {least}"
    return [Finding(what, cosine >= least, f"{cosine:.5f}")]


def feature_cosine(stage: Stage, other: Stage) -> float:
    """Mean cosine of the features [L, D] that two LLMs mean by the same given captions, each
    behind the opening; row by row."""
    found = []
    for caption in stage.captions[:COMPARED]:
        mine, theirs = (
            features_at(part.engine().tell(part.opening, caption, part.sampling()), 1)
            for part in (stage, other)
        )
        found.append(torch.nn.functional.cosine_similarity(mine, theirs, dim=-1).mean())
    return float(torch.stack(found).mean())


def _scores(theatre: Theatre, track: Track, index: int, merged: bool) -> tuple[Tensor, Tensor]:
    """Scores [L, V] of the words of panel ``index``, by our LLM and by the stock one."""
    stage, panels = theatre.stage, track.story.panels
    before = type(track.story)(panels[:index], track.story.engine, track.story.world, "bench")
    prompt = stage.engine().prompt(before, None, wide(index))
    pictures = [panels[i].features[SPACE] for i in prompt.pictures]
    said = panels[index].token_ids[: stage.length]
    baseline = theatre.baseline(merged)
    with torch.inference_mode():
        embeds = baseline.embed((*prompt.ids, *said), pictures)
        positions = torch.arange(embeds.shape[1], device=embeds.device)
        ours = stage.weights.mllm(embeds, positions)[0]
        theirs = baseline.llama.model(inputs_embeds=embeds, use_cache=False).last_hidden_state[0]
        rows = slice(len(prompt.ids) - 1, len(prompt.ids) + len(said) - 1)
        mine = stage.weights.mllm.scores(ours[rows])
        other = baseline.llama.lm_head(theirs[rows]).float()
    return stage.text_only(mine), stage.text_only(other)

"""Told panels read once more by stock transformers, a pass or two each: a second opinion.

What was told word by word must be what the same rows say when they are read at once. Panels under a
sink are read in a cache of transformers' own, from which rows are taken by the script's slices as
they stand in vis_george_sink.py:243-290 and whose keys are turned on from where they are; our cache
keeps plain keys and asks `context.MultimodalSink`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..context import MultimodalSink, Span
from ..engines.seed_story.features import SPACE
from ..engines.seed_story.reader import spans
from ..types import Panel
from .baseline import Baseline
from .stage import Stage
from .stock_cache import keys_and_values, put, reading_into
from .tracks import Track


def behind_windows(stage: Stage, baseline: Baseline, track: Track) -> list[Panel]:
    """Every told panel as it would be behind a fresh reading of its own prompt, in one pass."""
    story, policy, engine = track.story, track.mode.policy, stage.engine()
    found = []
    for index in range(1, len(story)):
        before = replace(story, panels=story.panels[:index])
        prompt = engine.prompt(before, None, policy)
        pictures = [story.panels[i].features[SPACE] for i in prompt.pictures]
        said = story.panels[index].token_ids[:-1]  # without </img>
        with torch.inference_mode():
            embeds = torch.cat([baseline.embed(prompt.ids, pictures), _plain(baseline, said)], 1)
            passed = baseline.llama.model(inputs_embeds=embeds, use_cache=False)
            rows = passed.last_hidden_state[0, len(prompt.ids) - 1 :]
            found.append(meant(stage, baseline, story.panels[index], rows))
    return found


def under_sink(stage: Stage, baseline: Baseline, track: Track) -> list[Panel]:
    """Every told panel as it would be in a cache of which a sink's rows are kept."""
    policy, story = track.mode.policy, track.story
    assert isinstance(policy, MultimodalSink) and policy.reindexes, policy
    slots, words = stage.slots, stage.length
    whole = stage.engine().prompt(story, None, policy)
    pictures = spans(whole.ids, slots)
    with torch.inference_mode():
        features = [panel.features[SPACE] for panel in story.panels]
        embeds = baseline.embed(whole.ids, features)
        asked = _plain(baseline, slots)
        reading, found = SinkReading(baseline.llama), []
        for index in range(1, len(story)):
            start = pictures[index - 1].begin + 1 if index > 1 else 0
            if index > policy.window:
                reading.keep(script_rows(pictures[:index], policy))
            stop = pictures[index].begin + 1
            rows = reading.read(torch.cat([embeds[:, start:stop], asked], 1), start, len(slots))
            told = rows[-(words + 2 + len(slots)) :]  # behind </img>, the caption, <img>, slots
            found.append(meant(stage, baseline, story.panels[index], told))
    return found


class SinkReading:
    """A stock model and a stock cache whose rows are kept and moved up."""

    def __init__(self, llama: Any) -> None:
        from transformers import DynamicCache

        self._llama = llama
        self._cache: Any = DynamicCache()
        self._held: list[int] = []  # rows of the story

    def read(self, embeds: Tensor, start: int, asked: int) -> Tensor:
        """Read [1, n, D], rows of the story from ``start`` on, and forget the last ``asked``.

        Returns: hidden states [n, D].
        """
        model = self._llama.model
        passed = model(inputs_embeds=embeds, **reading_into(model, self._cache))
        self._held += range(start, start + embeds.shape[1] - asked)
        self._cache.crop(-asked)
        return passed.last_hidden_state[0]

    def keep(self, wanted: tuple[set[int], int]) -> None:
        """Keep these rows and all from a certain one on; the others move up."""
        single, live = wanted
        kept = [i for i, row in enumerate(self._held) if row >= live or row in single]
        self._held = [self._held[i] for i in kept]
        for number, (keys, values) in enumerate(keys_and_values(self._cache)):
            index = torch.tensor(kept, device=keys.device)
            moved = (torch.arange(len(kept), device=index.device) - index)[None]
            cos, sin = self._llama.model.rotary_emb(keys, moved)
            put(self._cache, number, _turned(keys[:, :, index], cos, sin), values[:, :, index])


def script_rows(pictures: Sequence[Span], policy: MultimodalSink) -> tuple[set[int], int]:
    """Rows that stay when the last of ``pictures`` is about to be read back: single ones, and all
    from which on."""
    evicted = pictures[: len(pictures) - policy.window]
    single = set(range(policy.first))
    for begin, end in evicted[-policy.cap :] if policy.cap else ():
        single |= {*range(begin - 4, begin + 8), *range(end - 8, end + 4)}
    return single, evicted[-1].end + 1


def meant(stage: Stage, baseline: Baseline, panel: Panel, rows: Tensor) -> Panel:
    """``panel`` with the words and the picture that hidden states [L + 2 + slots, D] mean: of the
    row before the caption, the caption, ``<img>`` and the slots."""
    length, slots = stage.length, len(stage.slots)
    scores = stage.text_only(baseline.llama.lm_head(rows[:length]))
    picked = scores.argmax(-1).tolist() if panel.origin == "told" else ()
    features = stage.weights.mllm.output_resampler(rows[None, -slots:])[0].cpu()
    ids = (*picked, *panel.token_ids[len(picked) :])
    return replace(panel, token_ids=ids, features={SPACE: features})


def _plain(baseline: Baseline, ids: Sequence[int]) -> Tensor:
    """Embeddings [1, L, D] of said tokens, image tokens too."""
    table = baseline.llama.model.embed_tokens
    return table(torch.tensor([list(ids)], device=table.weight.device))


def _turned(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """[B, H, L, D] turned by [1, L, D]; transformers' own halves."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    return apply_rotary_pos_emb(keys, keys, cos, sin)[1]

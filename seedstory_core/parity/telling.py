"""Cases: single generations, and both story loops through the engine itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..context import Window
from ..engines.seed_story.engine import SPACE
from ..engines.seed_story.prompt import Prompt, clean, display
from ..engines.seed_story.telling import Teller, Told
from ..hosts import HeldPart
from ..sampling import REFERENCE
from ..types import Story
from .check import Check, ids_of
from .models import CPU, Models

SUM_FACTOR = 10  # a sum over the features' width may err so many times as much as one feature


def generate(models: Models, check: Check) -> None:
    """One prompt, several limits: ids, text, flags and features."""
    record, tensors = models.goldens.record("generate"), models.goldens.tensors("generate_io")
    tolerance = models.goldens.tolerance("generate_io")
    words = models.engine.words
    pictures = list(tensors["image_embeds"])
    prompt = Prompt(tuple(ids_of(tensors["input_ids"])), tuple(range(len(pictures))))
    if "prompt" in record:
        ids = [words.bos, *models.tokenizer.encode(record["prompt"])]
        check.same("input_ids", list(prompt.ids), ids)
    for case in record["cases"]:
        limit = case["max_new_tokens"]
        told = _generate(models, prompt, pictures, int(limit))
        label = f"at {limit} tokens: "
        check.same(f"{label}ids", list(told.ids), case["generate_ids"])
        text = models.tokenizer.decode(told.ids)
        for name, got in (
            ("text", text),
            ("clean", clean(text)),
            ("has_img_output", told.features is not None),
            ("num_gen_imgs", int(told.features is not None)),
        ):
            if name in case:
                check.same(label + name, got, case[name])
        if case.get("feat_key") and told.features is not None:
            check.close(
                f"{label}features", told.features[None], tensors[case["feat_key"]], tolerance
            )


def _generate(models: Models, prompt: Prompt, pictures: list[Tensor], limit: int) -> Told:
    """As ``ContinuousLVLM.generate`` does, by a model that has read nothing before."""
    teller = Teller(models.config, models.engine.words, HeldPart(models.mllm, CPU, torch.float32))
    sampling = replace(REFERENCE, max_new_tokens=limit)
    return teller.tell(prompt, pictures, Window(), sampling, 0, True, lambda ids: None)


def story_loop(models: Models, check: Check) -> None:
    """gen_george.py: the model tells."""
    record = models.goldens.record("story_loop")
    panels = [(panel, None) for panel in record["panels"]]
    _tell(models, check, "story_loop_io", record, panels)


def given_captions(models: Models, check: Check) -> None:
    """vis_george_sink.py as it really runs: captions are given, pictures told."""
    record = models.goldens.record("story_vis")
    panels = [(panel, panel["given_text"]) for panel in record["panels"]]
    _tell(models, check, "story_vis_io", record, panels)


def _tell(
    models: Models,
    check: Check,
    stem: str,
    record: Mapping[str, Any],
    panels: Sequence[tuple[Mapping[str, Any], str | None]],
) -> None:
    engine, tensors = models.engine, models.goldens.tensors(stem)
    start = models.goldens.tensors("story_loop_io")["start_image_embeds"]
    window = Window(int(record["window"]))
    sampling = replace(REFERENCE, max_new_tokens=int(record.get("max_new_tokens", 500)))
    story = models.opening(record["start_text"], start)
    for i, (panel, caption) in enumerate(panels):
        prompt = engine.prompt(story, caption, window, reference=True)
        check.same(f"p{i}.input_ids", list(prompt.ids), ids_of(tensors[f"p{i}.input_ids"]))
        told = engine.tell(story, caption, sampling, window, reference=True)
        _compare(models, check, f"p{i}", panel, story, told)
        if told.ended:
            return
        _compare_features(models, check, stem, f"p{i}", told, tensors)
        story = told


def _compare(
    models: Models,
    check: Check,
    name: str,
    panel: Mapping[str, Any],
    before: Story,
    after: Story,
) -> None:
    check.same(f"{name}.has_img_output", not after.ended, panel["has_img_output"])
    if after.ended:
        if "clean_text" in panel:
            check.same(f"{name}.closing", after.closing, display(panel["clean_text"]))
        return
    told = after.panels[-1]
    check.same(f"{name}.generate_ids", list(told.token_ids), panel["generate_ids"])
    raw = models.tokenizer.decode(told.token_ids)
    if "raw_text" in panel:
        check.same(f"{name}.raw_text", raw, panel["raw_text"])
    if "clean_text" in panel:
        check.same(f"{name}.clean_text", told.text, panel["clean_text"])


def _compare_features(
    models: Models,
    check: Check,
    stem: str,
    name: str,
    story: Story,
    tensors: Mapping[str, Tensor],
) -> None:
    """Whole features where they were recorded, else their sums over the width."""
    features = story.panels[-1].features[SPACE][None]
    atol, rtol = models.goldens.tolerance(stem)
    if f"{name}.img_gen_feat" in tensors:
        want = tensors[f"{name}.img_gen_feat"]
        check.close(f"{name}.features", features, want, (atol, rtol))
    if f"{name}.img_gen_feat_sum" in tensors:
        only_sums = not any(key.endswith("img_gen_feat") for key in tensors)
        sum_atol = atol if only_sums else atol * SUM_FACTOR
        want = tensors[f"{name}.img_gen_feat_sum"]
        check.close(f"{name}.features' sums", features.sum(-1), want, (sum_atol, rtol))

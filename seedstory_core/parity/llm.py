"""Cases: tokenizer, resamplers, the merged LLM, the rule for picture tokens, training losses."""

from __future__ import annotations

import re
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..decoding import Markers, apply_rules
from ..engines.seed_story.prompt import Vocabulary
from ..kv_cache import KvCache
from ..sampling import REFERENCE
from .check import Check, ids_of
from .models import Models

FORCED_BY = 10  # a forced token's score is the largest one and this (generation.py:25)


def tokenizer(models: Models, check: Check) -> None:
    """Text to ids and back, and the special tokens by name."""
    tok, manifest = models.tokenizer, models.goldens.manifest
    words = Vocabulary(tok, models.config.image_tokens, models.config.llm.vocab)
    stated = manifest.get("tokenizer", {})
    for name, got in (("len", len(tok)), ("boi_id", words.begin), ("eoi_id", words.end)):
        if name in stated:
            check.same(name, got, stated[name])
    if "img_ids" in stated:
        check.same("img_ids", list(words.slots), stated["img_ids"])
    for case in models.goldens.files.get("tokenizer/", {}).get("encode_cases", ()):
        text, ids = case["text"], tok.encode(case["text"])
        for key, want in case.items():
            if key.startswith("ids"):
                check.same(f"encode({text!r:.40})", ids, want)
            if key.startswith("decode"):
                check.same(f"decode(encode({text!r:.40}))", tok.decode(ids), want)


def input_resampler(models: Models, check: Check) -> None:
    _resampler(models, check, "input_resampler")


def output_resampler(models: Models, check: Check) -> None:
    _resampler(models, check, "output_resampler")


def _resampler(models: Models, check: Check, name: str) -> None:
    tensors = models.goldens.tensors(f"{name}_io")
    got = getattr(models.mllm, name)(tensors["x"])
    check.close("out", got, tensors["out"], models.goldens.tolerance(f"{name}_io"))


def lora_merge(models: Models, check: Check) -> None:
    for name, want in models.goldens.tensors("lora_merge_io").items():
        tolerance = models.goldens.tolerance("lora_merge_io")
        check.close(name, models.llm_state[name], want, tolerance)


def prefill(models: Models, check: Check) -> None:
    """A prompt with pictures: embeddings, layers, last hidden states, scores, the keys cached."""
    tensors, tolerance = (
        models.goldens.tensors("mllm_prefill_io"),
        models.goldens.tolerance("mllm_prefill_io"),
    )
    llm = models.mllm
    seen: dict[str, Any] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, out, i=i: seen.update({f"layer{i}": out}))
        for i, layer in enumerate(llm.model.layers)
    ]
    cache = KvCache(models.config.llm.layers)
    embeds = embedded(
        models, tensors["input_ids"], tensors["ids_cmp_mask"], tensors["image_embeds"]
    )
    hidden = llm(embeds, torch.arange(embeds.shape[1]), cache)
    for hook in hooks:
        hook.remove()
    for name, want in tensors.items():
        layer = re.fullmatch(r"(hidden_after_layer|k_cache_layer|v_cache_layer)(\d+)", name)
        if name == "inputs_embeds":
            check.close(name, embeds, want, tolerance)
        elif name == "last_hidden_after_final_norm":
            check.close(name, hidden, want, tolerance)
        elif name.startswith("logits"):
            check.close(name, llm.scores(hidden[:, -want.shape[1] :]), want, tolerance)
        elif layer and layer[1] == "hidden_after_layer":
            check.close(name, seen[f"layer{layer[2]}"], want, tolerance)
        elif layer:
            keys, values = cache.rows(int(layer[2]))
            check.close(name, keys if layer[1][0] == "k" else values, want, tolerance)


def embedded(
    models: Models, ids: Tensor, slots: Tensor, features: Tensor, use: Tensor | None = None
) -> Tensor:
    """Ids [B, L] with pictures [N, 256, D] (those ``use`` [N] says) at ``slots`` -> [B, L, W]."""
    if use is not None:
        features = features[use.bool()]
    rows = rearrange(models.mllm.input_resampler(features), "n l d -> (n l) d")
    return models.mllm.embed(ids, slots.bool(), rows, torch.float32)


def picture_rule(models: Models, check: Check) -> None:
    """Scores after the rule for picture tokens, for each kind of last token."""
    tensors = models.goldens.tensors("logits_processor_io")
    markers = markers_of(models)
    tolerance = models.goldens.tolerance("logits_processor_io")
    rows = zip(tensors["input_ids"], tensors["scores_in"], tensors["scores_out"], strict=True)
    for ids, scores, want in rows:
        last = ids_of(ids)[-1]
        followers = markers.followers(last)
        if followers:
            got = scores.clone()
            got[followers[0]] = scores.max() + FORCED_BY
        else:
            got = apply_rules(scores, [], markers, REFERENCE)
        check.close(f"scores after {last}", got, want, tolerance)


def markers_of(models: Models) -> Markers:
    """The special ids, from the tokenizer by name."""
    words = Vocabulary(models.tokenizer, models.config.image_tokens, models.config.llm.vocab)
    return Markers(words.begin, words.end, words.slots, words.eos)


def training_losses(models: Models, check: Check) -> None:
    """The training forward: next-token loss, 1 - cosine of the told picture, and their sum."""
    tensors = models.goldens.tensors("train_forward_io")
    tolerance = models.goldens.tolerance("train_forward_io")
    llm, features = models.mllm, tensors["image_embeds"]
    embeds = embedded(
        models,
        tensors["input_ids"],
        tensors["ids_cmp_mask"],
        features,
        tensors["embeds_cmp_mask"],
    )
    hidden = llm(embeds, torch.arange(embeds.shape[1]))
    scores = rearrange(llm.scores(hidden[:, :-1]), "b l v -> (b l) v")
    labels = rearrange(tensors["labels"][:, 1:], "b l -> (b l)")
    lm_loss = F.cross_entropy(scores, labels, ignore_index=-100)
    rows = hidden[tensors["ids_gen_mask"].bool()]
    rows = rearrange(rows, "(n l) d -> n l d", l=models.config.image_tokens)
    recon = llm.output_resampler(rows)
    target = features[tensors["embeds_gen_mask"].bool()]
    rec_loss = (1 - F.cosine_similarity(recon, target, dim=-1)).mean()
    got = {"lm_loss": lm_loss, "rec_loss": rec_loss, "total_loss": lm_loss + rec_loss}
    for name, value in got.items():
        if name in tensors:
            check.close(name, value[None], tensors[name].reshape(1), tolerance)  # scalar or [1]
    if "recon_image_embeds" in tensors:
        check.close("recon_image_embeds", recon, tensors["recon_image_embeds"], tolerance)

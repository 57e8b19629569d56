"""The baseline: stock transformers ``generate()`` on the reference's schedule.

For every panel the whole prompt is encoded again, all pictures in view pass the resampler again,
the image tokens are said one by one with the reference's logits processor (generation.py), and the
hidden states of all layers are kept for every step, as models.py:133-198 does. The LoRA stays
beside its matrices, or is merged. Two things are kinder than the reference: transformers gives
scores for the prompt's last row only, and decoding stops at ``</img>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..engines.seed_story.config import LlmConfig
from ..engines.seed_story.prompt import Vocabulary
from .weights import SCALING, Adapted, Weights

FORCED = 10.0  # over the best score (generation.py:26)


class LoraLinear(nn.Module):
    """A matrix with its adapter beside it, as peft computes when nothing is merged."""

    def __init__(self, adapted: Adapted) -> None:
        super().__init__()
        self.base = nn.Parameter(adapted.base, requires_grad=False)
        self.down = nn.Parameter(adapted.down, requires_grad=False)
        self.up = nn.Parameter(adapted.up, requires_grad=False)
        self.dropout = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, in] -> [B, L, out]."""
        result = F.linear(x, self.base)
        return result + F.linear(F.linear(self.dropout(x), self.down), self.up) * SCALING


def stock_llama(config: LlmConfig, weights: Weights, merged: bool) -> Any:
    """transformers' LlamaForCausalLM on the tensors of ``weights``, which it shares."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    sizes: dict[str, Any] = dict(
        vocab_size=config.vocab,
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.eps,
        rope_theta=config.theta,
        tie_word_embeddings=False,
        attention_bias=False,
        use_cache=True,
    )
    shape = LlamaConfig(**sizes)
    with torch.device("meta"):
        llama = LlamaForCausalLM(shape)
    state = weights.mllm.state_dict()
    mine = {name: state[name] for name in llama.state_dict()}
    llama.load_state_dict(mine, strict=True, assign=True)
    device = weights.mllm.lm_head.weight.device
    llama.model.rotary_emb = LlamaRotaryEmbedding(shape).to(device)
    if not merged:
        for name, adapted in weights.adapted.items():
            parent, _, child = name.removesuffix(".weight").rpartition(".")
            setattr(llama.get_submodule(parent), child, LoraLinear(adapted))
    return llama.eval().requires_grad_(False)


class ReferenceProcessor:
    """generation.py:14-31: pictures are forced slot by slot; elsewhere their tokens score 0.0."""

    def __init__(self, words: Vocabulary) -> None:
        self._list = [words.begin, *words.slots, words.end]
        self._banned = self._list[1:]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids``: [1, L] so far; ``scores``: [1, V] -> [1, V]."""
        last = int(input_ids[0, -1]) if input_ids.shape[1] else -1
        if last in self._list[:-1]:
            following = self._list[self._list.index(last) + 1]
            scores[0, following] = scores.max() + FORCED
        else:
            scores[0, self._banned] = 0.0
        return scores


class CaptionLength:
    """The benchmark's own rule, the same as in our modes: no end before ``length`` words are said,
    then ``<img>``. Random weights never choose it."""

    def __init__(self, words: Vocabulary, length: int) -> None:
        self._begin, self._eos, self._length = words.begin, words.eos, length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids``: [1, L] so far; ``scores``: [1, V] -> [1, V]."""
        said = input_ids.shape[1]
        if said < self._length:
            scores[0, [self._begin, self._eos]] = -torch.inf
        elif said == self._length:
            scores[0, self._begin] = scores.max() + FORCED
        return scores


class Baseline:
    """Tells panels as the reference does.

    Args:
        merged: whether the LoRA is merged.
    """

    def __init__(
        self, config: LlmConfig, words: Vocabulary, weights: Weights, merged: bool
    ) -> None:
        self.llama = stock_llama(config, weights, merged)
        self._mllm, self._words = weights.mllm, words
        self._cache: Any = None

    def take_cache(self) -> Any:
        """The cache of the panel told last, which is kept no longer."""
        cache, self._cache = self._cache, None
        return cache

    def tell(
        self, ids: Sequence[int], pictures: Sequence[Tensor], length: int
    ) -> tuple[tuple[int, ...], Tensor]:
        """One panel behind a prompt.

        Args:
            ids: the prompt's.
            pictures: [L, D] features for each image span.
            length: words of the caption; 0 where the prompt ends with it.

        Returns: generated ids, and the features [L, D] of the picture, on the CPU.
        """
        words = self._words
        with torch.inference_mode():
            embeds = self.embed(ids, pictures)
            said = self.llama.generate(
                inputs_embeds=embeds,
                attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device),
                logits_processor=[ReferenceProcessor(words), CaptionLength(words, length)],
                do_sample=False,
                num_beams=1,
                max_new_tokens=500,
                eos_token_id=words.end,
                pad_token_id=words.eos,
                output_hidden_states=True,
                use_cache=True,
                return_dict_in_generate=True,
            )
            self._cache = said.past_key_values
            hidden = torch.cat([step[-1] for step in said.hidden_states], dim=1)[0, len(ids) :]
            new = tuple(said.sequences[0].tolist())
            end = new.index(words.end)
            rows = hidden[end - len(words.slots) : end]
            features = self._mllm.output_resampler(rows[None])[0].cpu()
        return new, features.clone()

    def embed(self, ids: Sequence[int], pictures: Sequence[Tensor]) -> Tensor:
        """Embeddings of the prompt [1, L, D], all pictures resampled anew."""
        like = self._mllm.lm_head.weight
        row = torch.tensor([list(ids)], device=like.device)
        slots = torch.isin(row, torch.tensor(self._words.slots, device=like.device))
        stacked = torch.stack(list(pictures)).to(like.device, like.dtype)
        resampled = self._mllm.input_resampler(stacked).flatten(0, 1)  # N L D -> (N L) D
        return self._mllm.embed(row, slots, resampled, like.dtype)

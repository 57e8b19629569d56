"""Seeded random weights for every model of the babbling world.

Nothing here is learnt. Sizes of the random numbers keep activations healthy, and four preferences
are set by hand so that the babble has the shape of captions: whole words rather than letters, a
capital at the beginning, a picture after a full stop, and no end of the story.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn

from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.detokenizer import Detokenizer
from ..engines.seed_story.mllm import Mllm
from ..engines.seed_story.vision import Vision
from .shapes import UNET, VAE, unet_shapes, vae_shapes
from .words import SENTENCES

#: Channel 0 of every embedding holds this constant and no layer writes to it, so that column 0 of
#: the output head acts as a bias.
CONSTANT = 8.0
NORMED = 5.0  # about what the final norm leaves of it
SMOOTH = 1.6  # gain that keeps smooth kernels' output as strong as their input
VIVID = 0.8
PULL = 24.0  # strength of what a word's embedding calls for next

State = dict[str, Tensor]


def fill(module: nn.Module, generator: torch.Generator, gains: Mapping[str, float]) -> State:
    """Random weights for a module on the meta device: {name: fp32 tensor}.

    Args:
        gains: ``{end of a layer's name: factor}`` on the usual 1 / sqrt(inputs); embeddings have
            the standard deviation 1 instead.
    """
    state: State = {}
    for name, leaf in module.named_modules():
        gain = next((gains[end] for end in gains if name.endswith(end)), 1.0)
        for key, like in leaf.named_parameters(recurse=False):
            shape = tuple(like.shape)
            if isinstance(leaf, nn.Embedding):
                state[f"{name}.{key}"] = torch.randn(shape, generator=generator) * gain
            else:
                state[f"{name}.{key}"] = _layer(key, shape, gain, generator)
    return state


def _layer(key: str, shape: tuple[int, ...], gain: float, generator: torch.Generator) -> Tensor:
    """A norm's weight is one, a bias is zero, the rest is random."""
    if len(shape) == 1:
        return torch.ones(shape) if key.endswith("weight") else torch.zeros(shape)
    return torch.randn(shape, generator=generator) * (gain / prod(shape[1:]) ** 0.5)


def _on_meta(build: type[nn.Module], config: object) -> nn.Module:
    with torch.device("meta"):
        return build(config)


def vision_state(config: SeedStoryConfig, generator: torch.Generator) -> State:
    gains = {"patches": 4.0, "positions": 0.3, "query": 1.0, "pool.q_proj": 2.0, "k_proj": 2.0}
    return fill(_on_meta(Vision, config.vision), generator, gains)


def detokenizer_state(config: SeedStoryConfig, generator: torch.Generator) -> State:
    gains = {"proj_in": 8.0, "to_q": 2.0, "to_kv": 2.0, "pool.positions": 0.1}
    return fill(_on_meta(Detokenizer, config.detokenizer), generator, gains)


def llm_state(
    config: SeedStoryConfig, words: SentencePieceProcessor, generator: torch.Generator
) -> State:
    gains = {"o_proj": 1.0, "down_proj": 0.7, "q_proj": 2.0, "lm_head": 1.8, "positions": 0.3}
    state = fill(_on_meta(Mllm, config), generator, gains)
    state["model.embed_tokens.weight"][:, 0] = CONSTANT
    state["input_resampler.out_proj.weight"][0] = 0
    state["input_resampler.out_proj.bias"][0] = CONSTANT
    for name in state:
        if name.endswith(("o_proj.weight", "down_proj.weight")) and ".layers." in name:
            state[name][0] = 0
    _prefer(state["model.embed_tokens.weight"], state["lm_head.weight"], words)
    return state


def _prefer(embed: Tensor, head: Tensor, words: SentencePieceProcessor) -> None:
    """Write the hand-set preferences into the embedding and the output head, both [V, D]."""
    pieces = [words.id_to_piece(id) for id in range(words.get_piece_size())]
    whole = {f"\u2581{word.strip('.,!?' + chr(34))}" for word in SENTENCES.split()}
    lower = [id for id, piece in enumerate(pieces) if piece in whole and piece[1:2].islower()]
    upper = [id for id, piece in enumerate(pieces) if piece in whole and piece[1:2].isupper()]
    ends = [pieces.index(mark) for mark in ".!?"]
    comma = pieces.index(",")
    marks = [comma, *ends]
    begin, over = len(pieces), len(pieces) + 1  # <img>, </img>
    embed[ends] = embed[ends[0]].clone()

    def liking(ids: list[int], score: float) -> None:
        head[ids, 0] = score / NORMED

    def pull(ids: list[int], after: int, strength: float) -> None:
        head[ids, 1:] += strength * embed[after, 1:] / (embed.shape[1] - 1)

    head[:, 0] = -8.0  # letters, bytes, picture tokens, and the end of the story
    head[[begin, *marks], 1:] = 0
    liking(lower, 20)
    liking(upper, 12)
    liking([comma], 22)
    liking(ends, 21)
    liking(ends[:1], 23.5)
    liking([begin], 15)
    pull(upper, over, PULL)
    pull(upper, ends[0], PULL)
    pull(lower, over, -PULL)
    pull(lower, ends[0], -PULL)
    pull(marks, over, -PULL)
    pull(marks, ends[0], -PULL)
    pull([begin], ends[0], 1.2 * PULL)


def unet_state(generator: torch.Generator) -> State:
    return {
        name: _layer(name, shape, 3.0 if ".attn2.to_" in name else 1.0, generator)
        for name, shape in unet_shapes(UNET).items()
    }


def vae_state(generator: torch.Generator) -> State:
    state = {name: _layer(name, shape, 1.0, generator) for name, shape in vae_shapes(VAE).items()}
    blur = torch.tensor([0.25, 0.5, 0.25])
    for name, weight in state.items():  # smooth kernels decode to patches of colour, not to noise
        if name.startswith("decoder.") and weight.ndim == 4 and weight.shape[-1] == 3:
            mixing = torch.randn(weight.shape[:2], generator=generator) / weight.shape[1] ** 0.5
            state[name] = mixing[..., None, None] * torch.outer(blur, blur) * SMOOTH
    state["decoder.conv_out.weight"] *= VIVID
    return state


def half(state: State) -> State:
    """fp16 copies, as worlds store their weights."""
    return {name: tensor.half() for name, tensor in state.items()}

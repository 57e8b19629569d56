"""Our Llama against transformers', in fp64: hidden states, scores, and every way to use a cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.rounding import LAYER, tolerance

from seedstory_core.bench.stock_cache import keys_and_values
from seedstory_core.engines.seed_story.config import LlmConfig
from seedstory_core.engines.seed_story.llama import Llama, causal_mask
from seedstory_core.kv_cache import KvCache

transformers = pytest.importorskip("transformers", reason="transformers is the oracle")

CONFIG = LlmConfig(
    vocab=50, width=48, mlp_width=80, layers=3, heads=6, kv_heads=6, max_positions=64, eps=1e-5
)

#: In fp64 nothing but the tables of positions is rounded to fp32, in both; their cosines may differ
#: by a digit. They turn a query and a key, 8 wide, in each of 3 layers.
TABLES = tolerance(torch.float32, terms=8, sums=2 * CONFIG.layers)
SAME = tolerance(torch.float64, CONFIG.mlp_width, CONFIG.layers * LAYER)


def pair(config: LlmConfig) -> tuple[Llama, Any]:
    """Ours and theirs with the same random weights, fp64."""
    torch.manual_seed(2)
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocab,
            hidden_size=config.width,
            intermediate_size=config.mlp_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            rms_norm_eps=config.eps,
            max_position_embeddings=config.max_positions,
        )
    ).double()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = Llama(config).double()
    ours.load_state_dict(theirs.model.state_dict())
    return ours.eval(), theirs.eval()


@pytest.fixture(scope="module", params=[6, 2], ids=["all heads", "shared heads"])
def models(request: pytest.FixtureRequest) -> tuple[Llama, Any]:
    return pair(replace(CONFIG, kv_heads=request.param))


IDS = torch.randint(0, CONFIG.vocab, (2, 17), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_hidden_states_equal_transformers(models: tuple[Llama, Any]) -> None:
    ours, theirs = models
    got = ours(ours.embed_tokens(IDS), torch.arange(17))
    want = theirs(IDS, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(got, want, **TABLES)


@pytest.mark.parametrize("chunks", [[17], [1] * 17, [5, 1, 1, 8, 2], [16, 1], [1, 16]])
@torch.no_grad()
def test_any_division_over_a_cache_gives_the_same(
    models: tuple[Llama, Any], chunks: list[int]
) -> None:
    ours, theirs = models
    want = theirs.model(IDS, use_cache=False).last_hidden_state
    cache, rows = KvCache(CONFIG.layers), []
    for part in IDS.split(chunks, dim=1):
        positions = torch.arange(cache.length, cache.length + part.shape[1])
        rows.append(ours(ours.embed_tokens(part), positions, cache))
    torch.testing.assert_close(torch.cat(rows, dim=1), want, **TABLES)
    kept = keys_and_values(theirs.model(IDS, use_cache=True).past_key_values)
    for layer in range(CONFIG.layers):
        keys, values = cache.rows(layer)
        torch.testing.assert_close(keys, kept[layer][0], **TABLES)
        torch.testing.assert_close(values, kept[layer][1], **TABLES)


@torch.no_grad()
def test_a_cropped_cache_goes_on_as_if_nothing_had_been(models: tuple[Llama, Any]) -> None:
    ours, _ = models
    cache = KvCache(CONFIG.layers)
    ours(ours.embed_tokens(IDS), torch.arange(17), cache)
    cache.crop(6)
    other = IDS.flip(1)[:, :9]
    got = ours(ours.embed_tokens(other), torch.arange(6, 15), cache)
    whole = ours(ours.embed_tokens(torch.cat([IDS[:, :6], other], dim=1)), torch.arange(15))
    torch.testing.assert_close(got, whole[:, 6:], **SAME)


@torch.no_grad()
def test_positions_are_the_callers(models: tuple[Llama, Any]) -> None:
    """RoPE is relative: a common shift changes nothing, another order does."""
    ours, _ = models
    embeds = ours.embed_tokens(IDS[:1, :8])
    base, shifted = ours(embeds, torch.arange(8)), ours(embeds, torch.arange(8) + 21)
    # Angles reach 29 and are rounded by as much more.
    near = tolerance(torch.float32, terms=8, sums=2 * CONFIG.layers, swell=29)
    torch.testing.assert_close(base, shifted, **near)
    assert not torch.allclose(base, ours(embeds, torch.arange(8) * 2), atol=1e-2)


@torch.no_grad()
def test_a_forward_that_fails_midway_leaves_the_cache_as_it_was(models: tuple[Llama, Any]) -> None:
    ours, _ = models
    cache = KvCache(CONFIG.layers)
    ours(ours.embed_tokens(IDS[:, :9]), torch.arange(9), cache)

    def cancel(*_: object) -> None:
        raise KeyboardInterrupt

    hook = ours.layers[1].register_forward_pre_hook(cancel)
    with pytest.raises(KeyboardInterrupt):
        ours(ours.embed_tokens(IDS[:, 9:]), torch.arange(9, 17), cache)
    hook.remove()
    got = ours(ours.embed_tokens(IDS[:, 9:]), torch.arange(9, 17), cache)
    whole = ours(ours.embed_tokens(IDS), torch.arange(17))
    torch.testing.assert_close(got, whole[:, 9:], **SAME)


def test_the_mask_is_bottom_right() -> None:
    mask = causal_mask(2, 3, torch.device("cpu"))
    assert mask is not None
    assert mask.int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert causal_mask(1, 7, torch.device("cpu")) is None

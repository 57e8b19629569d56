"""The models against the reference written a second time, at sizes no golden has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.golden_world import golden_models
from support.reference_models import (
    RefDetokenizer,
    RefResampler,
    RefVision,
    interpolated,
    sines_2d,
)
from support.rounding import LAYER, tolerance
from torch import Tensor, nn

from seedstory_core.engines.seed_story.config import OFFICIAL, ResamplerConfig, VisionConfig
from seedstory_core.engines.seed_story.detokenizer import Detokenizer
from seedstory_core.engines.seed_story.keymap import DETOKENIZER_RESAMPLER, VISUAL_TOKENIZER
from seedstory_core.engines.seed_story.mllm import Mllm
from seedstory_core.engines.seed_story.resampler import Resampler, resize_grid
from seedstory_core.engines.seed_story.vision import Vision
from seedstory_core.ops import cast_ops

#: Models in fp64, of up to 4 layers with sums of up to 256; only the tables of positions, which
#: both take from the same file or resize with the same function, are fp32.
SAME = tolerance(torch.float64, terms=256, sums=4 * LAYER)


def load(
    module: nn.Module, reference: nn.Module, keymap: Any, prefix: str, **options: float
) -> None:
    state = {f"{prefix}{key}": value for key, value in reference.state_dict().items()}
    module.load_state_dict(keymap.convert(state, state.__getitem__, options))


@pytest.mark.parametrize("size", [32, 64, 128, 136])
@torch.no_grad()
def test_vision_at_other_sizes(size: int) -> None:
    """Position tables shrink (32, 64), fit (128) and grow (136)."""
    torch.manual_seed(0)
    vit = {"width": 36, "layers": 2, "heads": 3, "patch_size": 8, "image_size": size,
           "mlp_ratio": 3, "n_queries": 25, "output_dim": 256}  # fmt: skip
    reference = RefVision(vit).double()
    pool = ResamplerConfig(grid=5, width=256, source=36, heads=2, eps=1e-6)
    vision = Vision(VisionConfig(size, 8, 36, 2, 3, 108, 16, pool)).double()
    load(vision, reference, VISUAL_TOKENIZER, "", heads=3)
    pixels = torch.randn(2, 3, size, size, dtype=torch.float64)
    torch.testing.assert_close(vision(pixels), reference(pixels), **SAME)


@pytest.mark.parametrize(("grid", "source", "tokens"), [(3, 20, 16), (4, 20, 9), (4, 24, 16)])
@torch.no_grad()
def test_resamplers_with_and_without_a_projection(grid: int, source: int, tokens: int) -> None:
    torch.manual_seed(0)
    reference = RefResampler(grid, 24, 3, source).double()
    ours = Resampler(ResamplerConfig(grid, 24, source, 3)).double()
    state = {f"input_resampler.{key}": value for key, value in reference.state_dict().items()}
    from seedstory_core.engines.seed_story.keymap import AGENT

    made = AGENT.convert(state, state.__getitem__, {})
    ours.load_state_dict({key.removeprefix("input_resampler."): v for key, v in made.items()})
    x = torch.randn(2, tokens, source, dtype=torch.float64)
    torch.testing.assert_close(ours(x), reference(x), **SAME)
    assert ours(x).shape == (2, grid * grid, 24)


@torch.no_grad()
def test_detokenizer_where_heads_do_not_fill_the_width() -> None:
    torch.manual_seed(0)
    detok = {"dim": 32, "depth": 2, "dim_head": 12, "heads": 4, "num_queries": 7,
             "output1_dim": 9, "output2_dim": 10, "ff_mult": 2}  # fmt: skip
    reference = RefDetokenizer(detok, 20).double()
    config = replace(
        OFFICIAL.detokenizer, source=20, width=32, depth=2, heads=4, head_width=12, mlp_width=64,
        tokens=7, prompt_widths=(9, 10), pooled_width=10,
    )  # fmt: skip
    ours = Detokenizer(config).double()
    load(ours, reference, DETOKENIZER_RESAMPLER, "resampler.")
    x = torch.randn(3, 16, 20, dtype=torch.float64)
    for got, want in zip(ours(x), reference(x), strict=True):
        torch.testing.assert_close(got, want, **SAME)


@torch.no_grad()
def test_features_are_normalised_over_tokens() -> None:
    """SPEC quirk 1: scaling one channel of all tokens changes nothing, scaling a token does."""
    models = golden_models()
    x = torch.randn(1, 256, models.config.detokenizer.source)
    channel, token = x.clone(), x.clone()
    channel[:, :, 3] *= 7
    token[:, 5] *= 7
    base = models.detokenizer(x)[0]
    layers = models.config.detokenizer.depth
    near = tolerance(torch.float32, terms=256, sums=layers * LAYER)
    torch.testing.assert_close(models.detokenizer(channel)[0], base, **near)
    assert not torch.allclose(models.detokenizer(token)[0], base, atol=1e-3)


@pytest.mark.parametrize("tokens", [9, 16, 64, 256])
def test_grids_are_resized_as_in_the_reference(tokens: int) -> None:
    table = sines_2d(24, 8)
    torch.testing.assert_close(resize_grid(table, tokens), interpolated(table, tokens))
    assert resize_grid(table, tokens).shape == (tokens, 24)


def test_the_stored_tables_are_two_dimensional_sines() -> None:
    models = golden_models()
    table = models.mllm.output_resampler.positions.weight
    # Angles reach 16: half of their last digit is 1e-6, and either side may round it.
    torch.testing.assert_close(table, sines_2d(table.shape[1], 16), atol=2e-6, rtol=0)


@torch.no_grad()
def test_only_picture_slots_are_replaced() -> None:
    llm = golden_models().mllm
    ids = torch.tensor([[1, 5, 7, 7, 9]])
    slots = torch.tensor([[False, False, True, True, False]])
    rows = torch.randn(2, 128)
    got = llm.embed(ids, slots, rows, torch.float32)
    table = llm.model.embed_tokens.weight
    assert torch.equal(got[0, 2:4], rows)
    assert torch.equal(got[0, [0, 1, 4]], table[[1, 5, 9]])
    before = table.clone()
    got.zero_()
    assert torch.equal(table, before)  # embeddings are copied, never written


def halves(module: nn.Module, build: Any) -> nn.Module:
    """The same weights in fp16 behind casting layers."""
    other = build(cast_ops)
    state = {key: value.half() for key, value in module.state_dict().items()}
    other.load_state_dict(state, assign=True)
    return other.eval()


@torch.no_grad()
def test_weights_may_stay_in_half_precision_while_computing_in_fp32() -> None:
    models = golden_models()  # the goldens' weights fit fp16 exactly, but for merged LoRA
    config = models.config
    pixels = torch.randn(1, 3, config.vision.image_size, config.vision.image_size)
    vision = halves(models.vision, lambda ops: Vision(config.vision, ops))
    # What fp16 loses of a weight (5e-4 of it) lies in the file and is the same on every processor:
    # 4e-4 of features of size 1, and 0.01 of scores of size 10.
    torch.testing.assert_close(vision(pixels), models.vision(pixels), atol=2e-3, rtol=1e-3)
    assert {value.dtype for value in vision.state_dict().values()} == {torch.float16}
    llm = halves(models.mllm, lambda ops: Mllm(config, ops))
    ids, none = torch.tensor([[1, 5, 6]]), torch.zeros(1, 3, dtype=torch.bool)

    def scores(model: Any) -> Tensor:
        embeds = model.embed(ids, none, torch.empty(0, 128), torch.float32)
        return model.scores(model(embeds, torch.arange(3)))

    assert scores(llm).dtype == torch.float32
    torch.testing.assert_close(scores(llm), scores(models.mllm), atol=0.05, rtol=0.05)


def test_models_build_without_weights() -> None:
    """A host may build leaves whose weights are None until loading; building must not look."""

    class Hollow:
        def __getattr__(self, name: str) -> Any:
            kind = getattr(nn, name)

            class Leaf(kind):  # type: ignore[misc, valid-type]
                def __init__(self, *args: Any, **kwargs: Any) -> None:
                    super().__init__(*args, **kwargs, device="meta")
                    self.weight = None

            return Leaf

    config, ops = golden_models().config, Hollow()
    for module in (
        Vision(config.vision, ops),
        Mllm(config, ops),
        Detokenizer(config.detokenizer, ops),
    ):
        assert not [name for name, _ in module.named_parameters() if name.endswith("weight")]

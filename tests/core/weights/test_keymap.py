"""The key map machinery: templates, transforms, and refusal of whatever does not fit."""

from __future__ import annotations

import pytest
import torch

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.keymap import TRANSFORMS, KeyMap, To

MAP = KeyMap(
    "toy",
    {
        "head.weight": "out.weight",
        "block.{}.part.{}.w": "layers.{}.parts.{}.weight",
        "proj": To("proj.weight", "transposed"),
        "latents": To("latents.weight", "without batch"),
        "packed": tuple(To(f"{n}.weight", f"{i} third") for n, i in
                        (("q", "first"), ("k", "second"), ("v", "last"))),
        "old.{*}": None,
    },
)  # fmt: skip


def made(**tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    state = {key.replace("__", "."): value for key, value in tensors.items()}
    return MAP.convert(state, state.__getitem__, {})


def test_numbers_are_copied_in_order() -> None:
    assert list(made(block__12__part__3__w=torch.ones(1))) == ["layers.12.parts.3.weight"]


def test_dropped_keys_leave_nothing() -> None:
    assert made(old__stuff=torch.ones(1), old__more__3=torch.ones(1)) == {}


def test_transforms_make_what_they_announce() -> None:
    torch.manual_seed(0)
    tensors = {
        "proj": torch.randn(2, 5),
        "latents": torch.randn(1, 3, 4),
        "packed": torch.randn(6, 2),
    }
    got = MAP.convert(tensors, tensors.__getitem__, {})
    assert torch.equal(got["proj.weight"], tensors["proj"].T)
    assert torch.equal(got["latents.weight"], tensors["latents"][0])
    assert torch.equal(torch.cat([got[f"{n}.weight"] for n in "qkv"]), tensors["packed"])
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    for name, recipe in MAP.recipes(tensors).items():
        assert recipe.shape(shapes.__getitem__) == tuple(got[name].shape)
        assert got[name].is_contiguous()


def test_recipes_read_only_when_made() -> None:
    def never(key: str) -> torch.Tensor:
        raise AssertionError(key)

    recipe = MAP.recipes(["proj"])["proj.weight"]
    assert recipe.shape(lambda _: (4, 7)) == (7, 4)
    with pytest.raises(AssertionError, match="proj"):
        recipe.make(never, {})


@pytest.mark.parametrize(
    "key", ["head.weight.", "xhead.weight", "block.a.part.1.w", "block..part.1.w", "older", ""]
)
def test_only_whole_names_match(key: str) -> None:
    with pytest.raises(SeedStoryError, match="1 unknown keys"):
        MAP.recipes([key])


def test_many_unknown_keys_are_counted_and_ten_named() -> None:
    with pytest.raises(SeedStoryError, match=r"25 unknown keys: k0, .*k9 \.\.\."):
        MAP.recipes([f"k{i}" for i in range(25)])


def test_two_keys_for_one_place_are_refused() -> None:
    twice = KeyMap("twice", {"a": "same", "b": "same"})
    with pytest.raises(SeedStoryError, match="b and a both claim same"):
        twice.recipes(["a", "b"])


def test_dots_in_names_are_dots() -> None:
    with pytest.raises(SeedStoryError):
        MAP.recipes(["headXweight"])


def test_every_transform_says_what_it_needs() -> None:
    for transform in TRANSFORMS.values():
        assert transform.roles and not set(transform.roles) & set(transform.optional)

"""The world that is adapted: whether it can be, its words, and what it changes of a UNet."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ..engines.seed_story.conditioning import UNET
from ..engines.seed_story.config import SeedStoryConfig
from ..engines.seed_story.engine import NAME as ENGINE
from ..engines.seed_story.prompt import Vocabulary
from ..engines.seed_story.tokenizer import Tokenizer
from ..errors import SeedStoryError
from ..hosts import read_part
from ..parts import PartSpec
from ..world import World
from .cache import key_of


def digest_of_files(world: World) -> str:
    """A digest of all files of a world, painting ones too."""
    return key_of(*(f"{role} {entry.sha256}" for role, entry in sorted(world.files.items())))


def open_words(world: World) -> tuple[SeedStoryConfig, Vocabulary]:
    """Sizes and vocabulary of a world that can be adapted.

    Raises:
        SeedStoryError: it is of another engine.
    """
    if world.engine != ENGINE:
        raise SeedStoryError(
            f"World {world.name!r} is of the engine {world.engine!r}; only worlds of {ENGINE!r} "
            "can be adapted."
        )
    config = SeedStoryConfig.from_json(world.sizes)
    roles = ("tokenizer.added_tokens", "tokenizer.config", "tokenizer.special_tokens_map")
    files = [world.file(role) if role in world.files else None for role in roles]
    tokenizer = Tokenizer(world.file("tokenizer.model"), *files)
    return config, Vocabulary(tokenizer, config.image_tokens, config.llm.vocab)


def unet_patch(world: World) -> dict[str, Tensor]:
    """The tensors of the UNet that the world changes; {} where it brings the whole."""
    nothing: Any = partial(AssertionError, "only read")
    return read_part(PartSpec("unet patch", nothing, world.file("detokenizer"), UNET))

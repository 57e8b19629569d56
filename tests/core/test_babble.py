"""The world made on the spot: the same bytes each time, honest about itself, fit to be used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from seedstory_core.babble import NOTICE, SIZES, TOKENIZER_FILES, make_world
from seedstory_core.babble.shapes import UNET, VAE, unet_shapes, vae_shapes
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.config import SeedStoryConfig
from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.hosts import local_host
from seedstory_core.images import read_picture
from seedstory_core.story import features_of
from seedstory_core.types import Opening, Story
from seedstory_core.world import World, load_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble")


@pytest.fixture(scope="module")
def told(world: World) -> Story:
    """Ten panels."""
    engine = open_engine(world, local_host(torch.device("cpu"), torch.float32))
    first = world.openings[0]
    story = engine.start(Opening(first["text"], read_picture(world.root / first["image"])))
    for seed in range(1, 11):
        story = engine.tell(story, seed=seed)
    return story


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    again = make_world(tmp_path / "babble")
    assert hashes(again.root) == hashes(world.root)
    other = make_world(tmp_path / "other", seed=1)
    assert other.digest != world.digest
    assert load_world(world.root).digest == world.digest


def test_it_is_small_and_says_what_it_is(world: World) -> None:
    assert sum(path.stat().st_size for path in world.root.rglob("*") if path.is_file()) < 40 << 20
    assert world.notice == NOTICE and "babbles" in NOTICE
    assert world.provenance["trained"] is False
    assert set(TOKENIZER_FILES) | {"llm", "vision", "detokenizer", "unet", "vae"} == set(
        world.files
    )
    assert SeedStoryConfig.from_json(world.sizes) == SIZES


def test_three_openings_with_drawn_pictures(world: World) -> None:
    pictures = [read_picture(world.root / opening["image"]) for opening in world.openings]
    assert [tuple(picture.shape) for picture in pictures] == [(64, 64, 3)] * 3
    colours = [len(torch.unique(picture.reshape(-1, 3), dim=0)) for picture in pictures]
    assert all(8 < count < 64 for count in colours), "flat colours, as pixel art has"


def test_the_vocabulary_fits_the_model(world: World) -> None:
    words = Tokenizer.from_folder(world.root / "tokenizer")
    assert len(words) == SIZES.llm.vocab
    assert words.encode("<img>") == [SIZES.llm.vocab - 66]
    assert words.decode(words.encode("The small fox sat on the hill.")).strip() == (
        "The small fox sat on the hill."
    )


def test_stories_go_on_in_words(told: Story) -> None:
    assert len(told) == 11 and not told.ended
    captions = [panel.caption for panel in told.panels[1:]]
    assert len(set(captions)) == len(captions)
    assert all(caption and caption[0].isupper() for caption in captions)
    for panel in told.panels[1:]:
        assert len(panel.token_ids) <= 24 + 66, "captions are capped"
        assert "<" not in panel.caption and "\ufffd" not in panel.caption


def test_features_are_healthy_and_differ(told: Story) -> None:
    features = features_of(told, "seed_story.image").tensor
    assert features.isfinite().all() and 0.1 < features.std() < 10
    told_features = features[1:]
    apart = (told_features - told_features.mean(0)).std() / told_features.std()
    assert apart > 0.05, "each panel says a picture of its own"


def test_weights_are_stored_in_half_precision(world: World) -> None:
    for role in ("llm", "vision", "detokenizer", "unet", "vae"):
        state = load_file(world.file(role))
        assert {tensor.dtype for tensor in state.values()} == {torch.float16}, role
        assert all(tensor.isfinite().all() for tensor in state.values())
    constants = load_file(world.file("detokenizer"))
    assert constants["negative.tokens"].shape == (1, 64, 2048)
    assert constants["negative.pooled"].shape == (1, 1280)


def test_shapes_are_those_of_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel.from_config(dict(UNET))
        vae = diffusers.AutoencoderKL.from_config(dict(VAE))
    for model, shapes in ((unet, unet_shapes(UNET)), (vae, vae_shapes(VAE))):
        own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        assert shapes == own

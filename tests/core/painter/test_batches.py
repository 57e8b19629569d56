"""Several panels in one call of the UNet: the same pictures, in fewer calls, within the memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from seedstory_core.babble import make_world
from seedstory_core.engine import Engine, open_engine
from seedstory_core.hosts import local_host
from seedstory_core.images import read_picture
from seedstory_core.painter import Painter, open_painter, painting
from seedstory_core.painter.batches import MOST, batches, fitting, joined, paired
from seedstory_core.types import Cond, Conditioning, Opening, PaintSettings, Story
from seedstory_core.world import World

pytest.importorskip("diffusers", reason="diffusers is not installed")

CPU, FP32 = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("worlds") / "babble")


@pytest.fixture(scope="module")
def engine(world: World) -> Engine:
    return open_engine(world, local_host(CPU, FP32))


@pytest.fixture(scope="module")
def story(world: World, engine: Engine) -> Story:
    first = world.openings[0]
    story = engine.start(Opening(first["text"], read_picture(world.root / first["image"])))
    for seed in range(4):
        story = engine.tell(story, seed=seed)
    return story


@pytest.fixture(scope="module")
def painter(world: World) -> Painter:
    return open_painter(world)


@contextmanager
def calls(module: torch.nn.Module) -> Iterator[list[int]]:
    """Pictures in each call of ``module``."""
    seen: list[int] = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize("at_once", [2, 3, 8])
@pytest.mark.parametrize("same_noise", [True, False])
def test_a_batch_paints_what_each_panel_is_alone(
    painter: Painter, engine: Engine, story: Story, at_once: int, same_noise: bool
) -> None:
    settings = PaintSettings(steps=2, guidance=2.0, seed=5, same_noise=same_noise)
    alone = painter.paint(engine, story, range(5), settings)
    with calls(painter.unet) as seen:
        together = painter.paint(engine, story, range(5), settings, at_once=at_once)
    for one, other in zip(together, alone, strict=True):
        assert (one.int() - other.int()).abs().max() <= 1, "the rounding of one level at most"
    groups = [len(some) for some in batches(range(5), at_once)]
    assert seen == [2 * group for group in groups for _ in range(2)]
    assert len({tuple(picture.flatten().tolist()) for picture in alone}) == 5


def test_latents_differ_by_rounding_only(painter: Painter, engine: Engine, story: Story) -> None:
    settings = PaintSettings(steps=2, guidance=2.0)
    steers = [engine.condition(story, index) for index in range(3)]
    units = [painter.noise(seed, painter.size) for seed in range(3)]
    whole = joined(steers)
    assert whole is not None
    together = painter.sample(whole, torch.cat(units), settings)
    alone = [painter.sample(s, u, settings) for s, u in zip(steers, units, strict=True)]
    apart = (together - torch.cat(alone)).abs().max()  # guidance of untrained weights enlarges it
    assert apart < 1e-3 * together.std()


def test_progress_counts_every_picture_of_a_batch(
    painter: Painter, engine: Engine, story: Story
) -> None:
    seen: list[tuple[int, int]] = []
    settings = PaintSettings(steps=2)
    report = lambda done, total, note="": seen.append((done, total))  # noqa: E731
    painter.paint(engine, story, range(5), settings, report, at_once=2)
    assert seen[0] == (0, 10) and seen[-1] == (10, 10) and seen == sorted(seen)


@pytest.mark.parametrize(
    ("free", "latents", "itemsize", "panels"),
    [
        (80 << 30, 128 * 128, 2, 1),  # SDXL at 1024 x 1024 is busy with one
        (80 << 30, 64 * 64, 2, 4),
        (1 << 29, 64 * 64, 2, 1),
        (80 << 30, 256 * 256, 2, 1),
        (1 << 30, 8 * 8, 4, MOST),  # Picture World on a CPU
        (20 << 20, 8 * 8, 4, 2),
        (0, 8 * 8, 4, 1),
    ],
)
def test_the_batch_fits_the_memory(free: int, latents: int, itemsize: int, panels: int) -> None:
    assert fitting(free, latents, itemsize) == panels


def test_a_painter_asks_its_device(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert painter.fitting(PaintSettings()) == MOST
    monkeypatch.setattr(painting, "free_memory", lambda device: 20 << 20)
    assert painter.fitting(PaintSettings()) == 2
    assert painter.fitting(PaintSettings(size=(1024, 1024))) == 1


def cond(tokens: int = 4, pooled: bool = True, batch: int = 1, **span: float) -> Cond:
    return Cond(torch.zeros(batch, tokens, 8), torch.zeros(batch, 6) if pooled else None, **span)


def test_only_alike_panels_are_joined() -> None:
    plain = Conditioning((cond(),), (cond(),))
    both = joined([plain, plain])
    assert both is not None and both.positive[0].tokens.shape == (2, 4, 8)
    assert both.negative[0].pooled is not None and both.negative[0].pooled.shape == (2, 6)
    others = [cond(tokens=5), cond(pooled=False), cond(end=0.5)]
    for other in others:
        assert joined([plain, replace(plain, positive=(other,))]) is None
    assert joined([plain, replace(plain, negative=(cond(), cond()))]) is None


def test_only_alike_sides_are_asked_at_once() -> None:
    assert paired([cond(batch=3)], [cond(batch=3, end=0.5)]) is not None
    for towards, away in (
        ([cond()], [cond(tokens=5)]),
        ([cond()], [cond(pooled=False)]),
        ([cond()], [cond(), cond()]),
        ([cond(batch=2)], [cond(batch=1)]),
    ):
        assert paired(towards, away) is None


def test_panels_of_other_shapes_are_painted_one_by_one(
    painter: Painter, engine: Engine, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an engine whose panels have different numbers of tokens."""
    real = engine.condition

    def condition(of: Story, index: int) -> Conditioning:
        steer = real(of, index)
        cut = replace(steer.positive[0], tokens=steer.positive[0].tokens[:, : 32 + index])
        return replace(steer, positive=(cut,))

    monkeypatch.setattr(engine, "condition", condition)
    settings = PaintSettings(steps=1, guidance=2.0)
    alone = [painter.paint(engine, story, [index], settings)[0] for index in (1, 2)]
    with calls(painter.unet) as seen:
        together = painter.paint(engine, story, [1, 2], settings, at_once=2)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert seen == [1] * 4, "a picture and its negative each by itself"


def test_nothing_of_the_negative_is_computed_for_a_panel(
    world: World, painter: Painter, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read once, the visual tokenizer never asked, the de-tokenizer once a panel."""
    fresh: Any = open_engine(world, local_host(CPU, FP32))
    read: list[str] = []
    real = fresh._conditioner.constants

    def constants(prefix: str) -> dict[str, torch.Tensor]:
        read.append(prefix)
        return real(prefix)

    monkeypatch.setattr(fresh._conditioner, "constants", constants)
    seeing, naming = (fresh.parts[name].acquire() for name in ("vision", "detokenizer"))
    with calls(seeing) as looks, calls(naming) as names:
        painter.paint(fresh, story, range(5), PaintSettings(steps=1), at_once=2)
    assert read == ["negative."] and looks == [] and names == [1] * 5


def test_guidance_may_end_before_the_last_step(
    painter: Painter, engine: Engine, story: Story
) -> None:
    whole = PaintSettings(steps=4, guidance=2.0)
    half = replace(whole, guidance_until=0.5)
    with calls(painter.unet) as seen:
        picture = painter.paint(engine, story, [1], half)[0]
    assert seen == [2, 2, 1, 1]
    assert not torch.equal(picture, painter.paint(engine, story, [1], whole)[0])
    never = painter.paint(engine, story, [1], replace(whole, guidance_until=0.0))[0]
    assert torch.equal(never, painter.paint(engine, story, [1], replace(whole, guidance=1.0))[0])
    assert painter.describe(half, 1)["guidance_until"] == 0.5
    assert "guidance_until" not in painter.describe(whole, 1)

"""Memory Plan: what it shows, what the telling and painting nodes make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.card import Card, inserted
from support.sized_world import make_sized_world

MIB = 1 << 20
HUGE = 1 << 40
HOW = {
    "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "seed": 1,
    "same_noise": True, "repaint": False, "width": 0, "height": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from importlib import import_module

    folder = tmp_path_factory.mktemp("worlds") / "tiny"
    import_module(f"{pack.__name__}.seedstory_core.babble").make_world(folder)
    return pack.seedstory_core.world.load_world(folder)


@pytest.fixture(autouse=True)
def _stories(comfy_here: Path, tmp_path: Path) -> Iterator[None]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield
    folder_paths.set_output_directory(before)


@pytest.fixture()
def card(comfy_here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    with inserted(monkeypatch, HUGE) as card:
        yield card


@pytest.fixture()
def handles(pack: ModuleType, world: Any, card: Card) -> dict[str, Any]:
    engine = pack.seedstory_core.engine.open_engine(world, pack.nodes.host.comfy_host("fp32"))
    return {part: pack.nodes.types.EngineHandle(engine, part, world) for part in engine.parts}


def plan(pack: ModuleType, handles: dict[str, Any], preset: str = "auto", **how: Any) -> Any:
    """The node's two outputs."""
    given = {"paint": True, "width": 0, "height": 0} | how
    return pack.nodes.memory.MemoryPlan.execute(handles["llm"], preset, **given)


def story(pack: ModuleType, handles: dict[str, Any]) -> Any:
    picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
    with torch.inference_mode():
        return handles["llm"].engine.start(pack.seedstory_core.types.Opening("A fox.", picture))


def tell(pack: ModuleType, handles: dict[str, Any], **more: Any) -> Any:
    """Two panels by Tell Story."""
    given = {"panels": 2, "seed": 5, "captions": "", "reference": False} | more
    sampling = pack.seedstory_core.sampling.Sampling(max_caption_tokens=8)
    node = pack.nodes.telling.TellStory
    begun = story(pack, handles)
    with torch.inference_mode():
        return node.execute(begun, handles["llm"], sampling=sampling, **given)[0]


def test_the_table_has_a_line_for_each_phase_and_nothing_is_loaded(
    pack: ModuleType, handles: dict[str, Any], card: Card
) -> None:
    out = plan(pack, handles)
    lines = out[0].splitlines()
    firsts = [line.split()[0] for line in lines[2:7]]
    assert firsts == ["see", "tell", "condition", "paint", "decode"]
    assert out.ui["seedstory_text"] == [out[0]] and "It fits." in out[0]
    assert handles["llm"].patcher is None and card.loaded() == {}
    assert out[1].device.total == HUGE and out[1].ok


def test_connected_models_count_as_they_are(
    pack: ModuleType, handles: dict[str, Any], world: Any
) -> None:
    with torch.inference_mode():
        model, vae = pack.nodes.host.load_painter(world)
    free = plan(pack, handles)[1]
    known = plan(pack, handles, model=model, vae=vae)[1]
    phases = {fit.phase.name: fit.phase for fit in known.fits}
    assert phases["paint"].weights == model.model_size()
    assert phases["paint"].working == int(model.memory_required([2, 4, 8, 8]))
    assert phases["decode"].weights == vae.patcher.model_size()
    assert phases["decode"].working == int(vae.memory_used_decode((1, 4, 8, 8), vae.vae_dtype))
    counted = {fit.phase.name: fit.phase for fit in free.fits}
    assert counted["paint"].weights == pytest.approx(phases["paint"].weights, rel=0.01)


def test_what_other_models_hold_counts_as_free(
    pack: ModuleType, handles: dict[str, Any], card: Card
) -> None:
    card.limit = 4096 * MIB
    before = plan(pack, handles)[1]
    tell(pack, handles)
    assert sum(card.loaded().values()) > 0
    after = plan(pack, handles)[1]
    assert after.usable == before.usable
    weights = handles["llm"].patcher.model_size()
    assert [plan.fits[1].phase.weights for plan in (before, after)] == [weights, weights]


def test_a_run_that_would_not_fit_stops_before_it_starts(
    pack: ModuleType, handles: dict[str, Any], world: Any, card: Card
) -> None:
    told = tell(pack, handles)
    with torch.inference_mode():
        model, vae = pack.nodes.host.load_painter(world)
    card.clear()
    card.limit = 100 * MIB  # ComfyUI itself wants more to work in
    table, small = plan(pack, handles)
    assert "DOES NOT FIT" in table and not small.ok
    error = pack.seedstory_core.errors.SeedStoryError
    with pytest.raises(error, match=r"would not fit: the phase .* needs .* can be used"):
        tell(pack, handles, memory=small)
    with pytest.raises(error, match="would not fit"):
        paint = pack.nodes.painting.PaintStory
        paint.execute(told, model, vae, handles["detokenizer"], memory=small, **HOW)
    assert not {"Mllm", "Detokenizer", type(model.model).__name__} & set(card.loaded())


def test_the_plan_brings_its_context_to_the_telling(
    pack: ModuleType, handles: dict[str, Any]
) -> None:
    context = pack.seedstory_core.context
    two = plan(pack, handles, context=context.Window(2))[1]
    panel = tell(pack, handles, memory=two).panels[-1]
    assert panel.provenance["context"] == {"class": "Window", "size": 2}
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="made for Window"):
        tell(pack, handles, memory=two, context=context.Dense())


def test_a_run_larger_than_its_plan_is_refused(
    pack: ModuleType, handles: dict[str, Any], world: Any
) -> None:
    """What was planned for one story and one picture would not fit as many."""
    error = pack.seedstory_core.errors.SeedStoryError
    one, more = plan(pack, handles)[1], plan(pack, handles, stories=3, at_once=2)[1]
    told, node = tell(pack, handles), pack.nodes.futures.TellFutures
    drawn = pack.seedstory_core.sampling.Sampling(
        picker=pack.seedstory_core.sampling.Nucleus(1.5, 0.98), max_caption_tokens=4
    )
    how = {"futures": 3, "panels": 1, "seed": 5, "captions": "", "sampling": drawn}
    with torch.inference_mode():
        with pytest.raises(error, match="made for 1 told together"):
            node.execute(told, handles["llm"], memory=one, **how)
        assert len(node.execute(told, handles["llm"], memory=more, **how)[0]) == 3
        model, vae = pack.nodes.host.load_painter(world)
        paint = pack.nodes.painting.PaintStory
        given = (told, model, vae, handles["detokenizer"])
        with pytest.raises(error, match="made for 1 of 64 x 64 at once, but the run paints 2"):
            paint.execute(*given, memory=one, at_once=2, **HOW)
        with pytest.raises(error, match="128 x 64"):
            paint.execute(*given, memory=one, **HOW | {"width": 128, "height": 64})
        for memory, at_once in ((more, 2), (one, 0)):
            painted = paint.execute(*given, memory=memory, at_once=at_once, **HOW)[0]
            assert all(panel.image is not None for panel in painted.panels)


def test_a_smaller_preset_leaves_the_rest_of_the_card_to_others(
    pack: ModuleType, handles: dict[str, Any], card: Card
) -> None:
    """A card of 24 GB with another model on it, and a plan for 8: that one must not be moved."""
    card.limit = 24 << 30
    preset = plan(pack, handles, "8 GB")[1]
    assert preset.reserve == 17 << 30
    asked: list[float] = []
    import comfy.model_management as management

    load = management.load_models_gpu

    def recorded(models: list[Any], memory_required: float = 0, **how: Any) -> Any:
        asked.append(memory_required)
        return load(models, memory_required=memory_required, **how)

    management.load_models_gpu = recorded
    try:
        tell(pack, handles, memory=preset)
        assert max(asked) >= preset.reserve
        assert handles["llm"].engine.parts["llm"].reserve == 0
    finally:
        management.load_models_gpu = load


def test_decoding_in_tiles_where_the_plan_says_so(
    pack: ModuleType, handles: dict[str, Any], world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tile covers a small picture, so it equals the whole."""
    from dataclasses import replace

    told = tell(pack, handles)
    with torch.inference_mode():
        model, vae = pack.nodes.host.load_painter(world)
    tiled: list[Any] = []
    whole = vae.decode_tiled

    def recorded(samples: torch.Tensor, **how: Any) -> torch.Tensor:
        tiled.append(how)
        return whole(samples, **how)

    monkeypatch.setattr(vae, "decode_tiled", recorded)
    memory = plan(pack, handles)[1]
    pictures = []
    for how in (replace(memory, tiled=True), memory, None):
        with torch.inference_mode():
            node = pack.nodes.painting.PaintStory
            out = node.execute(told, model, vae, handles["detokenizer"], memory=how, **HOW)
        pictures.append(out[1])
    assert tiled == [{"tile_x": 64, "tile_y": 64, "overlap": 16}] * 2
    assert torch.equal(pictures[1], pictures[2])
    torch.testing.assert_close(pictures[0], pictures[1], atol=2 / 255, rtol=0)


def test_tell_then_paint_hold_one_big_model_at_a_time(
    pack: ModuleType, card: Card, tmp_path: Path
) -> None:
    """An LLM of 31 MB with its rows and a UNet of 15 MB, each with room to work, on 64 MB."""
    world = pack.seedstory_core.world.load_world(make_sized_world(tmp_path / "w", 512, 1408, 4))

    def opened() -> dict[str, Any]:
        engine = pack.seedstory_core.engine.open_engine(world, pack.nodes.host.comfy_host("fp32"))
        return {part: pack.nodes.types.EngineHandle(engine, part, world) for part in engine.parts}

    roomy = tell(pack, opened(), panels=3).panels
    card.clear()
    card.limit, card.most = 64 * MIB, 0
    handles = opened()
    with torch.inference_mode():
        model, vae = pack.nodes.host.load_painter(world)
        told = tell(pack, handles, panels=2)
        assert {"Mllm", "KeptRows"} <= set(card.loaded())
        node = pack.nodes.painting.PaintStory
        painted = node.execute(told, model, vae, handles["detokenizer"], **HOW)[0]
        kept = handles["llm"].engine.parts["llm"].kept
        assert card.loaded().get("KeptRows", 0) == 0 and not kept.model.placed
        assert all(panel.image is not None for panel in painted.panels)
        how = {"panels": 1, "seed": 5, "captions": "", "reference": False}
        sampling = pack.seedstory_core.sampling.Sampling(max_caption_tokens=8)
        again = pack.nodes.telling.TellStory.execute(
            painted, handles["llm"], sampling=sampling, **how
        )[0]
    assert card.most <= card.limit
    assert kept.model.placed and card.loaded()["KeptRows"] == kept.loaded_size() > 0
    assert [p.token_ids for p in again.panels] == [p.token_ids for p in roomy]


def test_stories_and_panels_done_together_need_more(
    pack: ModuleType, handles: dict[str, Any]
) -> None:
    def phases(**how: Any) -> dict[str, Any]:
        return {fit.phase.name: fit.phase for fit in plan(pack, handles, **how)[1].fits}

    one, more = phases(), phases(stories=3, at_once=4)
    assert more["tell"].kept == 3 * one["tell"].kept
    assert more["paint"].working > one["paint"].working
    assert more["tell"].weights == one["tell"].weights

"""The kept rows in ComfyUI's books: counted, moved away for others, brought back."""

from __future__ import annotations

import gc
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.card import Card, inserted

PLENTY = 1 << 32


@pytest.fixture(scope="module")
def world(pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("worlds") / "tiny"
    importlib.import_module(f"{pack.__name__}.seedstory_core.babble").make_world(folder)
    return pack.seedstory_core.world.load_world(folder)


@pytest.fixture()
def card(comfy_here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    with inserted(monkeypatch, PLENTY) as card:
        yield card


class Teller:
    """Tells panels as the nodes do, on whatever device ComfyUI has."""

    def __init__(self, pack: ModuleType, world: Any) -> None:
        core, self.host = pack.seedstory_core, pack.nodes.host
        self.engine = core.engine.open_engine(world, self.host.comfy_host("fp32"))
        self.part = self.engine.parts["llm"]
        self.reader = core.memory.kept_by(self.engine)
        picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
        self.sampling = core.sampling.Sampling(max_caption_tokens=8)
        with torch.inference_mode():
            self.story = self.engine.start(core.types.Opening("A fox.", picture))

    def tell(self, plan: Any = None) -> tuple[int, ...]:
        """One more panel -> its token ids."""
        with torch.inference_mode(), self.host.parking(self.engine, plan):
            self.story = self.engine.tell(self.story, sampling=self.sampling)
        return self.story.panels[-1].token_ids


@pytest.fixture()
def teller(pack: ModuleType, world: Any, card: Card) -> Teller:
    return Teller(pack, world)


@pytest.fixture(scope="module")
def expected(pack: ModuleType, world: Any) -> list[tuple[int, ...]]:
    """Three panels, told where there is room for everything."""
    teller = Teller(pack, world)
    return [teller.tell() for _ in range(3)]


def test_kept_rows_are_counted_as_they_grow(teller: Teller, card: Card) -> None:
    teller.tell()
    kept = card.loaded()["KeptRows"]
    assert kept == teller.reader.nbytes > 0
    before = card.free()
    teller.tell()
    assert card.loaded()["KeptRows"] == teller.reader.nbytes >= kept
    assert card.free() == before - (teller.reader.nbytes - kept)


def test_they_stay_from_panel_to_panel_while_there_is_room(
    teller: Teller, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked: list[int] = []
    monkeypatch.setattr(teller.reader, "park", lambda: parked.append(1))
    for _ in range(3):
        teller.tell()
    assert not parked and teller.part.kept.model.placed


def test_they_leave_for_a_model_that_needs_the_room_and_come_back(
    pack: ModuleType, world: Any, teller: Teller, card: Card, expected: list[tuple[int, ...]]
) -> None:
    """Tell, then paint, then tell: one big model at a time, and the story goes on as it would."""
    assert [teller.tell(), teller.tell()] == expected[:2]
    with torch.inference_mode():
        model, _ = teller.host.load_painter(world)
    card.limit, card.most = int(1.1 * model.model_size()), 0
    import comfy.model_management as management

    management.load_models_gpu([model], memory_required=0)
    assert card.loaded() == {type(model.model).__name__: model.model_size()}
    assert not teller.part.kept.model.placed and teller.part.kept.loaded_size() == 0
    assert teller.reader.nbytes > 0  # moved, not dropped
    card.limit = int(1.1 * (teller.part.patcher.model_size() + 4 * teller.reader.nbytes))
    assert teller.tell() == expected[2]
    assert "KeptRows" in card.loaded() and card.loaded()["KeptRows"] == teller.reader.nbytes


def test_free_moves_them_and_forgets_them(
    teller: Teller, card: Card, expected: list[tuple[int, ...]]
) -> None:
    teller.tell()
    rows = teller.reader.nbytes
    card.clear()
    assert card.loaded() == {} and not teller.part.kept.model.placed
    assert 0 < teller.reader.nbytes <= rows  # to the CPU go the rows, not the spare room
    assert teller.tell() == expected[1]


def test_they_go_with_the_llm_but_not_when_it_is_only_loaded_anew(
    teller: Teller, card: Card
) -> None:
    teller.tell()
    teller.part.patcher.detach(unpatch_all=False)
    assert teller.part.kept.model.placed
    teller.part.patcher.detach()
    assert not teller.part.kept.model.placed


def test_futures_ask_for_their_own_rows_beside_none_of_one_story(
    teller: Teller, pack: ModuleType, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as management

    teller.tell()
    assert card.loaded()["KeptRows"] > 0
    wanted: list[int] = []
    asked: list[int] = []
    acquire, load = teller.part.acquire, management.load_models_gpu

    def acquired(size: int = 0) -> Any:
        wanted.append(size)
        return acquire(size)

    def loaded(models: list[Any], memory_required: float = 0, **how: Any) -> Any:
        asked.append(int(memory_required))
        return load(models, memory_required=memory_required, **how)

    monkeypatch.setattr(teller.part, "acquire", acquired)
    monkeypatch.setattr(management, "load_models_gpu", loaded)
    branches = pack.seedstory_core.futures.futures_of(teller.story, 3)
    drawn = pack.seedstory_core.sampling.Sampling(max_new_tokens=80)
    with torch.inference_mode(), teller.host.parking(teller.engine):
        pack.seedstory_core.futures.tell_futures(teller.engine, branches, None, drawn)
    assert asked and asked == wanted
    rows = 3 * drawn.max_new_tokens
    assert asked[0] > teller.reader.bytes_for(rows, torch.float32), "the rows of three stories"


def test_the_llm_runs_in_parts_where_it_does_not_fit(
    teller: Teller, card: Card, expected: list[tuple[int, ...]]
) -> None:
    teller.part.acquire()
    card.clear()
    working = teller.reader.bytes_for(600, torch.float32)
    card.limit = working + teller.part.patcher.model_size() // 2
    assert teller.tell() == expected[0]
    import comfy.model_management as management

    if "128 * 1024 * 1024" in inspect.getsource(management.load_models_gpu):
        pytest.skip("this ComfyUI loads what has less than 128 MB whole, whatever is free")
    assert teller.part.patcher.model.model_lowvram
    assert 0 < teller.part.patcher.loaded_size() < teller.part.patcher.model_size()


def test_dynamic_memory_stays_dynamic(
    teller: Teller, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One plain model in a call makes ComfyUI evict dynamic ones: the rows come in their own."""
    import comfy.model_management as management

    calls: list[list[str]] = []
    load = management.load_models_gpu

    def recorded(models: list[Any], *args: Any, **kwargs: Any) -> Any:
        calls.append([type(model.model).__name__ for model in models])
        return load(models, *args, **kwargs)

    monkeypatch.setattr(management, "load_models_gpu", recorded)
    monkeypatch.setattr(teller.part, "is_dynamic", lambda: True)
    teller.tell()
    teller.tell()
    assert calls == [["Mllm"], ["KeptRows"], ["Mllm"]]
    assert card.loaded()["KeptRows"] == teller.reader.nbytes


def test_nothing_of_it_outlives_the_handle(pack: ModuleType, world: Any, card: Card) -> None:
    teller = Teller(pack, world)
    teller.tell()
    assert set(card.loaded()) >= {"Mllm", "KeptRows"}
    del teller
    gc.collect()
    assert not {"Mllm", "KeptRows"} & set(card.loaded())


def test_other_hosts_park_as_before(pack: ModuleType, world: Any) -> None:
    hosts = importlib.import_module(f"{pack.__name__}.seedstory_core.hosts")
    host = hosts.local_host(torch.device("cpu"), torch.float32)
    engine = pack.seedstory_core.engine.open_engine(world, host)
    parked: list[int] = []
    engine.park = lambda: parked.append(1)
    with pytest.raises(KeyError), pack.nodes.host.parking(engine):
        raise KeyError
    assert parked == [1]

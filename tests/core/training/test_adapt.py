"""Adaptation: a tiny world learns new pictures, keeps what it told, and is stopped and resumed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.rounding import LAYER, tolerance

from seedstory_core.engine import open_engine
from seedstory_core.errors import SeedStoryError
from seedstory_core.hosts import local_host
from seedstory_core.images import read_picture
from seedstory_core.picture_world.guest import write_guest
from seedstory_core.training.adapt import Adaptation
from seedstory_core.training.adapt_base import open_words
from seedstory_core.training.adapt_data import joined, open_series
from seedstory_core.training.adapt_settings import AdaptSettings
from seedstory_core.training.adapt_telling import (
    MixedTelling,
    changes_of,
    merged,
    open_telling,
)
from seedstory_core.training.adapt_words import Words
from seedstory_core.training.cache import Rows
from seedstory_core.training.stage import generator_of, quiet
from seedstory_core.training.windows import Scripts
from seedstory_core.types import Opening
from seedstory_core.world import World, load_world

SETTINGS = AdaptSettings(
    steps=30,
    paint_steps=20,
    draw_steps=20,
    rank=4,
    batch=4,
    paint_batch=8,
    lr=1e-2,
    paint_lr=1e-2,
    window=4,
    replay=12,
    save_every=10,
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guest") / "pictures"
    write_guest(folder, 20)
    return folder


def adaptation(world: World, data: Path, folder: Path, **changes: object) -> Adaptation:
    values = {"settings": SETTINGS, "report": lambda step: quiet, "cpu": True, **changes}
    return Adaptation(world, data, folder / "new", folder / "run", **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def adapted(tiny_world: World, guest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished adaptation; its run folder lies beside the new world."""
    folder = tmp_path_factory.mktemp("adapted")
    assert adaptation(tiny_world, guest, folder).adapt()
    return folder


def test_it_learns_the_new_and_keeps_the_old(adapted: Path):
    figures = load_world(adapted / "new").provenance["figures"]
    told, painted, drawn = (figures[name] for name in ("llm", "detokenizer", "vae-decoder"))
    # Over 4 seeds: -2.4 (sd 0.2), -0.09 (0.02), 0.59 of it (0.015), -0.19 (0.015), -0.010 (0.001).
    assert told["after"]["new_loss"] < told["before"]["new_loss"] - 0.3
    assert told["after"]["rehearsed_loss"] < told["before"]["rehearsed_loss"] + 0.1
    assert painted["after"]["new_loss"] < painted["before"]["new_loss"]
    assert painted["after"]["rehearsed_loss"] < painted["before"]["rehearsed_loss"] + 0.05
    assert drawn["after"]["new_loss"] < drawn["before"]["new_loss"]
    assert 0 <= drawn["after"]["new_right"] <= 1


def test_the_new_world_tells_and_says_what_it_is(adapted: Path, tiny_world: World, guest: Path):
    world = load_world(adapted / "new")
    assert world.digest != tiny_world.digest
    assert world.provenance["base"]["digest"] == tiny_world.digest
    assert world.provenance["data"]["pictures"] == 20 and world.provenance["rehearsed"] > 0
    assert world.provenance["settings"]["rank"] == 4
    first = (guest / "000" / "00.txt").read_text().strip()
    assert world.openings[0]["text"] == first
    assert len(world.openings) == 2 + len(tiny_world.openings)
    picture, text = world.opening(1)
    engine = open_engine(world, local_host(torch.device("cpu"), torch.float32))
    story = engine.tell(engine.start(Opening(text, read_picture(picture))))
    assert len(story) == 2 or story.ended
    told = engine.condition(story, 0)
    assert told.positive[0].tokens.isfinite().all()


#: The tokenizer has new words; its list of roles has none.
CHANGED = {
    "llm",
    "detokenizer",
    "unet",
    "vae",
    "tokenizer.model",
    "tokenizer.added_tokens",
    "tokenizer.config",
}


def changed_of(role: str, before: World, after: World) -> set[str]:
    """Tensors of a file that differ."""
    old, new = (load_file(world.file(role)) for world in (before, after))
    return {name for name in old if not torch.equal(old[name], new[name])}


def test_frozen_files_are_the_same_bytes_and_trained_ones_changed(adapted: Path, tiny_world: World):
    world = load_world(adapted / "new")
    for role, entry in world.files.items():
        same = entry.sha256 == tiny_world.files[role].sha256
        assert same == (role not in CHANGED), role
    assert any(".attn2." not in name for name in changed_of("unet", tiny_world, world))
    before, after = (load_file(w.file("llm")) for w in (tiny_world, world))
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    assert torch.equal(
        before["output_resampler.positions.weight"], after["output_resampler.positions.weight"]
    )
    drawn = changed_of("vae", tiny_world, world)
    assert drawn and all(name.startswith(("decoder.", "head.")) for name in drawn)
    negatives = [load_file(w.file("detokenizer"))["negative.tokens"] for w in (tiny_world, world)]
    assert not torch.equal(*negatives)


def test_merged_adapters_compute_what_applied_ones_do(tiny_world: World, guest: Path):
    words = Words(*open_words(tiny_world))
    module = open_telling(tiny_world, words, SETTINGS, frugal=False)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if ".lora_" in name:
                value.copy_(torch.randn(value.shape, generator=draw) * 0.1)
    changes = {name: value.detach() for name, value in changes_of(module.mllm).items()}
    plain = open_telling(tiny_world, words, SETTINGS, frugal=False, changes=changes)
    bare = open_telling(tiny_world, words, SETTINGS, frugal=False, changes={})
    telling = _telling(tiny_world, guest)
    batch = telling.batch(telling.draw(3, generator_of(1)))
    with torch.no_grad():
        applied, put_in, without = (m.eval()(batch)["loss"] for m in (module, plain, bare))
    loss = tolerance(torch.float32, terms=64, sums=3 * LAYER, scale=float(applied))
    torch.testing.assert_close(applied, put_in, **loss)
    assert abs(applied - without) > 1e-2


def _telling(world: World, guest: Path, share: float = 0.0) -> MixedTelling:
    _, words = open_words(world)
    series = open_series(guest, words)
    lessons = joined(series, series if share else None)
    count = len(lessons.stories)
    rows = Rows([torch.randn(count, 4, 16).half().numpy()])
    stage = SETTINGS.telling(False)
    return MixedTelling(Scripts(words, lessons.stories), rows, stage, lessons.tales, share)


def test_the_share_of_rehearsed_windows(tiny_world: World, guest: Path):
    telling = _telling(tiny_world, guest, share=0.7)
    windows = telling.draw(1000, generator_of("share"))
    assert 0.65 < sum(window.first >= 20 for window in windows) / 1000 < 0.75
    alone = _telling(tiny_world, guest).draw(100, generator_of("share"))
    assert all(window.end <= 20 for window in alone)


def test_merging_keeps_the_dtype_and_leaves_others():
    base = torch.ones(3, 2).half()
    changes = {"a.up": torch.ones(3, 1), "a.down": torch.ones(1, 2), "b": torch.zeros(2)}
    assert torch.equal(merged("a", base, changes), torch.full((3, 2), 3.0).half())
    assert torch.equal(merged("b", torch.ones(2), changes), torch.zeros(2))
    assert torch.equal(merged("c", base, changes), base)


def test_stopped_and_resumed_is_the_same_world(
    adapted: Path, tiny_world: World, guest: Path, tmp_path: Path
):
    """Stopped in rehearsal, in each training, and between them."""
    stopping = adaptation(tiny_world, guest, tmp_path, report=_stop_after(2))
    with pytest.raises(KeyboardInterrupt):
        stopping.adapt()
    again = adaptation(tiny_world, guest, tmp_path)
    assert not again.adapt(max_steps=7)
    assert not (tmp_path / "new").exists()
    assert not again.adapt(max_steps=25)
    assert again.adapt()
    whole, rehearsed = adapted / "run" / "rehearsal", again.run / "rehearsal"
    assert (whole / "train.jsonl").read_text() == (rehearsed / "train.jsonl").read_text()
    for picture in (whole / "images").rglob("*.png"):
        same = rehearsed / picture.relative_to(whole)
        assert picture.read_bytes() == same.read_bytes()
    first, second = load_world(adapted / "new"), load_world(tmp_path / "new")
    assert {r: e.sha256 for r, e in first.files.items()} == {
        r: e.sha256 for r, e in second.files.items()
    }


def _stop_after(calls: int) -> Callable[[str], Callable[..., None]]:
    count = 0

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal count
        count += 1
        if count > calls:
            raise KeyboardInterrupt

    return lambda step: progress


def test_a_frugal_adaptation_learns_too(tiny_world: World, guest: Path, tmp_path: Path):
    settings = replace(SETTINGS, steps=12, paint_steps=8, replay=0, batch=2, paint_batch=2)
    made = adaptation(tiny_world, guest, tmp_path, settings=settings, frugal=True)
    assert made.adapt()
    world = load_world(tmp_path / "new")
    keys = changed_of("unet", tiny_world, world)
    assert keys and all(".attn2.to_k." in n or ".attn2.to_v." in n for n in keys)
    assert "lm_head.weight" not in changed_of("llm", tiny_world, world)
    figures = world.provenance["figures"]["llm"]
    assert figures["after"]["new_loss"] < figures["before"]["new_loss"]
    assert set(figures["before"]) == {f"new_{name}" for name in ("loss", "ce", "rec", "right")}


def test_replay_from_data_and_no_painting(tiny_world: World, guest: Path, tmp_path: Path):
    settings = replace(SETTINGS, steps=3, paint_steps=0, draw_steps=0, replay=5)
    made = adaptation(tiny_world, guest, tmp_path, settings=settings, replay_data=guest)
    assert made.adapt()
    world = load_world(tmp_path / "new")
    assert world.provenance["rehearsed"] == 5
    for role in ("unet", "vae"):
        assert world.files[role].sha256 == tiny_world.files[role].sha256


def test_refusals(tiny_world: World, guest: Path, tmp_path: Path):
    def refused(match: str, world: World = tiny_world, data: Path = guest) -> None:
        with pytest.raises(SeedStoryError, match=match):
            adaptation(world, data, tmp_path).adapt()
        assert not (tmp_path / "run").exists()

    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(guest / "000" / "00.png", one)
    refused("no caption", data=one)
    (one / "00.txt").write_text("Olive waves.")
    refused("has 1 picture", data=one)
    shutil.copy(guest / "000" / "01.png", one)
    (one / "01.txt").write_text("Olive <img> waves.")
    refused("marks", data=one)
    refused("no folder", data=tmp_path / "nowhere")
    refused("another|engine", world=replace(tiny_world, engine="toy"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("keep")
    refused("exists already")
    assert (tmp_path / "new" / "mine.txt").read_text() == "keep"


def test_a_run_folder_belongs_to_one_adaptation(adapted: Path, tiny_world: World, guest: Path):
    other = replace(SETTINGS, seed=9)
    made = replace(adaptation(tiny_world, guest, adapted, settings=other), out=adapted / "other")
    with pytest.raises(SeedStoryError, match="another adaptation"):
        made.adapt()


def test_wrong_settings_are_refused():
    wrong: list[dict[str, Any]] = [
        {"rank": 0}, {"share": 1.0}, {"also": ("eyes",)}, {"window": 1}, {"draw_steps": -1},
    ]  # fmt: skip
    for values in wrong:
        with pytest.raises(SeedStoryError):
            AdaptSettings(**values)


def test_a_world_without_openings_cannot_rehearse(tiny_world: World, guest: Path, tmp_path: Path):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_world.root, bare)
    data = json.loads((bare / "world.json").read_text())
    (bare / "world.json").write_text(json.dumps({**data, "openings": []}))
    with pytest.raises(SeedStoryError, match="--replay-data"):
        adaptation(load_world(bare), guest, tmp_path).adapt()

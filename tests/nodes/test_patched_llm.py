"""A LoRA on the LLM: rows that were read without it are not used with it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def test_rows_of_other_weights_are_read_again(
    pack: ModuleType, comfy_here: Path, tmp_path: Path
) -> None:
    from importlib import import_module

    core = pack.seedstory_core
    import_module(f"{pack.__name__}.seedstory_core.babble").make_world(tmp_path / "tiny")
    world = core.world.load_world(tmp_path / "tiny")

    def opened() -> Any:
        return core.engine.open_engine(world, pack.nodes.host.comfy_host("fp32"))

    def patch(engine: Any) -> None:
        """As a LoRA loader does it."""
        key = "model.layers.0.self_attn.k_proj.weight"
        shape = engine.parts["llm"].patcher.model.state_dict()[key].shape
        difference = torch.full(shape, 0.5)
        assert engine.parts["llm"].patcher.add_patches({key: ("diff", (difference,))}, 1.0)

    def forwards(engine: Any, story: Any) -> tuple[list[int], torch.Tensor]:
        rows: list[int] = []
        engine.reader.on_forward = rows.append
        panel = engine.tell(story, "It ran home.").panels[-1]
        return rows, next(iter(panel.features.values()))

    engine = opened()
    opening = core.types.Opening("A fox.", torch.zeros(8, 8, 3, dtype=torch.uint8))
    story = engine.tell(engine.start(opening), "It ran.")
    (plain,), before = forwards(engine, story)
    patch(engine)
    (patched,), after = forwards(engine, story)
    assert patched > plain + 64  # the whole prompt, not the newest rows of it
    assert (after - before).abs().max() > 1e-3
    fresh = opened()
    fresh.parts["llm"].acquire()
    patch(fresh)
    torch.testing.assert_close(forwards(fresh, story)[1], after, atol=1e-4, rtol=1e-4)

"""The context nodes hand on the library's values, and their defaults are the library's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

NODES = {"WindowContext": "Window", "DenseContext": "Dense", "BlockContext": "Block"}
NODES["SinkContext"] = "MultimodalSink"


def defaults(kind: Any) -> dict[str, Any]:
    given = kind.GET_NODE_INFO_V1()["input"].get("required", {})
    return {name: options["default"] for name, (_, options) in given.items()}


@pytest.mark.parametrize("name", NODES)
def test_untouched_widgets_make_the_librarys_default(pack: ModuleType, name: str) -> None:
    node = getattr(pack.nodes.contexts, name)
    policy = getattr(pack.seedstory_core.context, NODES[name])
    assert node.execute(**defaults(node))[0] == policy()


def test_every_widget_of_the_sink_counts(pack: ModuleType) -> None:
    node, policy = pack.nodes.contexts.SinkContext, pack.seedstory_core.context.MultimodalSink
    usual = defaults(node)
    changed = {k: v + 1 if isinstance(v, int) else "original" for k, v in usual.items()}
    assert node.execute(**changed)[0] == policy(**changed)
    assert set(usual) == set(policy.__dataclass_fields__)


def test_a_step_above_the_size_is_refused(pack: ModuleType) -> None:
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="not below its step"):
        pack.nodes.contexts.BlockContext.execute(size=3, step=4)

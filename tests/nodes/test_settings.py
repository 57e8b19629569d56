"""Story Sampling: its widgets become the library's value, with or without the later ones."""

from __future__ import annotations

from types import ModuleType
from typing import Any

OLD: dict[str, Any] = {
    "temperature": 0.0,
    "top_p": 0.9,
    "repetition_penalty": 1.0,
    "no_repeat_ngram": 0,
    "max_caption_tokens": 0,
    "max_new_tokens": 500,
    "stop_at_image": True,
}


def made(pack: ModuleType, **widgets: Any) -> Any:
    return pack.nodes.settings.Sampling.execute(**widgets)[0]


def test_prompts_from_before_a_widget_came_still_run(pack: ModuleType) -> None:
    assert made(pack, **OLD) == pack.seedstory_core.sampling.Sampling()


def test_the_rule_on_the_story_is_handed_on(pack: ModuleType) -> None:
    assert made(pack, **OLD, no_repeat_story=20).no_repeat_story == 20
    assert made(pack, **OLD, write_on=True).write_on


def test_widgets_keep_their_places(pack: ModuleType) -> None:
    info = pack.nodes.settings.Sampling.GET_NODE_INFO_V1()
    names = [*info["input"]["required"], *info["input"]["optional"]]
    assert names == [*OLD, "no_repeat_story", "write_on"]

"""A story of a thousand panels, saved and loaded in every way; ``-m slow -s`` prints the times."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))
from test_story_store import noise, panel, same, tell  # noqa: E402

from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.story import append  # noqa: E402
from seedstory_core.story_file import (  # noqa: E402
    check_story,
    open_story_file,
    pack_folder,
    pack_story,
    unpack_story_file,
    with_workflow,
)
from seedstory_core.types import Panel, Story  # noqa: E402

PANELS = 1000
MOST = 60.0  # seconds of the processor; the slowest takes 3 (docs/STORY_FILE.md)

T = TypeVar("T")


def full_panel(number: int) -> Panel:
    """Of 64 x 64 pixels, 32 KB of features and a hundred tokens."""
    features = {"toy.code": torch.randn(64, 256).half()}
    picture, words = noise(number, 64, 64, 3), tuple(range(100))
    return replace(panel(number), features=features, image=picture, token_ids=words)


def timed(what: str, act: Callable[[], T]) -> T:
    began, worked = time.monotonic(), time.process_time()
    found = act()
    seconds = time.process_time() - worked
    print(f"{what:<24} {time.monotonic() - began:6.2f} s, {seconds:6.2f} s of the processor")
    assert seconds < MOST, what
    return found


@pytest.mark.slow
def test_a_thousand_panels_with_pictures(tmp_path: Path) -> None:
    story: Story = tell(1)
    for number in range(1, PANELS):
        story = append(story, full_panel(number))
    story = with_workflow(story, {"workflow": {"nodes": [{"id": i} for i in range(300)]}})
    folder, packed = tmp_path / "s", tmp_path / "s.seedstory"
    timed("save the folder", lambda: store.save_story(folder, story))
    longer = append(story, full_panel(PANELS))
    timed("save one more panel", lambda: store.save_story(folder, longer))
    timed("pack the folder", lambda: pack_folder(folder, packed))
    assert same(timed("load the folder", lambda: store.load_story(folder)), longer)
    assert same(timed("open the file", lambda: open_story_file(packed)), longer)
    assert timed("pack the story", lambda: pack_story(longer)) == packed.read_bytes()
    timed("validate the file", lambda: check_story(packed))
    timed("unpack the file", lambda: unpack_story_file(packed, tmp_path / "t"))
    print(f"{packed.stat().st_size / 2**20:.0f} MB")

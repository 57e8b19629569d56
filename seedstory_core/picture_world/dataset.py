"""Writes told stories as a dataset in the StoryStream layout, with the scenes beside it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import SeedStoryError
from ..files import atomic_path, require_space
from .plots import pick
from .scene import CAST, Freedom, Scene
from .splits import SPLITS, scene_is_held_out
from .stories import PanelScript, tell

SHORTEST, LONGEST = 10, 30
#: Of 100 stories so many are for validation, and as many for testing.
_PER_CENT_ASIDE = 3
_BYTES_PER_PICTURE = 4096  # most file systems' block
_MOST_STORIES = 1_000_000

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class WorldCounts:
    """What was written: stories and pictures of each split."""

    stories: dict[str, int]
    pictures: dict[str, int]


@dataclass(frozen=True)
class Opening:
    """The first panel of a story that training never saw."""

    caption: str
    scene: Scene
    freedom: Freedom


def write_world(
    folder: Path,
    stories: int,
    seed: int = 0,
    progress: Progress | None = None,
    cast: Sequence[str] = CAST,
) -> WorldCounts:
    """Tell and draw ``stories`` stories of 10 to 30 panels.

    Writes ``{train,val,test}.jsonl`` with lines ``{"id", "images", "captions"}``, pictures as
    ``images/<id>/<nn>.png`` (64 px, palette) and ``scenes/{train,val,test}.jsonl`` with lines
    ``{"id", "scenes", "freedoms"}``. The same arguments write the same files. A list of a split is
    whole or absent; it comes last, so that the pictures it names are there.

    Raises:
        SeedStoryError: the folder has such a list already, the disk is too small, or the number of
            stories is not sensible.
    """
    if not 1 <= stories <= _MOST_STORIES:
        raise SeedStoryError(f"Expected 1 to {_MOST_STORIES} stories, got {stories}.")
    present = [name for name in SPLITS if (folder / f"{name}.jsonl").exists()]
    if present:
        raise SeedStoryError(
            f"{folder} has {present[0]}.jsonl already. Choose another folder, or remove that one."
        )
    panels = stories * (SHORTEST + LONGEST) // 2
    require_space(folder, panels * _BYTES_PER_PICTURE, f"A world of {stories} stories")
    counts = WorldCounts({}, {})
    done = 0
    for split, number in _shares(stories).items():
        lists, graphs = folder / f"{split}.jsonl", folder / "scenes" / f"{split}.jsonl"
        pictures = 0
        with atomic_path(lists) as list_part, atomic_path(graphs) as graph_part:
            with (
                open(list_part, "w", encoding="utf-8", newline="\n") as list_file,
                open(graph_part, "w", encoding="utf-8", newline="\n") as graph_file,
            ):
                for index in range(number):
                    id = f"{split}_{index:06d}"
                    line, graph = _write_story(folder, id, split, seed, index, cast)
                    list_file.write(json.dumps(line) + "\n")
                    graph_file.write(json.dumps(graph) + "\n")
                    pictures += len(line["captions"])
                    done += 1
                    if progress is not None:
                        progress(done, stories, id)
        counts.stories[split], counts.pictures[split] = number, pictures
    return counts


def openings(seed: int, count: int) -> Iterator[Opening]:
    """Good starts of stories that training never saw; every other shows a held-out combination."""
    from .render import draw_freedom

    story, found, names = 0, 0, set[str]()
    while found < count:
        story_seed = story_seed_of(seed, story)
        first = tell(story_seed, 1, "val")[0]
        story += 1
        name = first.scene.actors[0].name
        wanted = found % 2 == 1
        fresh = name not in names or len(names) == len(CAST)
        if not fresh or (scene_is_held_out(first.scene) != wanted and story % 400):
            continue
        names = {name} if len(names) == len(CAST) else names | {name}
        found += 1
        yield Opening(first.caption, first.scene, draw_freedom(random.Random(f"free/{story_seed}")))


def story_seed_of(seed: int, index: int) -> int:
    """The seed of one story of a dataset; no two datasets of different seeds share a story."""
    return seed * _MOST_STORIES + index


def _shares(stories: int) -> dict[str, int]:
    aside = max(1, stories * _PER_CENT_ASIDE // 100) if stories >= len(SPLITS) else 0
    return dict(zip(SPLITS, (stories - 2 * aside, aside, aside), strict=True))


def _write_story(
    folder: Path, id: str, split: str, seed: int, index: int, cast: Sequence[str]
) -> tuple[dict, dict]:
    """Draw one story; returns its lines of the two lists."""
    from .render import draw_freedom

    story_seed = story_seed_of(seed, index)
    rng = random.Random(f"free/{split}/{story_seed}")
    panels = pick(rng, range(SHORTEST, LONGEST + 1))
    scripts = tell(story_seed, panels, split, cast)
    freedoms = [draw_freedom(rng) for _ in scripts]
    images = [f"images/{id}/{number:02d}.png" for number in range(panels)]
    (folder / "images" / id).mkdir(parents=True, exist_ok=True)
    for path, script, freedom in zip(images, scripts, freedoms, strict=True):
        _draw(folder / path, script, freedom)
    line = {"id": id, "images": images, "captions": [script.caption for script in scripts]}
    graph = {
        "id": id,
        "scenes": [script.scene.to_json() for script in scripts],
        "freedoms": [asdict(freedom) for freedom in freedoms],
    }
    return line, graph


def _draw(path: Path, script: PanelScript, freedom: Freedom) -> None:
    from .render import render

    save_picture(path, render(script.scene, freedom))


def save_picture(path: Path, indices: np.ndarray) -> None:
    """Write one picture; not synced one by one, since its list comes later and is."""
    from .palette import PALETTE

    image = Image.fromarray(indices, mode="P")
    image.putpalette(np.ascontiguousarray(PALETTE, dtype=np.uint8).tobytes())
    image.save(path, optimize=False, compress_level=6)

"""Pictures of nobody in particular: random scenes with figures of mixed looks.

Stages 0 and 1 see some of them beside the stories, as a picture model that was trained on more than
one series has: so the visual tokenizer and the painter know looks by their parts, and a new
character can be learnt later from a few pictures. Nobody of the cast, nor the guest, is among them.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import SeedStoryError
from ..files import atomic_path
from .dataset import save_picture
from .looks import LOOKS, Look
from .render import draw_freedom, render
from .scene import ACTIONS, CAST, MOODS, PLACES, PROPS, TIMES, WEATHERS, Actor, Scene

_ACTOR_COUNTS = (1, 1, 1, 2, 2, 2, 3)
_LOOKS = tuple(LOOKS.values())
_KNOWN = frozenset((look.species, look.fur, look.accessory) for look in _LOOKS)


def any_scene(rng: random.Random) -> Scene:
    """A scene drawn evenly over all that can be drawn, whether a story would tell it or not."""
    names = rng.sample(CAST, rng.choice(_ACTOR_COUNTS))
    prop = rng.choice(PROPS) if rng.random() < 0.6 else None
    actors = [_any_actor(name, rng) for name in names]
    awake = [index for index, actor in enumerate(actors) if actor.action != "sleep"]
    if prop is not None and awake and rng.random() < 0.6:
        holder = rng.choice(awake)
        actors[holder] = replace(actors[holder], holds=prop)
        prop = None
    return Scene(
        rng.choice(PLACES), rng.choice(TIMES), rng.choice(WEATHERS), tuple(actors), item=prop
    )


def _any_actor(name: str, rng: random.Random) -> Actor:
    action = rng.choice(ACTIONS)
    calm = action == "sleep" or rng.random() < 0.3
    return Actor(name, action, "calm" if calm else rng.choice(MOODS))


def mixed_look(rng: random.Random) -> Look:
    """Parts of several looks put together, never those of the cast or the guest."""
    while True:
        head, coat, dress = (rng.choice(_LOOKS) for _ in range(3))
        accessory = dress.accessory if rng.random() < 0.9 else None
        if (head.species, coat.fur, accessory) not in _KNOWN:
            return replace(coat, species=head.species, nose=head.nose, accessory=accessory)


def mixed_looks(scene: Scene, rng: random.Random) -> Mapping[str, Look]:
    """A mixed look for everybody in ``scene``."""
    return {actor.name: mixed_look(rng) for actor in scene.actors}


def write_pictures(
    folder: Path, count: int, seed: int = 0, progress: Callable[[int, int, str], None] | None = None
) -> None:
    """Add the split ``pictures`` to a world: all training stories, and ``count`` others.

    Writes ``pictures.jsonl`` and ``scenes/pictures.jsonl`` in the layout of
    `dataset.write_world`; lines of the others are stories of one panel and have ``looks`` beside
    their scenes.

    Raises:
        SeedStoryError: the folder has no training stories, or has the split already.
    """
    source, target = folder / "train.jsonl", folder / "pictures.jsonl"
    if not source.is_file() or target.exists():
        state = "has pictures.jsonl already" if source.is_file() else "has no train.jsonl"
        raise SeedStoryError(f"{folder} {state}. Make the world in a new folder.")
    with atomic_path(target) as list_part, atomic_path(folder / "scenes" / target.name) as graphs:
        shutil.copyfile(source, list_part)
        shutil.copyfile(folder / "scenes" / source.name, graphs)
        with (
            open(list_part, "a", encoding="utf-8", newline="\n") as lists,
            open(graphs, "a", encoding="utf-8", newline="\n") as graph_file,
        ):
            for index in range(count):
                line, graph = _write_other(folder, index, seed)
                lists.write(json.dumps(line) + "\n")
                graph_file.write(json.dumps(graph) + "\n")
                if progress is not None:
                    progress(index + 1, count, "others")


def _write_other(folder: Path, index: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = random.Random(f"others/{seed}/{index}")
    scene = any_scene(rng)
    looks, freedom = mixed_looks(scene, rng), draw_freedom(rng)
    id, path = f"other_{index:06d}", f"images/others/{index // 1000:03d}/{index:06d}.png"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    save_picture(folder / path, render(scene, freedom, {**LOOKS, **looks}))
    graph = {
        "id": id,
        "scenes": [scene.to_json()],
        "freedoms": [asdict(freedom)],
        "looks": [{name: asdict(look) for name, look in looks.items()}],
    }
    return {"id": id, "images": [path], "captions": ["Somebody."]}, graph

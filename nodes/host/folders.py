"""Where worlds, stories and fonts lie under ComfyUI."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import folder_paths

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.files import atomic_folder
from ...seedstory_core.story_reader import find_stories
from ...seedstory_core.world import World, find_worlds, load_world

KEY = "seedstory"
BABBLE = "babble"
NEWEST = "(newest)"
PACK = Path(__file__).parents[2]

log = logging.getLogger(__name__)


def register_folders() -> None:
    """Make ``models/seedstory`` known, with the pack's own ``worlds/`` searched last."""
    folder_paths.add_model_folder_path(KEY, os.path.join(folder_paths.models_dir, KEY), True)
    folder_paths.add_model_folder_path(KEY, str(PACK / "worlds"))


def world_roots() -> list[Path]:
    """Folders that hold worlds, in the order they are searched."""
    own = str(PACK / "worlds")
    # extra model paths may be read after the pack: whatever the order, the pack's own come last
    return [Path(p) for p in sorted(folder_paths.get_folder_paths(KEY), key=lambda p: p == own)]


def world_choices() -> list[str]:
    """Bare names of all worlds; the one that can always be made on the spot comes last."""
    names = [name for name in find_worlds(world_roots()) if name != BABBLE]
    return [*names, BABBLE]


def open_named_world(name: str) -> World:
    """The world in the folder ``name``; ``babble`` is made where it is missing."""
    found = find_worlds(world_roots())
    if name in found:
        return load_world(found[name])
    if name == BABBLE:
        return load_world(_make_babble())
    raise SeedStoryError(
        f"There is no world {name!r}. Found: {', '.join(world_choices())}. Worlds are folders "
        f"with a world.json in {world_roots()[0]}."
    )


def _make_babble() -> Path:
    """Make the untrained world in the first place that can be written to; whole or not at all."""
    from ...seedstory_core.babble import make_world

    user = Path(folder_paths.get_user_directory()) / KEY
    for root in (world_roots()[0], user, Path(folder_paths.get_temp_directory()) / KEY):
        target = root / BABBLE
        if (target / "world.json").is_file():
            return target
        try:
            with atomic_folder(target) as making:
                make_world(making)
        except (OSError, SeedStoryError) as error:
            if (target / "world.json").is_file():  # another process was quicker
                return target
            log.info("cannot make the babbling world in %s: %s", root, error)
            continue
        log.warning("made the untrained world %s: its stories are babble", target)
        return target
    raise SeedStoryError(
        f"The world {BABBLE!r} is made on first use, but no folder can be written to. Make "
        f"{world_roots()[0]} writable, or put a world there."
    )


def stories_folder() -> Path:
    """``output/seedstory``: every story has a folder of its own in it."""
    return Path(folder_paths.get_output_directory()) / KEY


def _runs() -> list[Path]:
    """Story folders, newest first."""
    return list(find_stories(stories_folder()).values())


def story_choices() -> list[str]:
    """Names of the kept stories, newest first, led by the entry that means the newest."""
    return [NEWEST, *(folder.name for folder in _runs())]


def find_story(run: str) -> Path | None:
    """Folder of the story ``run``, None where there is none; no name leads out of the folder."""
    folders = {folder.name: folder for folder in _runs()}
    return next(iter(folders.values()), None) if run == NEWEST else folders.get(run)


def story_folder(run: str) -> Path:
    """As `find_story`, but a missing story is an error."""
    folder = find_story(run)
    if folder is None:
        raise SeedStoryError(
            f"There is no story {run!r} in {stories_folder()}. Found: "
            f"{', '.join(story_choices()[1:]) or 'none yet; tell one first'}."
        )
    return folder


def fonts_folder() -> Path:
    """``models/seedstory/fonts``: users' fonts, e.g. for Chinese, Japanese and Korean."""
    return Path(folder_paths.models_dir) / KEY / "fonts"

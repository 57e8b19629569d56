"""Story files under ComfyUI: where they are saved and found, and the workflow beside the story."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.files import atomic_write_new, disk_guard
from ...seedstory_core.types import Story

ENDINGS = (".seedstory", ".png", ".pdf", ".epub", ".cbz", ".html")
NO_FILE = "(no file yet)"  # stands in the list of an empty input folder
MAX_TRIES = 1000
EVERY, FIRST, NONE = "every picture", "first picture", "none"


def workflow_here(hidden: Any) -> dict[str, Any]:
    """What ComfyUI puts into its own PNG files; nothing with ``--disable-metadata``."""
    return _workflow(hidden.prompt, hidden.extra_pnginfo)


def running_workflow() -> dict[str, Any]:
    """The same for nodes that keep panels while they run, and have no hidden inputs: as queued."""
    from comfy_execution.utils import get_executing_context
    from server import PromptServer

    context, server = get_executing_context(), getattr(PromptServer, "instance", None)
    if context is None or server is None:
        return {}
    running = list(server.prompt_queue.currently_running.values())
    queued = next((item for item in running if item[1] == context.prompt_id), None)
    return {} if queued is None else _workflow(queued[2], queued[3].get("extra_pnginfo"))


def _workflow(prompt: Any, extra_pnginfo: Any) -> dict[str, Any]:
    from comfy.cli_args import args

    if args.disable_metadata:
        return {}
    found = {} if prompt is None else {"prompt": prompt}
    text = json.dumps(found | dict(extra_pnginfo or {}))
    # ComfyUI marks nodes that always change with NaN, which is no JSON
    return json.loads(text, parse_constant=lambda _: None)


def save_file(story: Story, prefix: str) -> Path:
    """``story`` as a story file of a new name in the output folder."""
    from ...seedstory_core.story_file import SUFFIX, pack_story

    return _new_file(prefix, SUFFIX, pack_story(story))[0]


def save_pictures(
    story: Story, pictures: Sequence[Tensor], prefix: str, carry: str, text: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Save uint8 [H, W, 3] each as a PNG with ``text`` and, as ``carry`` says, the story inside.

    Returns: what the front end shows: file name, subfolder and type of each.
    """
    from ...seedstory_core.images import encode_png
    from ...seedstory_core.story_file import embed_in_png, pack_story

    packed = None if carry == NONE else pack_story(story)
    shown = []
    for number, picture in enumerate(pictures):
        inside = packed if carry == EVERY or number == 0 else None
        path, subfolder = _new_file(prefix, ".png", embed_in_png(encode_png(picture), inside, text))
        shown.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
    return shown


def _new_file(prefix: str, ending: str, data: bytes) -> tuple[Path, str]:
    """Write a file that no other has the name of, also when two runs ask at once.

    Returns: its path, and its folder as seen from the output folder.

    Raises:
        SeedStoryError: the prefix leads out of the output folder, or no file can have this name.
    """
    root = folder_paths.get_output_directory()
    _check_prefix(prefix, root)
    with disk_guard(Path(root)):
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root)
    numbers = range(counter, counter + MAX_TRIES)
    path = atomic_write_new((Path(folder, f"{name}_{n:05}_{ending}") for n in numbers), data)
    if path is None:
        raise SeedStoryError(
            f"No free name {name}_{counter:05}_{ending} in {folder}. Choose another prefix."
        )
    return path, subfolder


def _check_prefix(prefix: str, root: str) -> None:
    """Refuse in words what ComfyUI would refuse by a bare exception, or not at all."""
    try:
        folder = os.path.join(root, os.path.dirname(os.path.normpath(prefix)))
        places = (os.path.abspath, os.path.realpath)  # one by older hosts, one by newer ones
        if not all(Path(place(folder)).is_relative_to(place(root)) for place in places):
            raise ValueError("it leads out of the output folder")
        if b"\0" in os.fsencode(prefix):
            raise ValueError("it has a NUL")
    except (OSError, ValueError) as error:  # also half a letter
        raise SeedStoryError(
            f"{prefix!r:.200} is no prefix of a file ({error}). Give a name, or folder/name."
        ) from error


def carrier_choices() -> list[str]:
    """Files in the input folder that can be or carry a story, newest first; never an empty list."""
    root = Path(folder_paths.get_input_directory())
    found = [p for p in root.iterdir() if p.suffix.lower() in ENDINGS] if root.is_dir() else []
    times = {}
    for path in filter(os.path.isfile, found):
        with contextlib.suppress(OSError):  # it may go at any time
            times[path.name] = -path.stat().st_mtime_ns
    return sorted(times, key=lambda name: times[name]) or [NO_FILE]


def carrier(name: str) -> Path:
    """The file ``name`` of the input folder, or with ``[output]`` behind it of the output folder.

    Raises:
        SeedStoryError: there is none, or the name leads out of the folder.
    """
    if name == NO_FILE:
        raise SeedStoryError("Choose a story file: drop one on the node, or use its button.")
    bare, root = folder_paths.annotated_filepath(name)
    root = Path(root or folder_paths.get_input_directory()).resolve()
    try:
        path = (root / bare).resolve()
        os.lstat(path)
    except (OSError, ValueError, RuntimeError) as error:  # no name of a file, or links in a circle
        raise SeedStoryError(
            f"There is no file {name!r:.200} in {root}. Upload it, or copy it there and press R."
        ) from error
    if not path.is_relative_to(root) or not path.is_file():
        raise SeedStoryError(
            f"There is no file {name!r:.200} in {root}. Upload it, or copy it there and press R."
        )
    return path

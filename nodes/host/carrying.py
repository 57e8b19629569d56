"""Story files under ComfyUI: where they are saved and found, and the workflow beside the story."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from torch import Tensor

from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.files import atomic_write_bytes
from ...seedstory_core.locks import writable
from ...seedstory_core.types import Story

ENDINGS = (".seedstory", ".png", ".pdf", ".epub", ".cbz", ".html")
MAX_TRIES = 1000
EVERY, FIRST, NONE = "every picture", "first picture", "none"


def workflow_here(hidden: Any) -> dict[str, Any]:
    """What ComfyUI puts into its own PNG files; nothing with ``--disable-metadata``."""
    from comfy.cli_args import args

    if args.disable_metadata:
        return {}
    found = {} if hidden.prompt is None else {"prompt": hidden.prompt}
    text = json.dumps(found | dict(hidden.extra_pnginfo or {}))
    # ComfyUI marks nodes that always change with NaN, which is no JSON
    return json.loads(text, parse_constant=lambda _: None)


def save_file(story: Story, prefix: str) -> Path:
    """``story`` as a story file of a new name in the output folder."""
    from ...seedstory_core.story_file import SUFFIX, save_story_file

    return _new_file(prefix, SUFFIX, lambda path: save_story_file(story, path))


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
        png = embed_in_png(encode_png(picture), inside, text)
        path = _new_file(prefix, ".png", lambda path, png=png: atomic_write_bytes(path, png))
        shown.append(_shown(path))
    return shown


def _shown(path: Path) -> dict[str, str]:
    place = path.parent.relative_to(Path(folder_paths.get_output_directory()).resolve())
    subfolder = "" if place == Path(".") else place.as_posix()
    return {"filename": path.name, "subfolder": subfolder, "type": "output"}


def _new_file(prefix: str, ending: str, write: Callable[[Path], object]) -> Path:
    """Write a file that no other has the name of, also when two runs ask at once."""
    root = folder_paths.get_output_directory()
    with writable(Path(root)):
        folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, root)
        for number in range(counter, counter + MAX_TRIES):
            path = Path(folder).resolve() / f"{name}_{number:05}_{ending}"
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                continue
            try:
                write(path)
            except BaseException:
                path.unlink(missing_ok=True)  # the empty file that held the name
                raise
            return path
    raise SeedStoryError(f"No free name {name}_00001_{ending} in {folder}. Choose another prefix.")


def carrier_choices() -> list[str]:
    """Files in the input folder that can be or carry a story, newest first."""
    root = Path(folder_paths.get_input_directory())
    found = [p for p in root.iterdir() if p.suffix.lower() in ENDINGS] if root.is_dir() else []
    newest = sorted((p for p in found if p.is_file()), key=lambda p: -p.stat().st_mtime_ns)
    return [path.name for path in newest]


def carrier(name: str) -> Path:
    """The file ``name`` of the input folder, or with ``[output]`` behind it of the output folder.

    Raises:
        SeedStoryError: there is none, or the name leads out of the folder.
    """
    bare, root = folder_paths.annotated_filepath(name)
    root = Path(root or folder_paths.get_input_directory()).resolve()
    path = (root / bare).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise SeedStoryError(
            f"There is no file {name!r} in {root}. Upload it, or copy it there and press R."
        )
    return path

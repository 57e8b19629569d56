"""The book press under ComfyUI: choices, where books are kept, videos for further nodes."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from torch import Tensor

from ...seedstory_core import held
from ...seedstory_core.errors import SeedStoryError
from ...seedstory_core.names import key, safe_name
from ...seedstory_core.types import Story
from ...seedstory_core.world import find_worlds, load_world
from .carrying import running_workflow
from .folders import fonts_folder, world_roots
from .pages import font_file
from .progress import Reporter

if TYPE_CHECKING:
    from ...seedstory_core.press.settings import BookSettings
    from ...seedstory_core.press.video import VideoSettings

BOOKS = "seedstory-books"
OF_TEMPLATE = "(template)"
MAX_NAME = 80
MAX_TRIES = 100_000
log = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^\w\- .]+")


def template_names() -> list[str]:
    """Names of the page templates."""
    from ...seedstory_core.press.templates import TEMPLATES

    return list(TEMPLATES)


def trim_names() -> list[str]:
    """The template's own trim size, and all known ones."""
    from ...seedstory_core.press.paper import TRIMS

    return [OF_TEMPLATE, *TRIMS]


def book_settings(template: str, trim: str, font: str, balloons: str, **more: Any) -> BookSettings:
    """Settings from the widgets of a node."""
    from ...seedstory_core.press.balloons import read_balloons
    from ...seedstory_core.press.settings import book_settings as made

    size = "" if trim == OF_TEMPLATE else trim
    chosen = font_file(font)
    return made(template, size, font=chosen, balloons=read_balloons(balloons), **more)


def left_out(story: Story, settings: BookSettings | None = None) -> list[str]:
    """A sentence on the characters that no font has, if any, to be shown on the node."""
    from ...seedstory_core.press.layout import left_out as sentence

    return list(filter(None, [sentence(story, settings, _fonts())]))


def page_batch(story: Story, settings: BookSettings | None) -> list[Tensor]:
    """All pages, uint8 [H, W, 3] each, of one size."""
    from ...seedstory_core.press.layout import lay_out
    from ...seedstory_core.press.raster import page_images

    report = Reporter(stages=2)
    book = lay_out(story, _noticed(story, settings), _fonts(), report)
    report.next_stage()
    return list(page_images(book, report))


def pressed(
    story: Story, settings: BookSettings | None, name: str, endings: Sequence[str], carry: bool
) -> list[str]:
    """Press the story in each wanted format into a folder of its own that nothing shares.

    Returns: paths in the output folder, such as ``seedstory-books/fox_00001/fox.pdf``.
    """
    from ...seedstory_core.press.formats import press
    from ...seedstory_core.story_file import pack_story, with_workflow

    check_endings(endings)
    stem = _UNSAFE.sub("_", name).strip(" .")[:MAX_NAME] or "book"
    settings = _noticed(story, settings)
    data = pack_story(with_workflow(story, running_workflow())) if carry else b""
    folder = _new_folder(stem := safe_name(stem, "book"))
    report = Reporter(stages=len(endings))
    try:
        for ending in endings:
            press(story, folder / (stem + ending), settings, None, _fonts(), data, report)
            report.next_stage()
    finally:
        if not any(folder.iterdir()):
            held.rmdir(folder)
    root = Path(folder_paths.get_output_directory())
    return [path.relative_to(root).as_posix() for path in sorted(folder.iterdir())]


def check_endings(endings: Sequence[str]) -> None:
    """At least one format is chosen."""
    if not endings:
        raise SeedStoryError("No format is chosen. Switch on at least one, such as pdf.")


def story_video(story: Story, settings: VideoSettings) -> Any:
    """A VIDEO value of the story's pictures, kept in ComfyUI's temporary folder."""
    from comfy_api.latest import InputImpl

    from ...seedstory_core.press.video import write_video

    folder = Path(folder_paths.get_temp_directory()) / "seedstory"
    path = folder / f"{secrets.token_hex(12)}.mp4"
    return InputImpl.VideoFromFile(str(write_video(story, path, settings, _fonts(), Reporter())))


def _fonts() -> Any:
    from ...seedstory_core.book.fonts import Fonts

    return Fonts(folders=(fonts_folder(),))


def _noticed(story: Story, settings: BookSettings | None) -> BookSettings:
    """Settings with what readers must know of the world, where that world is at hand."""
    from dataclasses import replace

    from ...seedstory_core.press.settings import BookSettings

    settings = settings or BookSettings()
    folder = find_worlds(world_roots()).get(story.world.name)
    if folder is None or settings.notice:
        return settings
    try:
        world = load_world(folder)
    except SeedStoryError as error:
        log.warning("book without the world's notice: %s", error)
        return settings
    same = world.ref.digest == story.world.digest
    return replace(settings, notice=world.notice) if same else settings


def _new_folder(stem: str) -> Path:
    """A folder that no other run has: making it is what reserves it."""
    root = Path(folder_paths.get_output_directory()) / BOOKS
    root.mkdir(parents=True, exist_ok=True)
    taken = {key(path.name) for path in root.iterdir()}  # "Fox" is "fox" on other systems
    for number in range(1, MAX_TRIES):
        folder = root / f"{stem}_{number:05d}"
        if key(folder.name) in taken:
            continue
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise SeedStoryError(f"{root} holds {MAX_TRIES} books named {stem!r}. Choose another name.")

"""Training data: stories in the StoryStream layout, or folders of pictures with caption files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import SeedStoryError
from ..picture_world.looks import LOOKS, Look
from ..picture_world.scene import Freedom, Scene
from ..story import check_caption
from ..strict_json import parse_json
from ..world import MAX_PATH

log = logging.getLogger(__name__)

PICTURES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff",
)  # fmt: skip
#: Pictures of other programs that are not read; they are named, not passed over.
UNREAD = (".avif", ".heic", ".heif", ".jxl", ".jp2", ".psd", ".svg", ".raw", ".tga", ".exr")
#: Folders that systems make; those whose names begin with a point are left out, too.
NOT_OURS = ("__macosx", "@eadir", "$recycle.bin")
DEEPEST = 8  # folders within one another
MAX_LINE = 4 << 20  # bytes of one story's line
MAX_STORIES = 5_000_000
MAX_CAPTION = 8000  # characters
MAX_PANELS = 100_000  # of one story


@dataclass(frozen=True)
class Tale:
    """One story: as many captions as pictures.

    Attributes:
        images: paths relative to the data's folder.
    """

    id: str
    images: tuple[str, ...]
    captions: tuple[str, ...]


class Stories:
    """The stories of one split, panels numbered through; pictures are read when asked for.

    Args:
        root: what the paths are relative to.
        name: of the split.
        scenes: file with the scene graphs of these stories, if there are any.
    """

    def __init__(
        self, root: Path, name: str, tales: tuple[Tale, ...], scenes: Path | None = None
    ) -> None:
        self.root, self.name, self.tales, self._scenes = root, name, tales, scenes
        #: The number of each story's first panel, and of all panels at the end.
        self.starts = [0]
        for tale in tales:
            self.starts.append(self.starts[-1] + len(tale.images))

    def __len__(self) -> int:
        """Panels of all stories together."""
        return self.starts[-1]

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """Of all panels."""
        return tuple(caption for tale in self.tales for caption in tale.captions)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Picture files of all panels."""
        return tuple(self.root / image for tale in self.tales for image in tale.images)

    @cached_property
    def scenes(self) -> tuple[Scene, ...] | None:
        """Scene graphs of all panels, or None if the data has none.

        Raises:
            SeedStoryError: they do not fit the stories; file and line are named.
        """
        if self._scenes is None:
            return None
        read = [Scene.from_json(value) for value in self._beside("scenes")]
        return tuple(read)

    @cached_property
    def freedoms(self) -> tuple[Freedom, ...] | None:
        """What was chosen freely in the picture of each panel, or None if that is not recorded.

        Raises:
            SeedStoryError: as for `scenes`.
        """
        if self._scenes is None:
            return None
        try:
            return tuple(Freedom(**value) for value in self._beside("freedoms"))
        except TypeError as error:
            raise SeedStoryError(f"{self._scenes}: not a freedom of a scene: {error}.") from error

    @cached_property
    def looks(self) -> tuple[Mapping[str, Look], ...]:
        """How everybody looks in the picture of each panel, the cast's own looks where not said.

        Raises:
            SeedStoryError: as for `scenes`.
        """
        if self._scenes is None:
            return (LOOKS,) * len(self)
        try:
            return tuple(_looks(value) for value in self._beside("looks", optional=True))
        except (TypeError, AttributeError) as error:
            raise SeedStoryError(f"{self._scenes}: not the looks of a scene: {error}.") from error

    def _beside(self, field: str, optional: bool = False) -> Iterator[Any]:
        assert self._scenes is not None
        count = 0
        for count, (number, line) in enumerate(_lines(self._scenes), start=1):
            where = f"{self._scenes}, line {number}"
            if count > len(self.tales):
                raise SeedStoryError(f"{where}: there are only {len(self.tales)} stories.")
            tale, values = self.tales[count - 1], line.get(field)
            if values is None and optional:
                values = [None] * len(tale.images)
            if str(line.get("id")) != tale.id:
                raise SeedStoryError(f"{where}: expected story {tale.id!r}, got {line.get('id')!r}")
            if not isinstance(values, list) or len(values) != len(tale.images):
                raise SeedStoryError(f"{where}: expected {len(tale.images)} values in {field!r}.")
            yield from values
        if count < len(self.tales):
            raise SeedStoryError(f"{self._scenes} has {count} of {len(self.tales)} stories.")


def _looks(changed: dict[str, Any] | None) -> Mapping[str, Look]:
    """`LOOKS` with those that ``changed`` has otherwise."""
    if not changed:
        return LOOKS
    return {**LOOKS, **{name: Look(**look) for name, look in changed.items()}}


def open_data(folder: Path, split: str) -> Stories:
    """A split of a StoryStream folder, or all of a plain folder of pictures.

    A plain folder has no splits: held-out figures are then of pictures that were trained on.
    """
    if any(folder.glob("*.jsonl")):
        return open_stories(folder, split)
    return open_pictures(folder)


def open_stories(folder: Path, split: str, own: bool = False) -> Stories:
    """``folder/<split>.jsonl``: ``{"id", "images": [paths], "captions": [texts]}`` on each line.

    Args:
        own: told by a model here; what it says is kept as it is, control characters included.

    Raises:
        SeedStoryError: no such file, or a line is wrong; which one and how is said.
    """
    path = folder / f"{split}.jsonl"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.jsonl"))) or "none"
        raise SeedStoryError(
            f"There is no {path}. Expected stories in the StoryStream layout; splits here: {there}."
        )
    tales = []
    for number, line in _lines(path, own):
        tales.append(_tale(line, f"{path}, line {number}", own))
        if len(tales) > MAX_STORIES:
            raise SeedStoryError(f"{path} has more than {MAX_STORIES} stories.")
    if not tales:
        raise SeedStoryError(f"{path} has no story.")
    scenes = folder / "scenes" / f"{split}.jsonl"
    return Stories(folder, split, tuple(tales), scenes if scenes.is_file() else None)


def open_pictures(folder: Path) -> Stories:
    """Pictures with a caption each in a ``.txt`` of the same name.

    Those in ``folder`` itself are one story in the order of their names; those in each folder
    below it, however deep, are a story each. Hidden files and folders are left out; what else is
    left out or doubtful is logged.

    Raises:
        SeedStoryError: no picture, or one without its caption.
    """
    if not folder.is_dir():
        raise SeedStoryError(f"There is no folder {folder}.")
    tales, places = [], list(_places(folder))
    for place in places:
        files = _files(place)
        if not files:
            continue
        images = tuple(path.relative_to(folder).as_posix() for path in files)
        captions = tuple(_caption_beside(path) for path in files)
        name = place.relative_to(folder).as_posix()
        tales.append(Tale(name if place != folder else "story", images, captions))
    if not tales:
        raise SeedStoryError(
            f"{folder} holds neither stories (train.jsonl) nor pictures "
            f"({', '.join(PICTURES)}) with captions in .txt files of the same name."
        )
    return Stories(folder, "train", tuple(tales))


def _places(folder: Path, depth: int = 0, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """``folder`` and all folders below it by name; none twice on one way, as links may lead."""
    yield folder
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir(), key=lambda path: _natural(path.name)):
        name = path.name.lower()
        if name.startswith(".") or name in NOT_OURS or not path.is_dir():
            continue
        if depth == DEEPEST:
            log.warning("%s is left out: it is more than %d folders deep.", path, DEEPEST)
        elif path.resolve() not in above:
            yield from _places(path, depth + 1, above)


def _files(place: Path) -> list[Path]:
    """The pictures in one folder, in the order of their names; what is doubtful is logged."""
    there = [path for path in place.iterdir() if not path.name.startswith(".")]
    files = [path for path in there if path.suffix.lower() in PICTURES and path.is_file()]
    files.sort(key=lambda path: _natural(path.name))
    unread = sorted(path.name for path in there if path.suffix.lower() in UNREAD)
    if unread:
        log.warning(
            "%d pictures in %s are left out, since they are not read: %s. Save them as PNG.",
            len(unread), place, ", ".join(unread[:5]),
        )  # fmt: skip
    captions: dict[str, list[str]] = {}
    for path in files:
        captions.setdefault(path.with_suffix(".txt").name, []).append(path.name)
    for caption, names in captions.items():
        if len(names) > 1:
            log.warning("%s in %s share one caption, %s.", " and ".join(names), place, caption)
    return files


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that puts 2.png before 10.png."""
    parts, run = [], ""
    for char in name.lower():
        if run and run[-1].isdecimal() != char.isdecimal():
            parts.append(run)
            run = ""
        run += char
    parts.append(run)
    return tuple((int(p) if p.isdecimal() else -1, p) for p in parts)


def _caption_beside(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    try:
        if path.stat().st_size > MAX_CAPTION * 4:
            raise SeedStoryError(f"{path} is too long for a caption.")
        text = " ".join(path.read_text(encoding="utf-8-sig").split())
    except FileNotFoundError:
        raise SeedStoryError(
            f"{picture} has no caption: expected it in {path.name} beside it."
        ) from None
    except UnicodeDecodeError as error:
        raise SeedStoryError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    return _caption(text, str(path))


def _lines(path: Path, own: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered objects of a jsonl file; empty lines are passed over."""
    with open(path, "rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                raise SeedStoryError(f"{path}, line {number} is longer than {MAX_LINE >> 20} MB.")
            if not raw.strip():
                continue
            value = parse_json(raw, f"{path}, line {number}", nul=own)
            if not isinstance(value, dict):
                raise SeedStoryError(f"{path}, line {number}: expected an object, {{...}}.")
            yield number, value


def _tale(line: dict[str, Any], where: str, own: bool = False) -> Tale:
    images, captions = (line.get(name) for name in ("images", "captions"))
    for name, values in (("images", images), ("captions", captions)):
        good = isinstance(values, list) and all(isinstance(value, str) for value in values)
        if not good or not values or len(values) > MAX_PANELS:
            raise SeedStoryError(f"{where}: expected a list of texts in {name!r}.")
    assert isinstance(images, list) and isinstance(captions, list)
    if len(images) != len(captions):
        raise SeedStoryError(
            f"{where}: expected as many captions as images, got {len(captions)} and {len(images)}."
        )
    images = [image.replace("\\", "/") for image in images]  # as Windows writes them
    for image in images:
        path = PurePosixPath(image)
        if path.is_absolute() or ".." in path.parts or ":" in image or len(image) > MAX_PATH:
            raise SeedStoryError(
                f"{where}: the image {image!r:.80} is outside of the data's folder; expected a "
                "path relative to it."
            )
    checked = tuple(_caption(" ".join(text.split()), where, own) for text in captions)
    return Tale(str(line.get("id", where)), tuple(images), checked)


def _caption(text: str, where: str, own: bool = False) -> str:
    if not text or len(text) > MAX_CAPTION:
        raise SeedStoryError(
            f"{where}: a caption has 1 to {MAX_CAPTION} characters, got {len(text)}."
        )
    if not own:
        check_caption(text, f"caption in {where}")
    return text

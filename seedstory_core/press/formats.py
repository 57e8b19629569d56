"""One call for every kind of file, chosen by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..book.fonts import Fonts
from ..errors import SeedStoryError
from ..files import atomic_batch
from ..images import encode_png
from ..story_file import embed_in_png
from ..types import Progress, Story, no_progress
from .cbz import write_cbz
from .epub import write_epub
from .layout import lay_out
from .pdf import write_pdf
from .raster import page_images
from .reader import write_reader
from .settings import BookSettings
from .sheets import Book
from .subtitles import write_subtitles
from .video import VideoSettings, write_video

Writer = Callable[[Book, Path, bytes, Progress], Path]

BOOKS: dict[str, Writer] = {
    ".pdf": write_pdf,
    ".epub": write_epub,
    ".cbz": write_cbz,
    ".html": write_reader,
}
SUBTITLES = (".srt", ".vtt")
VIDEO = ".mp4"
PAGES = ".png"
#: Every ending that can be pressed; ``.png`` is a folder of pages.
ENDINGS = (*BOOKS, PAGES, *SUBTITLES, VIDEO)


def press(
    story: Story,
    path: Path,
    settings: BookSettings | None = None,
    video: VideoSettings | None = None,
    fonts: Fonts | None = None,
    story_file: bytes = b"",
    progress: Progress = no_progress,
) -> Path:
    """Write the file that the ending of ``path`` names; without one, a folder of PNG pages.

    Args:
        story_file: the story as a ``.seedstory`` file, for the formats that carry it.

    Returns: ``path``.

    Raises:
        SeedStoryError: an unknown ending, a missing package, and all that the formats raise.
    """
    ending = path.suffix.lower()
    if ending in SUBTITLES:
        return write_subtitles(story, path, (video or VideoSettings()).pace)
    if ending == VIDEO:
        return write_video(story, path, video, fonts, progress)
    if ending and ending not in ENDINGS:
        raise SeedStoryError(
            f"Books are not pressed as {ending!r}. Name a file that ends in {', '.join(ENDINGS)}, "
            "or a folder for PNG pages."
        )
    book = lay_out(story, settings, fonts, progress)
    if ending in BOOKS:
        return BOOKS[ending](book, path, story_file, progress)
    return write_pages(book, path.with_suffix("") if ending else path, story_file, progress)


def write_pages(
    book: Book, folder: Path, story_file: bytes = b"", progress: Progress = no_progress
) -> Path:
    """Write ``001.png``, ``002.png``, ... into ``folder``, all or none.

    Pages that an earlier book has there are replaced; what killed runs left is swept.

    Args:
        story_file: the story as a ``.seedstory`` file, put into the first page alone: in each it
            would multiply the size of the book.
    """
    digits = max(3, len(str(len(book.sheets))))
    with atomic_batch() as write:
        for number, image in enumerate(page_images(book, progress), start=1):
            data = encode_png(image)
            if number == 1 and story_file:
                data = embed_in_png(data, story_file)
            write(folder / f"{number:0{digits}d}.png", data)
    return folder

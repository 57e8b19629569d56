"""CBZ: the pages as numbered PNG files in a zip, with ComicInfo.xml, for comic readers."""

from __future__ import annotations

import html
import zipfile
from pathlib import Path

from ..files import atomic_path
from ..images import encode_png
from ..story_file.archive import ATTACHMENT
from ..types import Progress, no_progress
from .epub import EPOCH
from .raster import page_images
from .sheets import Book
from .svg import clean


def write_cbz(
    book: Book, path: Path, story_file: bytes = b"", progress: Progress = no_progress
) -> Path:
    """Write ``path``, whole or not at all; comic readers pass over the story file inside."""
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
        digits = max(3, len(str(len(book.sheets))))
        for number, image in enumerate(page_images(book, progress), start=1):
            file.writestr(zipfile.ZipInfo(f"{number:0{digits}d}.png", EPOCH), encode_png(image))
        file.writestr(zipfile.ZipInfo("ComicInfo.xml", EPOCH), comic_info(book))
        if story_file:
            file.writestr(zipfile.ZipInfo(ATTACHMENT, EPOCH), story_file)
    return path


def comic_info(book: Book) -> str:
    """What comic readers show of a book (ComicInfo 2.0, the Anansi project)."""
    manga = "YesAndRightToLeft" if book.settings.template.reading == "rtl" else "No"
    author = book.settings.author
    writer = f"<Writer>{html.escape(clean(author))}</Writer>" if author else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ComicInfo>'
        f"<Title>{html.escape(clean(book.title))}</Title>{writer}"
        f"<PageCount>{len(book.sheets)}</PageCount><LanguageISO>{book.language}</LanguageISO>"
        f"<Manga>{manga}</Manga></ComicInfo>\n"
    )

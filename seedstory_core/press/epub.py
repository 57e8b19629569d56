"""EPUB 3, fixed layout: every page as XHTML with its pictures, vector text and alternative text.

Pictures carry their captions as alternative text, fonts are embedded as subsets, pages turn in the
template's direction, and a table of contents names the panels. The story file lies inside as
``story.seedstory``. Made with zipfile: an EPUB is a zip with a fixed first entry. Rules: EPUB 3.3
(W3C Recommendation), Package Metadata for Accessibility of EPUB Accessibility 1.1.
"""

from __future__ import annotations

import hashlib
import html
import uuid
import zipfile
from pathlib import Path

from ..files import atomic_path
from ..images import encode_png
from ..story import pixel_digest
from ..story_file.archive import ATTACHMENT, MEDIA_TYPE
from ..types import Progress, no_progress
from .glyphs import subsets
from .sheets import Book, Picture, Rect, Sheet
from .svg import clean, drawing

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same book is the same file
MODIFIED = "2000-01-01T00:00:00Z"  # required by the format; a book knows no time
PLAIN = "application/epub+zip"
CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles>
<rootfile full-path="EPUB/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles>
</container>
"""
STYLE = """html, body { margin: 0; padding: 0; background: #fff; }
.page { position: relative; overflow: hidden; }
.frame { position: absolute; overflow: hidden; }
.frame img { position: absolute; }
.page svg { position: absolute; left: 0; top: 0; width: 100%; height: 100%; }
"""
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n'
XHTML = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'


def write_epub(
    book: Book, path: Path, story_file: bytes = b"", progress: Progress = no_progress
) -> Path:
    """Write ``path``, whole or not at all; pages have the trim size, one unit is one point.

    Args:
        story_file: the story as a ``.seedstory`` file, put inside under `ATTACHMENT`.

    Raises:
        SeedStoryError: fontTools is not installed.
    """
    maker = EpubMaker(book)
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        _add(file, "mimetype", PLAIN.encode(), zipfile.ZIP_STORED)
        _add(file, "META-INF/container.xml", CONTAINER.encode())
        for number, sheet in enumerate(book.sheets):
            progress(number, len(book.sheets), f"page {number + 1}")
            _add(file, f"EPUB/{maker.page_name(number)}", maker.page(sheet).encode())
        for name, panel in maker.pictures().items():
            image = book.story.panels[panel].image
            assert image is not None
            _add(file, f"EPUB/{name}", encode_png(image), zipfile.ZIP_STORED)
        for number, data in enumerate(maker.fonts.values()):
            _add(file, f"EPUB/fonts/f{number}{_ending(data)}", data)
        _add(file, "EPUB/style.css", maker.style().encode())
        _add(file, "EPUB/nav.xhtml", maker.contents().encode())
        if story_file:
            _add(file, f"EPUB/{ATTACHMENT}", story_file, zipfile.ZIP_STORED)
        _add(file, "EPUB/book.opf", maker.package(bool(story_file)).encode())
    progress(len(book.sheets), len(book.sheets), path.name)
    return path


def _add(file: zipfile.ZipFile, name: str, data: bytes, way: int = zipfile.ZIP_DEFLATED) -> None:
    file.writestr(zipfile.ZipInfo(name, EPOCH), data, way)


def _ending(font: bytes) -> str:
    return ".otf" if font[:4] == b"OTTO" else ".ttf"


class EpubMaker:
    """The files of one EPUB as text."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.fonts = subsets(book.faces)
        self.faces = list(self.fonts)
        self.size = book.paper.trim
        self.title = html.escape(clean(book.title))

    def page_name(self, number: int) -> str:
        return f"page{number + 1:04d}.xhtml"

    def pictures(self) -> dict[str, int]:
        """File name -> a panel that shows the picture; equal pictures are one file."""
        found: dict[str, int] = {}
        for sheet in self.book.sheets:
            for step in sheet.steps:
                if isinstance(step, Picture):
                    found.setdefault(self._picture_name(step.panel), step.panel)
        return found

    def _picture_name(self, panel: int) -> str:
        image = self.book.story.panels[panel].image
        assert image is not None
        return f"images/{pixel_digest(image)[:24]}.png"

    def page(self, sheet: Sheet) -> str:
        """XHTML of one page."""
        width, height = self.size
        frames = [self._frame(step) for step in sheet.steps if isinstance(step, Picture)]
        art = drawing(sheet.steps, self.size, self.book.faces, self.faces)
        return (
            f'{HEAD}<html {XHTML} lang="{self.book.language}" xml:lang="{self.book.language}">\n'
            f'<head><meta charset="utf-8"/><title>{self.title}, {sheet.number}</title>\n'
            f'<meta name="viewport" content="width={round(width)}, height={round(height)}"/>\n'
            '<link rel="stylesheet" type="text/css" href="style.css"/></head>\n'
            f'<body><div class="page" style="width: {round(width)}px; height: {round(height)}px">\n'
            + "\n".join([*frames, art])
            + "\n</div></body>\n</html>\n"
        )

    def _frame(self, step: Picture) -> str:
        frame, whole = step.frame, step.whole
        alt = html.escape(clean(self.book.captions[step.panel]) or str(step.panel))
        inner = Rect(whole.x - frame.x, whole.y - frame.y, whole.w, whole.h)
        return (
            f'<div class="frame" style="{_place(frame)}"><img alt="{alt}" '
            f'src="{self._picture_name(step.panel)}" style="{_place(inner)}"/></div>'
        )

    def style(self) -> str:
        """The style sheet, with the embedded fonts."""
        rules = [
            f'@font-face {{ font-family: "f{number}"; '
            f'src: url("fonts/f{number}{_ending(data)}"); }}'
            for number, data in enumerate(self.fonts.values())
        ]
        return "\n".join([*rules, STYLE])

    def contents(self) -> str:
        """The navigation document: a line for each panel, and the list of pages."""
        items, pages = [], []
        for number, sheet in enumerate(self.book.sheets):
            name = self.page_name(number)
            pages.append(f'<li><a href="{name}">{sheet.number}</a></li>')
            for panel in sheet.panels:
                words = html.escape(clean(self.book.captions[panel])[:60]) or "\u2026"
                items.append(f'<li><a href="{name}">{panel}. {words}</a></li>')
        return (
            f'{HEAD}<html {XHTML} lang="{self.book.language}" xml:lang="{self.book.language}">\n'
            f"<head><title>{self.title}</title></head>\n<body>\n"
            f'<nav epub:type="toc"><h1>{self.title}</h1><ol>{"".join(items)}</ol></nav>\n'
            f'<nav epub:type="page-list" hidden=""><ol>{"".join(pages)}</ol></nav>\n'
            "</body>\n</html>\n"
        )

    def package(self, with_story: bool) -> str:
        """The package document: metadata, files, order of pages."""
        book = self.book
        items = [
            '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
            '<item id="style" href="style.css" media-type="text/css"/>',
        ]
        for number, name in enumerate(self.pictures()):
            cover = ' properties="cover-image"' if number == 0 else ""
            items.append(f'<item id="i{number}" href="{name}" media-type="image/png"{cover}/>')
        for number, data in enumerate(self.fonts.values()):
            kind = _ending(data)
            items.append(
                f'<item id="f{number}" href="fonts/f{number}{kind}" media-type="font/{kind[1:]}"/>'
            )
        if with_story:
            items.append(f'<item id="story" href="{ATTACHMENT}" media-type="{MEDIA_TYPE}"/>')
        spine = []
        for number, sheet in enumerate(book.sheets):
            art = any(not isinstance(step, Picture) for step in sheet.steps)
            kind = ' properties="svg"' if art else ""
            items.append(
                f'<item id="p{number}" href="{self.page_name(number)}" '
                f'media-type="application/xhtml+xml"{kind}/>'
            )
            spine.append(f'<itemref idref="p{number}"/>')
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<package version="3.0" unique-identifier="id" '
            'xmlns="http://www.idpf.org/2007/opf" '
            f'xml:lang="{book.language}">\n{self._metadata()}\n<manifest>\n'
            + "\n".join(items)
            + "\n</manifest>\n"
            f'<spine page-progression-direction="{book.settings.template.reading}">\n'
            f"{''.join(spine)}\n</spine>\n</package>\n"
        )

    def _metadata(self) -> str:
        book = self.book
        seed = hashlib.sha256(
            "".join([book.title, *(panel.uid for panel in book.story.panels)]).encode(
                "utf-8", "replace"
            )
        ).digest()
        name = uuid.UUID(bytes=seed[:16], version=4)
        author = html.escape(clean(book.settings.author))
        accessible = {
            "accessMode": ("visual", "textual"),
            "accessModeSufficient": ("visual,textual", "textual"),
            "accessibilityFeature": ("alternativeText", "tableOfContents", "pageNavigation"),
            "accessibilityHazard": ("none",),
            "accessibilitySummary": ("Every picture carries its caption as alternative text.",),
        }
        return "\n".join(
            [
                '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">',
                f'<dc:identifier id="id">urn:uuid:{name}</dc:identifier>',
                f"<dc:title>{self.title}</dc:title><dc:language>{book.language}</dc:language>",
                f"<dc:creator>{author}</dc:creator>" if author else "",
                f'<meta property="dcterms:modified">{MODIFIED}</meta>',
                '<meta property="rendition:layout">pre-paginated</meta>',
                '<meta property="rendition:orientation">auto</meta>',
                '<meta property="rendition:spread">auto</meta>',
                *(
                    f'<meta property="schema:{name}">{value}</meta>'
                    for name, values in accessible.items()
                    for value in values
                ),
                "</metadata>",
            ]
        )


def _place(box: Rect) -> str:
    return f"left: {box.x:.2f}px; top: {box.y:.2f}px; width: {box.w:.2f}px; height: {box.h:.2f}px"

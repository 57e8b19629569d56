"""PDF: read back by other programs than the one that wrote it (PDFium, pypdf)."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seedstory_core.book.fonts import Fonts
from seedstory_core.errors import SeedStoryError
from seedstory_core.images import enlarge, to_pil
from seedstory_core.press import extras
from seedstory_core.press.layout import lay_out
from seedstory_core.press.pdf import write_pdf
from seedstory_core.press.raster import page_images
from seedstory_core.press.settings import BookSettings
from seedstory_core.types import Story

pytest.importorskip("fpdf", reason="not found: fpdf2 (pip install fpdf2 uharfbuzz)")
pytest.importorskip("uharfbuzz", reason="not found: uharfbuzz")
pdfium = pytest.importorskip("pypdfium2", reason="not found: pypdfium2 (the test extra)")
pypdf = pytest.importorskip("pypdf", reason="not found: pypdf (the test extra)")

Make = Callable[..., Story]
Small = Callable[..., BookSettings]
CAPTIONS = ("The fox found a kite on the hill.", "\u201cCome!\u201d <b>said</b> & the hen.")


def test_text_boxes_and_attachment(make: Make, small: Small, tmp_path: Path) -> None:
    settings = small(bleed=3, title="A & B", author="N.", language="en-GB")
    path = write_pdf(lay_out(make(*CAPTIONS), settings), tmp_path / "b.pdf", b"PK the story")
    document = pdfium.PdfDocument(path.read_bytes())
    texts = [" ".join(page.get_textpage().get_text_range().split()) for page in document]
    assert "A & B" in texts[0]
    assert texts[1].startswith(CAPTIONS[0]) and texts[2].startswith(CAPTIONS[1])
    mm = 72 / 25.4
    for page in document:
        assert page.get_mediabox() == pytest.approx((0, 0, 96 * mm, 126 * mm), abs=0.02)
        assert page.get_bleedbox() == pytest.approx(page.get_mediabox(), abs=0.02)
        trim = (3 * mm, 3 * mm, 93 * mm, 123 * mm)
        assert page.get_trimbox() == pytest.approx(trim, abs=0.02)
    assert document.count_attachments() == 1
    attached = document.get_attachment(0)
    assert attached.get_name() == "story.seedstory"
    assert bytes(attached.get_data()) == b"PK the story"
    document.close()
    reader = pypdf.PdfReader(io.BytesIO(path.read_bytes()))
    assert reader.metadata.title == "A & B" and reader.metadata.author == "N."
    assert reader.trailer["/Root"]["/Lang"] == "en-GB"


def test_fonts_are_embedded_as_subsets(make: Make, small: Small, tmp_path: Path) -> None:
    path = write_pdf(lay_out(make(*CAPTIONS), small()), tmp_path / "b.pdf")
    reader = pypdf.PdfReader(path)
    fonts = {
        font["/BaseFont"]: font["/DescendantFonts"][0]["/FontDescriptor"]
        for page in reader.pages
        for font in (item.get_object() for item in page["/Resources"]["/Font"].values())
    }
    assert fonts
    for name, descriptor in fonts.items():
        assert name[7:8] == "+", "a subset's name begins with six letters and a plus"
        files = [key for key in ("/FontFile2", "/FontFile3") if key in descriptor]
        assert files and len(descriptor[files[0]].get_data()) < 100_000


def test_pictures_carry_their_captions(make: Make, small: Small, tmp_path: Path) -> None:
    reader = pypdf.PdfReader(write_pdf(lay_out(make(*CAPTIONS), small()), tmp_path / "b.pdf"))
    found: list[str] = []

    def walk(node: object) -> None:
        item = node.get_object() if hasattr(node, "get_object") else node
        if isinstance(item, dict):
            found.extend(str(item["/Alt"]) for _ in [0] if "/Alt" in item)
            walk(item.get("/K", []))
        elif isinstance(item, list):
            for child in item:
                walk(child)

    walk(reader.trailer["/Root"]["/StructTreeRoot"])
    assert set(CAPTIONS) <= set(found)


@pytest.mark.parametrize("template", ["comic", "picture book"])
def test_pdf_and_page_pictures_look_alike(
    template: str, make: Make, small: Small, tmp_path: Path
) -> None:
    settings = small(template, "90 x 90 mm", bleed=3, dpi=72, quotes=True)
    story = make(*CAPTIONS, "Night. BANG!")
    quarters = torch.tensor([[[200, 30, 30], [30, 150, 30]], [[30, 30, 190], [210, 190, 90]]])
    image = enlarge(quarters.to(torch.uint8), 12)
    story = replace(story, panels=tuple(replace(p, image=image) for p in story.panels))
    book = lay_out(story, settings)
    document = pdfium.PdfDocument(write_pdf(book, tmp_path / "b.pdf").read_bytes())
    assert len(document) == len(book.sheets)
    for page, image in zip(document, page_images(book), strict=True):
        drawn = np.asarray(page.render(scale=1).to_pil().convert("L").resize((48, 48)), float)
        ours = np.asarray(to_pil(image).convert("L").resize((48, 48)), float)
        error = np.abs(drawn - ours)
        assert error.mean() < 4, (error.mean(), error.max())
    document.close()


def test_chinese_and_latin_in_one_line(make: Make, small: Small, tmp_path: Path) -> None:
    caption = "The fox \u72d0\u72f8 said \u4f60\u597d."
    try:
        Fonts().choose(caption)
    except SeedStoryError:
        pytest.skip("not found: a CJK font (apt install fonts-noto-cjk)")
    path = write_pdf(lay_out(make(caption), small(title_page=False)), tmp_path / "b.pdf")
    document = pdfium.PdfDocument(path.read_bytes())
    text = " ".join(document[0].get_textpage().get_text_range().split())
    document.close()
    assert caption in text
    assert path.stat().st_size < 200_000


def test_hebrew_stands_right_and_can_be_searched(make: Make, small: Small, tmp_path: Path) -> None:
    caption = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
    try:
        Fonts().choose(caption)
    except SeedStoryError:
        pytest.skip("not found: a font with Hebrew letters")
    path = write_pdf(lay_out(make(caption), small(title_page=False)), tmp_path / "b.pdf")
    document = pdfium.PdfDocument(path.read_bytes())
    page = document[0].get_textpage()
    assert "\u05e9\u05dc\u05d5\u05dd" in page.get_text_range()
    boxes = [page.get_charbox(n) for n in range(page.count_chars())]
    text = page.get_text_range()
    first, last = (boxes[text.index(char)][0] for char in ("\u05e9", "\u05dd"))
    document.close()
    assert first > last, "the first letter stands at the right"


def test_hostile_captions_are_text(make: Make, small: Small, tmp_path: Path) -> None:
    nasty = ") Tj ET /JS (app.alert(1)) endstream endobj \\ ((( %PDF \x00 **bold** __u__"
    path = write_pdf(lay_out(make(nasty), small(title=nasty, author=nasty)), tmp_path / "b.pdf")
    document = pdfium.PdfDocument(path.read_bytes())
    text = " ".join(document[1].get_textpage().get_text_range().split())
    document.close()
    assert "/JS (app.alert(1))" in text and "**bold** __u__" in text
    root = pypdf.PdfReader(path).trailer["/Root"]
    assert not isinstance(root.get("/OpenAction"), dict), "a place to open at, no action"
    assert "/AA" not in root and b"/JavaScript" not in path.read_bytes()


def test_a_missing_package_is_named(
    make: Make, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", absent)
    with pytest.raises(SeedStoryError, match="pip install uharfbuzz"):
        write_pdf(lay_out(make("a"), small()), tmp_path / "b.pdf")
    assert not list(tmp_path.iterdir())

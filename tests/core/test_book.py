"""Pages and the reading page: every size, every script, hostile captions."""

from __future__ import annotations

import html.parser
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from seedstory_core.book import cmap, page, text
from seedstory_core.book.fonts import SHIPPED, Face, Fonts, font_files, system_folders
from seedstory_core.book.html import write_html
from seedstory_core.book.letters import printable
from seedstory_core.errors import SeedStoryError
from seedstory_core.images import enlarge, to_pil
from seedstory_core.types import Panel, Story, WorldRef

CARD = torch.tensor([0xFF, 0xFD, 0xF8], dtype=torch.uint8)
CJK = (  # Japanese: "A little fox sat on the hill... Where shall I go tonight?"
    "\u5c0f\u3055\u306a\u72d0\u306f\u4e18\u306e\u4e0a\u306b\u5ea7\u308a\u3001\u9759\u304b"
    "\u306a\u6708\u3092\u898b\u4e0a\u3052\u3066\u3044\u307e\u3057\u305f\u3002\u300c\u4eca"
    "\u591c\u306f\u3069\u3053\u3078\u884c\u3053\u3046\u304b\uff1f\u300d\u3068\u8a00\u3063"
    "\u305f\u3002"
)


def picture(height: int = 64, width: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height + width)
    return torch.randint(0, 200, (height, width, 3), generator=generator, dtype=torch.uint8)


def story(*captions: str, image: torch.Tensor | None = None) -> Story:
    image = picture() if image is None else image
    panels = tuple(Panel(c, c, "told", image=image, uid=str(i)) for i, c in enumerate(captions))
    return Story(panels, "toy", WorldRef("w<orld>", "d"), "A <b>run</b> & more")


def cjk_fonts() -> None:
    found = [path for path in font_files(system_folders()) if "CJK" in path.name]
    if not found:
        pytest.skip("not found: a CJK font (apt install fonts-noto-cjk)")


def holds(sheet: torch.Tensor, part: torch.Tensor) -> bool:
    """Whether ``part`` appears in ``sheet`` pixel for pixel."""
    height, width = part.shape[:2]
    rows = (sheet[:, :, 0] == part[0, 0, 0]).nonzero()
    for y, x in rows.tolist():
        if torch.equal(sheet[y : y + height, x : x + width], part):
            return True
    return False


@pytest.mark.parametrize(("name", "count"), [("grid", 2), ("strip", 2), ("single", 5)])
def test_all_pages_have_one_size(name: str, count: int) -> None:
    captions = ["short", "a much longer caption " * 8, "", "fourth", "fifth"]
    sheets = page.pages(story(*captions), page.LAYOUTS[name])
    assert len(sheets) == count
    assert len({tuple(sheet.shape) for sheet in sheets}) == 1
    assert all(sheet.dtype == torch.uint8 for sheet in sheets)


def test_small_pictures_grow_pixel_for_pixel() -> None:
    sheet = page.pages(story("one"), page.Single())[0]
    grown = picture().repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert holds(sheet, grown)


@pytest.mark.parametrize(("columns", "width"), [(2, 0), (1, 0), (2, 900), (3, 1100), (1, 300)])
def test_enlarged_pixel_art_stays_pixel_exact(columns: int, width: int) -> None:
    art = enlarge(picture(), 8)
    layout = page.Grid(columns, 1, largest=400 if columns == 1 else 768)
    told = story("one", "two", image=art)
    cell = page._measure(told, layout, width).cell
    assert cell[0] == cell[1] and cell[0] % 64 == 0
    sheet = page.pages(told, layout, width)[0]
    assert holds(sheet, enlarge(picture(), cell[0] // 64))
    assert not width or sheet.shape[1] == width


def test_large_pictures_shrink_and_captions_stay_readable() -> None:
    sheet = page.pages(story("one", image=picture(2000, 3000)), page.Grid(1, 1, largest=600))[0]
    assert 600 <= sheet.shape[1] < 700


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (480, 640), (2048, 2048), (3, 900), (900, 3)])
@pytest.mark.parametrize("width", [0, 300, 2000])
def test_letters_keep_their_share_of_the_page(size: tuple[int, int], width: int) -> None:
    measures = page._measure(story("one", image=picture(*size)), page.Single(), width)
    assert measures.font >= 14
    assert 0.035 <= measures.font / measures.cell[0] <= 0.1


@pytest.mark.parametrize("width", [200, 777, 1500])
def test_the_page_is_as_wide_as_asked(width: int) -> None:
    assert page.pages(story("one", "two"), page.Grid(2, 1), width)[0].shape[1] == width


@pytest.mark.parametrize("width", [-5, 10, 100_000])
def test_impossible_widths_are_refused(width: int) -> None:
    with pytest.raises(SeedStoryError, match="cannot hold 4 columns"):
        page.pages(story("one"), page.Strip(), width)


def test_an_empty_story_has_no_page() -> None:
    with pytest.raises(SeedStoryError, match="no panel yet"):
        page.pages(story(), page.Grid())
    with pytest.raises(SeedStoryError, match="1 to 12 columns"):
        page.Grid(0)


def test_unpainted_panels_have_their_place() -> None:
    half = story("one", "two")
    half = replace(half, panels=(half.panels[0], replace(half.panels[1], image=None)))
    assert (
        page.pages(half, page.Grid(2, 1))[0].shape
        == page.pages(story("one", "two"), page.Grid(2, 1))[0].shape
    )


def setter(sample: str, size: int = 20) -> text.Setter:
    return text.Setter(Fonts().choose(sample), size)


def test_lines_fit_and_lose_no_word() -> None:
    sample = "The quick brown fox jumps over the lazy dog, again and again and again. " * 5
    lines = setter(sample).wrap(sample.strip(), 300, 100)
    assert all(setter(sample).width(line) <= 300 for line in lines)
    assert " ".join(lines) == sample.strip()


def test_very_long_words_are_broken() -> None:
    word = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3
    lines = setter(word).wrap(f"a {word} b", 200, 100)
    assert all(setter(word).width(line) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == f"a{word}b"


def test_cut_text_ends_in_an_ellipsis() -> None:
    lines = setter("word …").wrap("word " * 500, 200, 3)
    assert len(lines) == 3 and lines[-1].endswith("word…")
    assert setter("word …").width(lines[-1]) <= 200


@pytest.mark.parametrize(
    ("sample", "pieces"),
    [
        ("ab cd", ["ab ", "cd"]),
        ("well-known/thing", ["well-", "known/", "thing"]),
        ("\u6f22\u5b57\u3002", ["\u6f22", "\u5b57\u3002"]),
        ("\u300c\u6f22\u5b57\u300d", ["\u300c\u6f22", "\u5b57\u300d"]),
        ("\u30ad\u30e3\u30e9\u30fc", ["\u30ad\u30e3", "\u30e9\u30fc"]),
        ("ab\u6f22 cd", ["ab", "\u6f22 ", "cd"]),
        ("\uc61b\ub0a0 \uc61b\uc801\uc5d0", ["\uc61b\ub0a0 ", "\uc61b\uc801\uc5d0"]),
        ("e\u0301x", ["e\u0301x"]),
        ("", []),
    ],
)
def test_where_lines_may_break(sample: str, pieces: list[str]) -> None:
    assert list(text.units(sample)) == pieces


def test_kinsoku_on_every_width() -> None:
    cjk_fonts()
    for width in range(60, 400, 17):
        lines = setter(CJK).wrap(CJK, width, 100)
        assert "".join(lines) == CJK
        assert not any(line[0] in text.NO_START for line in lines)
        assert not any(line[-1] in text.NO_END for line in lines[:-1])


def test_control_characters_and_emoji_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    nasty = (
        "a\x00b\x1b[31m\u202e c\ufeff\u200b \U0001f469\u200d\U0001f469\u200d\U0001f467"
        " \U0010ffff \ue000 end\r\n\n\n\nnext"
    )
    assert "\x00" not in printable(nasty) and "\u200b" not in printable(nasty)
    sheet = page.pages(story(nasty), page.Single())[0]
    assert sheet.shape[0] > 400
    plain = setter("a end").visible(printable("a \U0001f98a end"))
    assert plain in ("a end", "a \U0001f98a end")


@pytest.mark.parametrize(
    "caption", ["", " ", "\n\n", "x" * 100_000, "\u6f22" * 50, "word " * 20_000]
)
def test_odd_captions_make_bounded_pages(caption: str) -> None:
    if "\u6f22" in caption:
        cjk_fonts()
    sheet = page.pages(story(caption), page.Single())[0]
    assert sheet.shape[0] < 2500


def test_the_shipped_font_is_small_and_covers_europe() -> None:
    assert SHIPPED.stat().st_size < 500_000
    assert (SHIPPED.parent / "OFL.txt").read_text().count("OPEN FONT LICENSE")
    face = Face(SHIPPED)
    for sample in (
        "Größe façade œuvre \u0141ód\u017a \u0130stanbul \u010capek – “quotes” … €",
        "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1",
        "\u041f\u0440\u0438\u0432\u0435\u0442",
    ):
        assert all(face.has(char) for char in sample), sample
    assert not face.has("\u6f22") and not face.has("\U0010fffd")


def test_cmap_agrees_with_the_renderer() -> None:
    """A character the map has draws something else than the box of a missing one."""
    face = Face(SHIPPED)
    blank = face.at(40).getmask("\U0010fffd").getbbox(), bytes(face.at(40).getmask("\U0010fffd"))
    for char in "AzÄ€\u0416\u03a9":
        assert face.has(char)
        mask = face.at(40).getmask(char)
        assert (mask.getbbox(), bytes(mask)) != blank


def test_han_letters_come_from_the_language_of_the_text() -> None:
    cjk_fonts()

    def family(sample: str) -> str:
        face = Fonts().choose(sample)[sample[0]]
        return str(face.at(16).getname()[0])

    assert family("\u76f4\u3059\u3001\u3067\u3059\u306d").endswith("JP")
    assert family("\u76f4\u63a5\u7684").endswith("SC")


def test_missing_letters_name_the_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("seedstory_core.book.fonts.system_folders", lambda: [])
    with pytest.raises(SeedStoryError, match=r"Japanese|Han.*Noto Serif CJK") as error:
        page.pages(story("\u72d0"), page.Single(), fonts=Fonts((tmp_path / "fonts",)))
    assert str(tmp_path / "fonts") in str(error.value) and "U+72D0" in str(error.value)
    with pytest.raises(SeedStoryError, match="Thai"):
        Fonts().choose("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35")
    with pytest.raises(SeedStoryError, match="Arabic"):
        Fonts().choose("\u0645\u0631\u062d\u0628\u0627")


def test_the_users_fonts_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cjk_fonts()
    source = next(p for p in font_files(system_folders()) if p.name == "NotoSerifCJK-Bold.ttc")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.ttc").symlink_to(source)
    monkeypatch.setattr("seedstory_core.book.fonts.system_folders", lambda: [])
    chosen = Fonts((tmp_path,)).choose("fox \u72d0")
    assert chosen["\u72d0"].path.name == "mine.ttc" and chosen["f"].path == SHIPPED
    assert Fonts(chosen=source).choose("fox")["f"].path == source


@pytest.mark.parametrize(
    "data",
    [b"", b"OTTO", b"ttcf\x00\x01\x00\x00\xff\xff\xff\xff", bytes(99)],
    ids=["empty", "tag", "faces", "zeros"],
)
def test_files_that_are_no_fonts(tmp_path: Path, data: bytes) -> None:
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(data)
    assert not any(cmap.face_ranges(bad))
    with pytest.raises(SeedStoryError, match="is not a font"):
        Fonts(chosen=bad).choose("a")
    assert Fonts((tmp_path,)).choose("a")["a"].path == SHIPPED
    cut = tmp_path / "cut.ttf"
    cut.write_bytes(SHIPPED.read_bytes()[:3000])
    cmap.face_ranges(cut)


def test_right_to_left_lines_stand_right() -> None:
    sample = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
    try:
        faces = Fonts().choose(sample)
    except SeedStoryError:
        pytest.skip("not found: a font with Hebrew letters, or Pillow with libraqm")
    assert text.right_to_left(sample) and not text.right_to_left("12 fox")
    assert text.Setter(faces, 20).width(sample) > 0
    sheet = page.pages(story(sample), page.Single())[0]
    band = (sheet[-60:-10, :, 0] < 128).any(0).nonzero()
    assert band.min() > sheet.shape[1] / 2, "ink stands on the right"


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))


def read(path: Path) -> tuple[Reader, str]:
    reader = Reader()
    content = path.read_text(encoding="utf-8")
    reader.feed(content)
    return reader, content


def test_the_reading_page_names_its_pictures(tmp_path: Path) -> None:
    told = story("one", "two")
    half = replace(told, panels=(told.panels[0], replace(told.panels[1], image=None)))
    reader, content = read(write_html(half, tmp_path, "It babbles."))
    assert [str(image["src"]).split("?")[0] for image in reader.images] == ["panels/000.png"]
    assert "not painted yet" in content and "It babbles." in content and "1 of 2 painted" in content
    assert reader.images[0]["class"] == "pixels" and "script" not in reader.tags
    assert reader.images[0]["style"] == "--own: 64px"


def test_the_reading_page_shows_enlarged_pixel_art_by_its_own_size(tmp_path: Path) -> None:
    art, photo = enlarge(picture(), 8), picture(512, 512)
    told = story("one", "two", image=art)
    mixed = replace(told, panels=(told.panels[0], replace(told.panels[1], image=photo)))
    reader, _ = read(write_html(mixed, tmp_path))
    drawn, other = reader.images
    assert (drawn["class"], drawn["style"], drawn["width"]) == ("pixels", "--own: 64px", "512")
    assert "class" not in other and "style" not in other


def test_captions_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    nasty = '"><script>alert(1)</script><img src=x onerror=1>\x00\x1b &amp; </style>'
    reader, content = read(write_html(replace(story(nasty), closing=nasty), tmp_path, nasty))
    assert "script" not in reader.tags and len(reader.images) == 1
    assert reader.tags.count("style") == 1 and "\x00" not in content
    assert str(reader.images[0]["alt"]).startswith('"><script>')
    assert "A &lt;b&gt;run" in content and "w&lt;orld&gt;" in content


def test_a_repainted_picture_is_fetched_again(tmp_path: Path) -> None:
    first, _ = read(write_html(story("one"), tmp_path))
    second, _ = read(write_html(story("one", image=picture(64, 65)), tmp_path))
    assert first.images[0]["src"] != second.images[0]["src"]


def test_pages_are_pictures(tmp_path: Path) -> None:
    to_pil(page.pages(story("one"), page.Single())[0]).save(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        assert image.mode == "RGB"

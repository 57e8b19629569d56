"""The HTML reader in a real browser: keys, touch, dark mode, no network, hostile captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page
from support.front_end import Chrome

from seedstory_core.press.formats import press
from seedstory_core.press.settings import book_settings
from seedstory_core.types import Panel, Story, WorldRef

pytestmark = pytest.mark.browser

NASTY = '"><script>window.hit = 1</script><img src=x onerror="window.hit = 1"> &amp;'
TOLD = NASTY + " So said the fox, and nobody minded."  # with quotes, its first part is a balloon
CAPTIONS = ("The fox sat on the hill.", TOLD, 'The hen came by. "Come with me, my friend!"')


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("fontTools", reason="not found: fontTools (pip install fonttools)")
    panels = tuple(
        Panel(text, text, "told", image=torch.full((40, 60, 3), 70 * n, dtype=torch.uint8))
        for n, text in enumerate(CAPTIONS)
    )
    story = Story(panels, "toy", WorldRef("w", "d"), "run", closing="The end.")
    settings = book_settings("single", title=NASTY, author="A. Nonym", quotes=True)
    path = tmp_path_factory.mktemp("reader") / "book.html"
    return press(story, path, settings, story_file=b"PK the story")


def opened(chrome: Chrome, book: Path, **context: object) -> Iterator[Page]:
    with chrome.page(**context) as page:
        page.goto(book.as_uri())
        yield page


@pytest.fixture()
def desk(chrome: Chrome, book: Path) -> Iterator[Page]:
    yield from opened(chrome, book, viewport={"width": 1000, "height": 800}, offline=True)


@pytest.fixture()
def phone(chrome: Chrome, book: Path) -> Iterator[Page]:
    yield from opened(
        chrome,
        book,
        viewport={"width": 360, "height": 640},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )


def shown(page: Page) -> list[str]:
    return page.eval_on_selector_all(
        ".panel", "all => all.filter(e => e.offsetParent !== null).map(e => e.id)"
    )


def test_keys_turn_the_panels(desk: Page) -> None:
    assert shown(desk) == ["cover"]
    for key, where in (
        ("ArrowRight", "p0"),
        ("Space", "p1"),
        ("ArrowLeft", "p0"),
        ("End", "end"),
        ("ArrowRight", "end"),
        ("PageUp", "p2"),
        ("Home", "cover"),
    ):
        desk.keyboard.press(key)
        assert shown(desk) == [where], key
    desk.click("#on")
    assert shown(desk) == ["p0"] and desk.inner_text("#place") == "2 / 5"
    desk.click("#all")
    assert shown(desk) == ["cover", "p0", "p1", "p2", "end"]


def test_nothing_in_a_caption_runs(desk: Page) -> None:
    desk.click("#all")
    assert desk.evaluate("window.hit") is None
    said = "".join(desk.locator("#p1 svg text").all_text_contents())
    assert "<script>window.hit = 1</script><img" in said
    kept = '\u2026window.hit = 1"> &amp; So said the fox, and nobody minded.'
    assert desk.inner_text("#p1 figcaption") == kept
    assert desk.get_attribute("#p1 img", "alt") == TOLD
    assert desk.inner_text("h1") == NASTY and desk.locator("script").count() == 1


def test_balloons_stand_on_the_picture(desk: Page) -> None:
    desk.click("#all")
    assert "Come with me" in " ".join(desk.locator("#p2 svg text").all_text_contents())
    frame, art = (desk.locator(f"#p2 {name}").bounding_box() for name in ("img", "svg"))
    assert frame and art and abs(frame["width"] - art["width"]) < 2
    assert abs(frame["height"] - art["height"]) < 2
    assert desk.evaluate("[...document.fonts].every(f => f.status !== 'error')")


def test_a_phone_in_the_dark(phone: Page) -> None:
    phone.click("#on")
    wide = phone.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    colour = phone.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, colour[4:-1].split(","))) < 120
    button = phone.locator("#on").bounding_box()
    assert button and button["height"] >= 44 and button["width"] >= 44
    swipe = """([from, to]) => {
      const target = document.body;
      const touch = (x) => new Touch({ identifier: 1, target, clientX: x, clientY: 300 });
      const fire = (name, x, list) => document.dispatchEvent(
        new TouchEvent(name, { touches: list, changedTouches: [touch(x)] }));
      fire("touchstart", from, [touch(from)]);
      fire("touchend", to, []);
    }"""
    phone.evaluate(swipe, [300, 100])
    assert shown(phone) == ["p1"]
    phone.evaluate(swipe, [100, 300])
    assert shown(phone) == ["p0"]


def test_without_scripts_it_scrolls(chrome: Chrome, book: Path) -> None:
    for page in opened(chrome, book, java_script_enabled=False):
        assert page.locator(".panel").count() == 5 and page.locator("nav").is_hidden()
        assert page.locator("#p2").is_visible()


def test_the_story_can_be_saved(desk: Page, tmp_path: Path) -> None:
    desk.keyboard.press("End")
    with desk.expect_download() as started:
        desk.click("a.save")
    started.value.save_as(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == b"PK the story"

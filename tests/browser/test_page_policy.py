"""Pages that lie in story folders and books, opened from the disk and from a server: their pictures
are seen, and nothing else that somebody may have slipped in does anything."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.front_end import Chrome

from seedstory_core.book.html import write_html
from seedstory_core.images import encode_png
from seedstory_core.press.formats import press
from seedstory_core.press.settings import book_settings
from seedstory_core.types import Panel, Story, WorldRef

pytestmark = pytest.mark.browser

#: As if a later fault let it through: script, handler, form, base, frame, picture from elsewhere.
SLIPPED = """<base href="ELSEWHERE/"><script>window.hit = 1</script>
<img id="far" src="ELSEWHERE/a.png" onerror="window.hit = 2">
<link rel="stylesheet" href="ELSEWHERE/a.css">
<form id="form" action="ELSEWHERE/take"><input name="a" value="b"></form>
<iframe src="ELSEWHERE/"></iframe>
<object data="ELSEWHERE/"></object>"""


#: What browsers say of what a policy keeps out.
KEPT_OUT = "Content Security Policy"


class Server:
    """A server of files on this computer that remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        asked: list[str] = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                asked.append(format % args)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.asked = asked

    def __enter__(self) -> Server:
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("elsewhere")) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, elsewhere: Server) -> Path:
    pytest.importorskip("fontTools", reason="not found: fontTools (pip install fonttools)")
    made = tmp_path_factory.mktemp("pages")
    image = torch.full((24, 32, 3), 200, dtype=torch.uint8)
    panels = tuple(Panel(text, text, "told", image=image) for text in ("A fox.", "A hen."))
    story = Story(panels, "toy", WorldRef("w", "d"), "run", closing="The end.")
    (made / "panels").mkdir()
    for number in range(2):
        (made / "panels" / f"{number:03d}.png").write_bytes(encode_png(image))
    write_html(story, made)
    press(story, made / "reader.html", book_settings("single"))
    for name in ("index", "reader"):
        text = (made / f"{name}.html").read_text(encoding="utf-8")
        slipped = text.replace("<main>", SLIPPED.replace("ELSEWHERE", elsewhere.url) + "<main>")
        assert slipped != text
        (made / f"{name}-slipped.html").write_text(slipped, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[str]:
    with Server(folder) as server:
        yield server.url


@pytest.mark.parametrize("name", ["index", "reader"])
@pytest.mark.parametrize("way", ["disk", "server"])
def test_the_policy_lets_the_page_be_seen_and_nothing_else(
    chrome: Chrome, folder: Path, served: str, elsewhere: Server, way: str, name: str
) -> None:
    root = folder.as_uri() if way == "disk" else served
    with chrome.console.expecting(KEPT_OUT, elsewhere.url), chrome.page() as page:
        page.goto(f"{root}/{name}.html")
        widths = """async () => { const all = [...document.querySelectorAll("main img")];
            for (const one of all) { one.loading = "eager"; await one.decode(); }
            return all.map((one) => one.naturalWidth); }"""
        assert page.evaluate(widths) == [32, 32]
        paper = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(paper) == "rgb(250, 246, 238)", "the page's own style holds"
        page.goto(f"{root}/{name}-slipped.html")
        assert page.evaluate("window.hit") is None
        assert page.evaluate("document.baseURI").startswith(root), "no other base"
        page.evaluate("document.getElementById('form').submit()")
        page.wait_for_timeout(300)
        assert page.url.startswith(root) and elsewhere.asked == []


def test_without_a_policy_the_same_page_asks_elsewhere(
    chrome: Chrome, folder: Path, elsewhere: Server
) -> None:
    """So the test above sees what the policy keeps from happening."""
    text = (folder / "index-slipped.html").read_text(encoding="utf-8")
    (folder / "bare.html").write_text(text.replace("Content-Security-Policy", "x"), "utf-8")
    with chrome.console.expecting(elsewhere.url), chrome.page() as page:
        page.goto((folder / "bare.html").as_uri())
        assert page.evaluate("window.hit") == 2
        assert any("a.css" in line for line in elsewhere.asked)
    elsewhere.asked.clear()

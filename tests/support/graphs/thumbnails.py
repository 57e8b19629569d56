"""Run every example in the real front end and save a small picture of it beside the workflow.

Run in ``tests/``: ``python -m support.graphs.thumbnails`` (needs ComfyUI and Chromium). One of them
also becomes README's picture of a graph.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from ..comfy_places import find_comfy
from ..fixtures import CHROMIUM_PLACES
from ..front_end import FrontEnd, browser, front_end
from ..prompts import FOLDER, NAMES, ui_graph
from ..server import ComfyServer

SIZE = (640, 400)
GROUND = (20, 20, 20)
SHOWN, SHOWN_AS = "03-whole-story", FOLDER.parent / "docs" / "img" / "whole-story.jpg"
SHOWN_WIDTH = 1600


def make(page: FrontEnd, name: str) -> None:
    """Run one example and write its thumbnail."""
    page.load(ui_graph(name))
    problem = page.run()
    assert not problem, problem
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        page.shoot_graph(Path(file.name))
        picture = Image.open(file.name).convert("RGB")
    if name == SHOWN:
        large = picture.copy()
        large.thumbnail((SHOWN_WIDTH, SHOWN_WIDTH), Image.Resampling.LANCZOS)
        large.save(SHOWN_AS, quality=85, optimize=True)
    picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
    framed = Image.new("RGB", SIZE, GROUND)
    framed.paste(picture, ((SIZE[0] - picture.width) // 2, (SIZE[1] - picture.height) // 2))
    framed.save(FOLDER / f"{name}.jpg", quality=85, optimize=True)


def main() -> None:
    """All thumbnails, or those named on the command line."""
    comfy = find_comfy()
    chromium = next((place for place in CHROMIUM_PLACES if Path(place).is_file()), None)
    assert comfy is not None and chromium is not None
    with tempfile.TemporaryDirectory() as base:
        server = ComfyServer(comfy, Path(sys.executable), Path(base))
        try:
            server.start()
            with browser(chromium) as chrome, front_end(chrome, server, size=(2600, 1500)) as page:
                for name in sys.argv[1:] or NAMES:
                    make(page, name)
        finally:
            server.stop()


if __name__ == "__main__":
    main()

"""Texts: scripts, captions, balloons, book templates."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from seedstory_core.author import FORMATS, Card, introduced, read_script, read_script_file
from seedstory_core.book.fonts import SHIPPED, Fonts
from seedstory_core.press.balloons import Balloon, found_in, read_balloons
from seedstory_core.press.layout import lay_out
from seedstory_core.press.settings import book_settings
from seedstory_core.press.subtitles import cues, srt, vtt
from seedstory_core.press.templates import TEMPLATES, find_template
from seedstory_core.story import append, check_caption
from seedstory_core.types import Panel, Story, WorldRef

from .. import odd, prose

ENDINGS = (".txt", ".md", ".json", ".markdown", ".TXT", ".rtf", "")
CARDS = (Card("Mila", "a girl in red"), Card("The", "an article"), Card("\u72d0", "a fox"))


def drawn_story(captions: tuple[str, ...]) -> Story:
    """A story of these captions with a small picture each."""
    story = Story((), "seed-story", WorldRef("some-world", "0" * 64), "tale")
    for number, caption in enumerate(captions):
        image = torch.full((12, 16, 3), 40 * number % 256, dtype=torch.uint8)
        origin = "opening" if number == 0 else "illustrated"
        story = append(story, Panel(caption, caption, origin, image=image))
    return story


class Scripts:
    """Scripts, pasted and as files, in every format; what they say goes into captions."""

    name = "script"

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        text = prose.prose(rng)
        form = rng.choice(("auto", "auto", "auto", *FORMATS))
        if rng.random() < 0.3:
            path = folder / f"script{rng.choice(ENDINGS)}"
            coding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
            path.write_bytes(
                text.encode(
                    coding,
                    errors="surrogatepass" if "8" in coding and "utf" in coding else "replace",
                )
            )
            return lambda: _sound(read_script_file(path))
        return lambda: _sound(read_script(text, form))


def _sound(script: object) -> None:
    """What the readers of a script rely on."""
    captions, headings, title = (getattr(script, n) for n in ("captions", "headings", "title"))
    assert captions and len(captions) == len(headings)
    for caption in captions:
        assert caption == " ".join(caption.split(" ")) and "\n" not in caption
        check_caption(caption, "caption")
    for line in (*headings, title):
        line.encode()
    introduced(captions[:50], CARDS)


class Captions:
    """Captions on their way into a book: balloons, subtitles, pages."""

    name = "caption"

    def __init__(self) -> None:
        self._settings = book_settings("comic", "90 x 120 mm", dpi=40, quotes=True)
        self._fonts = Fonts(chosen=SHIPPED)

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        makers = (prose.sentence, prose.flood, prose.scrambled, prose.mixed)
        text = rng.choice(makers)(rng)[:4000]
        laid = rng.random() < 0.2

        def read() -> None:
            caption = " ".join(text.split())
            check_caption(caption, "caption")
            kept, found = found_in(0, caption)
            assert all(isinstance(one, Balloon) for one in found)
            kept.encode()
            story = drawn_story((caption or "a", "The end."))
            srt(cues(story))
            vtt(cues(story))
            if laid:
                lay_out(story, self._settings, self._fonts)

        return read


class Balloons:
    """Balloons by hand, as JSON."""

    name = "balloons"
    _sound = [{"panel": 1, "text": "Hello!", "at": [0.3, 0.15], "tail": [0.4, 0.6], "width": 0.4},
              {"panel": 0, "text": "BANG", "kind": "sound"}]  # fmt: skip

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        data = odd.mutated(rng, self._sound)
        text = odd.encoded(rng, data).decode(errors=rng.choice(("replace", "surrogateescape")))
        story, drawn = drawn_story(("A fox.", "A hare.")), rng.random() < 0.1

        def read() -> None:
            found = read_balloons(text)
            if drawn:
                settings = book_settings("comic", "90 x 120 mm", dpi=40, balloons=found)
                lay_out(story, settings, Fonts(chosen=SHIPPED))

        return read


class Templates:
    """Book templates as JSON; what is read lays out a story."""

    name = "template"

    def __init__(self) -> None:
        self._known = [asdict(template) for template in TEMPLATES.values()]
        self._known = [_listed(data) for data in self._known]
        self._known.append({"pages": [["aab", "ccb"]], "caption": "below", "columns": [1, 2.5, 1]})

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        data = rng.choice(self._known)
        if rng.random() < 0.3:
            columns = rng.randrange(14)
            rows = ["".join(rng.choices("aabbc.dz", k=columns))] * rng.randrange(14)
            data = {**data, "pages": [rows, *data["pages"]]}
        if rng.random() < 0.7:
            data = odd.mutated(rng, data)
        text = odd.encoded(rng, data).decode(errors="replace")
        trim = rng.choice(("", "", "90 x 120 mm", prose.sentence(rng), "1e999 x 2 mm", "0 x 0 mm"))
        story = drawn_story(("A fox.", "A hare comes to the river.", "They play."))
        laid = rng.random() < 0.3

        def read() -> None:
            template = find_template(text)
            if laid:
                settings = book_settings(text, trim, dpi=40)
                assert settings.template == template
                lay_out(story, settings, Fonts(chosen=SHIPPED))

        return read


def _listed(data: object) -> object:
    if isinstance(data, tuple | list):
        return [_listed(item) for item in data]
    return {k: _listed(v) for k, v in data.items()} if isinstance(data, dict) else data

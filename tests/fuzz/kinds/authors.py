"""Character cards, fonts, training data and recipes."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from PIL import Image, ImageDraw

from seedstory_core.author import Card, cards_in, cast, load_card, save_card, with_looks
from seedstory_core.book.fonts import Fonts
from seedstory_core.book.text import Setter
from seedstory_core.images import read_picture
from seedstory_core.press.formats import press
from seedstory_core.press.glyphs import subsets
from seedstory_core.press.settings import book_settings
from seedstory_core.training.adapt_data import digest_of_data, long_caption, open_series
from seedstory_core.training.data import open_data
from seedstory_core.training.recipe import read_recipe

from .. import damage, odd, pictures, prose
from .documents import drawn_story

CARD = {"format": "seedstory-character", "version": 1, "name": "Mila", "phrase": "a girl in red",
        "picture": "picture.png", "lora": "styles/mila.safetensors", "strength": 0.8}  # fmt: skip


class Cards:
    """Character cards of a library."""

    name = "card"

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        library = folder / "cards"
        card = library / rng.choice(("Mila", "Mila", "a b", ".x"))
        card.mkdir(parents=True)
        data = odd.mutated(rng, CARD) if rng.random() < 0.8 else CARD
        (card / "card.json").write_bytes(odd.encoded(rng, data))
        sound = pictures.sound()[0]
        (card / "picture.png").write_bytes(sound if rng.random() < 0.7 else pictures.picture(rng))
        names = rng.choice(("*", "*", "*", "Mila", prose.sentence(rng), "../secret.png", "\x00"))
        caption = rng.choice(("Mila runs. Mila falls.", prose.sentence(rng)))

        def read() -> None:
            cards_in(library)
            found = load_card(card)
            with_looks(caption, cast(library, names))
            save_card(folder / "others", found, replace=True)
            again = load_card(next(iter(cards_in(folder / "others").values())))
            assert (again.name, again.phrase, again.lora) == (found.name, found.phrase, found.lora)
            save_card(library, Card(found.name, "another"), replace=True)
            _ = found.character

        return read


@lru_cache(maxsize=1)
def small_fonts() -> tuple[bytes, ...]:
    """TrueType, OpenType and a collection, of a few letters each."""
    plain, outlined = _font(cubic=False), _font(cubic=True)
    both = TTCollection()
    both.fonts = [TTFont(io.BytesIO(plain)), TTFont(io.BytesIO(outlined))]
    buffer = io.BytesIO()
    both.save(buffer)
    return plain, outlined, buffer.getvalue()


def _font(cubic: bool) -> bytes:
    letters = {ord(c): f"g{ord(c)}" for c in "ABab .,!\u72d0\u0644"} | {0x1F98A: "fox"}
    order = [".notdef", *letters.values()]
    builder = FontBuilder(1000, isTTF=not cubic)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(letters)
    box = ((50, 0), (450, 0), (450, 700), (50, 700))
    if cubic:
        glyphs = {name: _drawn(T2CharStringPen(500, None), box).getCharString() for name in order}
        builder.setupCFF("Tiny", {"FullName": "Tiny"}, glyphs, {})
    else:
        builder.setupGlyf({name: _drawn(TTGlyphPen(None), box).glyph() for name in order})
    builder.setupHorizontalMetrics({name: (500, 50) for name in order})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Tiny", "styleName": "Regular", "psName": "Tiny"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    builder.setupPost()
    buffer = io.BytesIO()
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    builder.save(buffer)
    return buffer.getvalue()


def _drawn(pen, box):  # type: ignore[no-untyped-def]
    pen.moveTo(box[0])
    for point in box[1:]:
        pen.lineTo(point)
    pen.closePath()
    return pen


class FontFiles:
    """Fonts that users choose or put into a folder; what is read is drawn and cut down."""

    name = "font"

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        fonts = small_fonts()
        path = folder / rng.choice(("tiny.ttf", "tiny.otf", "tiny.ttc", "tiny.TTF"))
        data = _tables(rng, fonts[rng.randrange(2)]) if rng.random() < 0.5 else rng.choice(fonts)
        path.write_bytes(damage.damaged(rng, data, fonts) if rng.random() < 0.7 else data)
        chosen, pressed = rng.random() < 0.7, rng.random() < 0.04

        def read() -> None:
            found = Fonts(chosen=path) if chosen else Fonts(folders=(folder,))
            faces = found.choose("Ab, A!")
            setter = Setter(faces, 20)
            setter.width("Ab, A!")
            setter.draw(ImageDraw.Draw(Image.new("RGB", (100, 40))), 2, 30, "Ab, A!", "black")
            subsets(faces)
            if pressed:
                settings = book_settings("single", "60 x 80 mm", dpi=30, font=path)
                press(drawn_story(("Ab.",)), folder / "book.pdf", settings)

        return read


def _tables(rng: random.Random, font: bytes) -> bytes:
    """One table damaged, or the table of tables changed."""
    count = int.from_bytes(font[4:6], "big")
    at = 12 + 16 * rng.randrange(count)
    start, size = (int.from_bytes(font[at + i : at + i + 4], "big") for i in (8, 12))
    if rng.random() < 0.7:
        table = damage.damaged(rng, font[start : start + size])[:size].ljust(size, b"\0")
        return font[:start] + table + font[start + size :]
    number = rng.choice((*damage.NUMBERS, size + 1, start + 1)) & 0xFFFFFFFF
    field = at + rng.choice((0, 8, 12))
    return font[:field] + number.to_bytes(4, "big") + font[field + 4 :]


class TrainingData:
    """Folders of pictures with captions, and stories in the StoryStream layout."""

    name = "training"

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        root = folder / "data"
        root.mkdir()
        listed = rng.random() < 0.5
        (_stories if listed else _pairs)(rng, root)
        deep = rng.random() < 0.5

        def read() -> None:
            stories = open_series(root, None) if deep else open_data(root, "train")
            for path in stories.paths[:8]:
                read_picture(path)
            for caption in stories.captions:
                caption.encode()
            assert len(stories.captions) == len(stories.paths) == len(stories)
            if deep:
                digest_of_data(stories)
                long_caption(stories, None)
            _ = stories.scenes, stories.freedoms, stories.looks

        return read


def _pairs(rng: random.Random, root: Path) -> None:
    """Pictures and captions as other programs leave them."""
    sound = pictures.sound()
    for number in range(rng.choice((3, 6, 12))):
        ending = rng.choice((".png", ".png", ".jpg", ".webp", ".PNG", ".gif", ".tiff", ".avif"))
        stem = rng.choice(
            (f"{number}", f"panel {number}", f"._{number}", f".{number}", f"{number}.1")
        )
        below = root / rng.choice((".", ".", "a", "__MACOSX", ".cache"))
        below.mkdir(exist_ok=True)
        whole = rng.random() < 0.85
        (below / f"{stem}{ending}").write_bytes(sound[0] if whole else pictures.picture(rng))
        text = "A fox." if rng.random() < 0.8 else prose.prose(rng)[:9000]
        coding = "utf-8" if rng.random() < 0.9 else rng.choice(("utf-16", "latin-1", "utf-8-sig"))
        if rng.random() < 0.95:
            (below / f"{stem}.txt").write_bytes(text.encode(coding, errors="replace"))


def _stories(rng: random.Random, root: Path) -> None:
    """``train.jsonl``, with scenes sometimes."""
    (root / "p").mkdir()
    lines, scenes = [], []
    for number in range(rng.choice((1, 2, 4))):
        images = [f"p/{number}-{i}.png" for i in range(3)]
        for name in images:
            (root / name).write_bytes(pictures.sound()[0])
        line = {"id": f"s{number}", "images": images, "captions": ["A fox.", "A hare.", "The end."]}
        lines.append(
            odd.encoded(rng, odd.mutated(rng, line))
            if rng.random() < 0.5
            else json.dumps(line).encode()
        )
        scene = {"id": f"s{number}", "scenes": [SCENE] * 3, "freedoms": [{"mirror": True}] * 3,
                 "looks": [{}, None, {}]}  # fmt: skip
        scenes.append(odd.encoded(rng, odd.mutated(rng, scene)))
    (root / "train.jsonl").write_bytes(rng.choice((b"\n", b"\r\n", b"\n\n")).join(lines))
    if rng.random() < 0.4:
        (root / "scenes").mkdir()
        (root / "scenes" / "train.jsonl").write_bytes(b"\n".join(scenes))


SCENE = {
    "place": "meadow", "time": "day", "weather": "clear", "item": "ball",
    "actors": [{"name": "Mila", "action": "walk", "mood": "happy", "holds": None}]
}  # fmt: skip


class Recipes:
    """Recipes of a training."""

    name = "recipe"

    def __init__(self, root: Path) -> None:
        self._sound = json.loads(root.read_text(encoding="utf-8"))

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        path = folder / "recipe.json"
        path.write_bytes(odd.encoded(rng, odd.mutated(rng, self._sound)))
        return lambda: read_recipe(path)

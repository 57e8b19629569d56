"""Finds fonts that have the letters of a text: chosen ones, the shipped one, the system's."""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont, features

from ..errors import SeedStoryError
from ..weights.places import home
from .cmap import face_ranges, has
from .letters import printable, unprintable

SHIPPED = Path(__file__).parent / "fonts" / "NotoSerif-subset.ttf"
ENDINGS = (".ttf", ".otf", ".ttc")
MAX_FILES = 5000

#: First words of Unicode's character names -> (script as users call it, a font that has it).
SCRIPTS = {
    "CJK": ("Chinese or Japanese (Han)", "Noto Serif CJK"),
    "HIRAGANA": ("Japanese", "Noto Serif CJK"),
    "KATAKANA": ("Japanese", "Noto Serif CJK"),
    "IDEOGRAPHIC": ("Chinese or Japanese", "Noto Serif CJK"),
    "FULLWIDTH": ("Chinese or Japanese", "Noto Serif CJK"),
    "BOPOMOFO": ("Chinese (Bopomofo)", "Noto Serif CJK"),
    "HANGUL": ("Korean", "Noto Serif CJK"),
    "ARABIC": ("Arabic", "Noto Naskh Arabic"),
    "HEBREW": ("Hebrew", "Noto Serif Hebrew"),
    "THAI": ("Thai", "Noto Serif Thai"),
    "DEVANAGARI": ("Devanagari (Hindi)", "Noto Serif Devanagari"),
    "BENGALI": ("Bengali", "Noto Serif Bengali"),
    "TAMIL": ("Tamil", "Noto Serif Tamil"),
    "ARMENIAN": ("Armenian", "Noto Serif Armenian"),
    "GEORGIAN": ("Georgian", "Noto Serif Georgian"),
}
#: Scripts whose letters must be joined or reordered, which Pillow does through libraqm only.
SHAPED = ("ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "SYRIAC", "KHMER", "MYANMAR")
_STYLES = ("bold", "italic", "oblique", "light", "thin", "black", "mono", "condensed", "medium")
_STYLES += ("demi", "semi", "extra", "ui", "display", "math")

#: Categories of characters that nobody misses: control, joiners, marks on other letters.
UNSEEN = ("Cc", "Cf", "Cs", "Mn")
MOST_SHOWN = 8  # characters in a message

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Face:
    """One face of a font file."""

    path: Path
    index: int = 0

    def has(self, char: str) -> bool:
        return has(face_ranges(self.path)[self.index], char)

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The face at a size in pixels."""
        return _open(self.path, self.index, size)


@lru_cache(maxsize=64)
def _open(path: Path, index: int, size: float) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(path), size, index=index)
    except OSError as error:
        raise unusable([path], error) from error


def unusable(paths: Iterable[Path], error: OSError) -> SeedStoryError:
    """What to raise where a font cannot be opened, or a letter of it cannot be drawn."""
    named = ", ".join(sorted({str(path) for path in paths}))
    return SeedStoryError(f"The font {named} cannot be used ({error}). Remove it.")


@dataclass(frozen=True)
class Fonts:
    """Where letters may come from.

    Attributes:
        folders: the user's own fonts, which come before the system's.
        chosen: a font file to use wherever it has the letter.
    """

    folders: tuple[Path, ...] = ()
    chosen: Path | None = None

    def choose(self, text: str) -> dict[str, Face]:
        """A face for each character of ``text`` that can be seen.

        Emoji and unassigned characters that no font has are left out of the result.

        Raises:
            SeedStoryError: no font has some letters; says which script and how to get a font.
        """
        wanted = {char for char in text if not char.isspace()}
        found = self._found(wanted, _language(text))
        missing = {char for char in wanted - found.keys() if not ornamental(char)}
        if missing:
            raise SeedStoryError(self._advice(missing))
        dropped = wanted - found.keys()
        if dropped:
            logger.warning("no font has %s; left out", " ".join(map(_code, sorted(dropped)[:8])))
        _check_shaping(wanted)
        return found

    def left_out(self, texts: Iterable[str]) -> str:
        """A sentence on what pages leave out of ``texts``: emoji and private characters that no
        font has; "" where nothing that can be seen is missing."""
        raw = "".join(texts)
        wanted = {char for char in printable(raw, len(raw)) if not char.isspace()}
        lacking = set(unprintable(raw)) | (wanted - self._found(wanted, _language(raw)).keys())
        missing = sorted(char for char in lacking if unicodedata.category(char) not in UNSEEN)
        if not missing:
            return ""
        shown = ", ".join(f"{char} ({_code(char)})" for char in missing[:MOST_SHOWN])
        more = len(missing) - MOST_SHOWN
        return (
            f"Left out, since no font here has them: {shown}{f' and {more} more' * (more > 0)}. To "
            "print them, put a font with their outlines (for emoji: Noto Emoji, not the coloured "
            f"one) into {self._where}."
        )

    @property
    def _where(self) -> str:
        return " or ".join(str(folder) for folder in self.folders) or "a font folder"

    def _found(self, wanted: set[str], language: str) -> dict[str, Face]:
        """A face for each character of ``wanted`` that some font has."""
        found: dict[str, Face] = {}
        for face in self._faces(language):
            lacking = wanted - found.keys()
            if not lacking:
                break
            found |= {char: face for char in lacking if face.has(char)}
        return found

    def _faces(self, language: str) -> Iterator[Face]:
        if self.chosen is not None:
            if not any(face_ranges(self.chosen)):
                raise SeedStoryError(f"{self.chosen} is not a font (.ttf, .otf or .ttc).")
            yield from _ranked([self.chosen], language)
        yield Face(SHIPPED)
        yield from _ranked(font_files(self.folders), language)
        yield from _ranked(font_files(system_folders()), language)

    def _advice(self, missing: set[str]) -> str:
        char = min(missing)
        word = unicodedata.name(char, "").replace("-", " ").split(" ")[0]
        script, font = SCRIPTS.get(word, (word.title() or "rare", "Noto Sans"))
        shown = " ".join(f"{c} ({_code(c)})" for c in sorted(missing)[:5])
        return (
            f"No font here has {script} letters: {shown}. Get {font} (free: fonts.google.com/noto, "
            f"or your system's package manager) and put the .ttf, .otf or .ttc file into "
            f"{self._where}, "
            "or install it on the system."
        )


def ornamental(char: str) -> bool:
    """Emoji, their joiners, private and unassigned characters: a text is readable without them."""
    kind = unicodedata.category(char)
    return kind in ("Cf", "Co", "Cn") or (kind in ("So", "Sk", "Mn") and ord(char) > 0x2100)


def font_files(folders: Iterable[Path]) -> list[Path]:
    """Font files under ``folders``, sorted by path."""
    found: list[Path] = []
    for folder in folders:
        for root, _, names in os.walk(folder):
            found += [Path(root, name) for name in names if name.lower().endswith(ENDINGS)]
            if len(found) > MAX_FILES:
                return sorted(found[:MAX_FILES])
    return sorted(found)


def system_folders() -> list[Path]:
    """Where this system keeps fonts."""
    own = home() or Path("/")  # who has no home has no fonts there
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", own))
        windows = Path(os.environ.get("WINDIR", "C:/Windows"))
        return [windows / "Fonts", local / "Microsoft" / "Windows" / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), own / "Library" / "Fonts"]
    shared = os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":")
    data = Path(os.environ.get("XDG_DATA_HOME") or own / ".local" / "share")
    return [data / "fonts", own / ".fonts", *(Path(part, "fonts") for part in shared if part)]


def _ranked(paths: Sequence[Path], language: str) -> Iterator[Face]:
    """Faces of ``paths``: upright book weights and the text's own language first, serifs before."""

    def rank(path: Path) -> tuple[int, int, str]:
        name = path.stem.lower()
        return (sum(style in name for style in _STYLES), "serif" not in name, str(path))

    for path in sorted(paths, key=rank):
        faces = [Face(path, index) for index in range(len(face_ranges(path)))]
        if len(faces) > 1:
            faces.sort(key=lambda face: _foreign(face, language))
        yield from faces


def _foreign(face: Face, language: str) -> int:
    """0 if a collection's face is drawn for ``language``; Han letters differ between them."""
    family = str(face.at(16).getname()[0] or "")
    return ("mono" in family.lower()) * 2 + (not family.upper().endswith(language))


def _language(text: str) -> str:
    """How font families mark the language whose letter forms a text wants: JP, KR, TC or SC."""
    names = {unicodedata.name(char, "").split(" ")[0] for char in set(text)}
    if names & {"HIRAGANA", "KATAKANA"}:
        return "JP"
    if "HANGUL" in names:
        return "KR"
    return "TC" if "BOPOMOFO" in names else "SC"


def _check_shaping(chars: set[str]) -> None:
    for char in sorted(chars):
        script = unicodedata.name(char, "").split(" ")[0]
        if script in SHAPED and not features.check("raqm"):
            raise SeedStoryError(
                f"{SCRIPTS.get(script, (script.title(), ''))[0]} text needs Pillow with libraqm to "
                "join its letters. Install Pillow from PyPI, or the system's libraqm and fribidi."
            )


def _code(char: str) -> str:
    return f"U+{ord(char):04X}"

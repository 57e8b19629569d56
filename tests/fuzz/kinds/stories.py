"""Story files, story folders, and the files that carry a story."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from seedstory_core.images import decode_picture, encode_png, read_picture, to_pil
from seedstory_core.press.formats import press
from seedstory_core.press.settings import book_settings
from seedstory_core.story import append
from seedstory_core.story_file import (
    MEDIA_TYPE,
    check_story,
    embed_in_png,
    open_any,
    open_story_bytes,
    pack_story,
    read_png_text,
    unpack_story_file,
    with_workflow,
    workflow_of,
)
from seedstory_core.story_file.listing import kept_stories
from seedstory_core.story_store import keep, save_story
from seedstory_core.types import Character, Panel, Story, WorldRef

from .. import damage, odd, pdfs, pictures, tensors, zips

MANIFEST = "story.json"
WORKFLOW = {
    "workflow": {"nodes": [{"id": 1, "type": "x"}], "links": []},
    "prompt": {"1": {"class_type": "x", "inputs": {}}},
}
LINK = f"data:{MEDIA_TYPE};base64,"


def small_story() -> Story:
    """Two panels with pictures, features, a workflow, and somebody in them."""
    image = (torch.arange(8 * 8 * 3) % 251).to(torch.uint8).reshape(8, 8, 3)
    who = Character("Mila", "a girl", (image,), {"toy.features": torch.ones(2, 3)})
    story = Story((), "seed-story", WorldRef("some-world", "0" * 64), "tale", (who,))
    for number, origin in enumerate(("opening", "told")):
        features = {"toy.features": torch.arange(6.0).reshape(2, 3).half()}
        provenance: dict[str, Any] = {"engine": {"name": "toy"}, "sampling": {"seed": number}}
        panel = Panel(f"A fox {number}.", f"A fox {number}.", origin, (5, 6, 7), features,
                      image + number, 42, provenance)  # fmt: skip
        story = append(story, panel)
    return with_workflow(story, WORKFLOW)


class Sound:
    """The members of a sound story file, and files that carry it."""

    def __init__(self, place: Path) -> None:
        story = small_story()
        self.packed = pack_story(story)
        with zipfile.ZipFile(io.BytesIO(self.packed)) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(self.members[MANIFEST])
        self.png = embed_in_png(encode_png(story.panels[0].image), self.packed, WORKFLOW)  # type: ignore[arg-type]
        self.books: dict[str, bytes] = {}
        settings = book_settings("single", "90 x 120 mm", dpi=30, title_page=False)
        for ending in (".pdf", ".epub", ".cbz", ".html"):
            path = press(story, place / f"book{ending}", settings, story_file=self.packed)
            self.books[ending] = path.read_bytes()

    def tampered(self, rng: random.Random) -> dict[str, bytes]:
        """The members, some with other contents."""
        members, roll = dict(self.members), rng.random()
        if roll < 0.6:
            data = odd.mutated(rng, self.manifest)
            members[MANIFEST] = odd.encoded(rng, data)
        if roll > 0.55:
            name = rng.choice([name for name in members if name != MANIFEST])
            if name.endswith(".png"):
                members[name] = pictures.picture(rng)
            else:
                members[name] = tensors.mutated(rng, members[name])
        return members

    def file(self, rng: random.Random) -> bytes:
        """A story file of any kind of damage."""
        roll = rng.random()
        if roll < 0.45:
            return zips.packed(self.tampered(rng))
        if roll < 0.7:
            return zips.mutated(rng, self.members)
        if roll < 0.8:
            return zips.mutated(rng, self.tampered(rng))
        return damage.damaged(rng, self.packed) if roll < 0.98 else damage.noise(rng)


def used(story: Story, rng: random.Random) -> None:
    """What is done with a story that was read must work, too."""
    workflow_of(story)
    roll = rng.random()
    if roll < 0.3:
        again = open_story_bytes(pack_story(story))
        assert [p.caption for p in again.panels] == [p.caption for p in story.panels]
        assert [p.uid for p in again.panels] == [p.uid for p in story.panels]
    for panel in story.panels:
        panel.caption.encode()
        assert panel.image is None or panel.image.numel()


class StoryFiles:
    """``.seedstory``: opened, checked, unpacked, listed."""

    name = "seedstory"

    def __init__(self, sound: Sound) -> None:
        self._sound = sound

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        path = folder / "tale.seedstory"
        path.write_bytes(self._sound.file(rng))
        way = rng.randrange(6)

        def read() -> None:
            if way == 0:
                check_story(path)
            elif way == 1:
                unpack_story_file(path, folder / "unpacked")
                open_any(folder / "unpacked")
            elif way == 2:
                kept_stories(folder)
            else:
                used(open_any(path), rng)

        return read


class Folders:
    """Story folders: their manifests, files, and what lies there instead of files."""

    name = "folder"

    def __init__(self, sound: Sound) -> None:
        self._sound = sound

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        run = folder / "tale"
        members = self._sound.tampered(rng) if rng.random() < 0.8 else dict(self._sound.members)
        _write(run, members)
        if rng.random() < 0.3:
            _disturb(rng, run, rng.choice([*members, ".lock", "panels", "features"]))
        way = rng.randrange(8)

        def read() -> None:
            if way == 0:
                check_story(run)
            elif way == 1:
                kept_stories(folder)
            elif way == 2:
                save_story(run, small_story())
            elif way == 3:
                keep(folder, small_story())
            else:
                used(open_any(run), rng)

        return read


def _write(run: Path, members: Mapping[str, bytes]) -> None:
    for name, data in members.items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _disturb(rng: random.Random, run: Path, name: str) -> None:
    """Something else where a file or folder was."""
    path = run / name
    if path.is_dir():
        path.rename(run / "moved")
    else:
        path.unlink(missing_ok=True)
    roll = rng.randrange(7)
    if roll == 0:
        path.mkdir()
    elif roll == 1:
        os.mkfifo(path)
    elif roll == 2:
        path.symlink_to("../../../../secret.png")
    elif roll == 3:
        path.symlink_to(path.name)
    elif roll == 4:
        path.symlink_to("/dev/zero")
    elif roll == 5:
        path.write_bytes(b"")


class PngCarriers:
    """PNGs that carry a story and a workflow."""

    name = "png"

    def __init__(self, sound: Sound) -> None:
        self._sound, self._chunks = sound, pictures.chunks(sound.png)

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        roll = rng.random()
        if roll < 0.35:
            data = pictures.png(rng, self._chunks)
        elif roll < 0.65:
            inner = self._sound.file(rng)
            parts = [(kind, inner if kind == b"stRy" else part) for kind, part in self._chunks]
            data = pictures.SIGNATURE + b"".join(pictures.chunk(k, d) for k, d in parts)
        else:
            data = damage.damaged(rng, self._sound.png, [self._sound.packed])
        path = folder / rng.choice(("page.png", "page.png", "page.PNG", "page.jpg", "page"))
        path.write_bytes(data)

        def read() -> None:
            if roll > 0.9:
                embed_in_png(data, self._sound.packed, read_png_text(data))
            else:
                used(open_any(path), rng)

        return read


class Pages:
    """HTML pages with a story in a link."""

    name = "html"

    def __init__(self, sound: Sound) -> None:
        self._sound = sound

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        path = folder / "book.html"
        path.write_bytes(self._page(rng))
        return lambda: used(open_any(path), rng)

    def _page(self, rng: random.Random) -> bytes:
        whole, roll = self._sound.books[".html"], rng.random()
        if roll < 0.25:
            return damage.damaged(rng, whole)
        letters = base64.b64encode(self._sound.file(rng) if roll < 0.7 else self._sound.packed)
        if roll > 0.6:
            blank = rng.choice((b" ", b"\n", b"\t\r\n", b"=", b"\0", b"-_", b"%0A", b"&#10;"))
            at = rng.randrange(len(letters) + 1)
            letters = letters[:at] + blank * rng.choice((1, 5, 5000, 500_000)) + letters[at:]
        if roll > 0.85:
            letters = damage.damaged(rng, letters)
        link = LINK.encode() * rng.choice((1, 1, 1, 2, 2000)) + letters
        return (
            rng.choice((b"", b"<p>", b"\xff\xfe", b"<!--"))
            + b'<a href="'
            + link
            + rng.choice((b'">', b"'>", b""))
        )


class Pdfs:
    """PDFs with a story attached."""

    name = "pdf"

    def __init__(self, sound: Sound) -> None:
        self._sound = sound

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        path, roll = folder / "book.pdf", rng.random()
        if roll < 0.35:
            data = damage.damaged(rng, self._sound.books[".pdf"])
        elif roll < 0.8:
            data = pdfs.pdf(rng, self._sound.packed)
        else:
            data = pdfs.pdf(rng, self._sound.file(rng))
        path.write_bytes(data)
        return lambda: used(open_any(path), rng)


class ZipBooks:
    """EPUB and CBZ with a story as a member."""

    name = "zipbook"

    def __init__(self, sound: Sound) -> None:
        self._sound = sound
        self._members = {}
        for ending in (".epub", ".cbz"):
            with zipfile.ZipFile(io.BytesIO(sound.books[ending])) as archive:
                self._members[ending] = {name: archive.read(name) for name in archive.namelist()}

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        ending = rng.choice((".epub", ".cbz"))
        path, roll = (
            folder / f"book{rng.choice((ending, ending, ending.upper(), '.zip'))}",
            rng.random(),
        )
        members = dict(self._members[ending])
        if roll < 0.5:
            name = next(name for name in members if name.endswith("story.seedstory"))
            members[name] = self._sound.file(rng)
            data = zips.packed(members)
        elif roll < 0.75:
            data = zips.mutated(rng, members)
        else:
            data = damage.damaged(rng, self._sound.books[ending])
        path.write_bytes(data)
        return lambda: used(open_any(path), rng)


class Pictures:
    """Pictures alone, from files and from memory."""

    name = "picture"

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        data = pictures.picture(rng)
        path = folder / rng.choice(("a.png", "a.jpg", "a.tiff", "a"))
        if rng.random() < 0.5:
            path.write_bytes(data)
            return lambda: to_pil(read_picture(path))
        return lambda: to_pil(decode_picture(data))


class Workflows:
    """The JSON that ComfyUI gets back from a story file."""

    name = "workflow"

    def __init__(self, sound: Sound) -> None:
        self._sound = sound

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        manifest = json.loads(json.dumps(self._sound.manifest))
        if rng.random() < 0.5:
            manifest["workflows"] = odd.mutated(rng, manifest["workflows"])
        else:
            for panel in manifest["panels"]:
                panel["provenance"] = odd.mutated(rng, panel["provenance"])
        members = {**self._sound.members, MANIFEST: odd.encoded(rng, manifest)}
        data = zips.packed(members)

        def read() -> None:
            story = open_story_bytes(data)
            found = workflow_of(story)
            json.dumps(found, allow_nan=False).encode()
            embed_in_png(encode_png(small_story().panels[0].image), pack_story(story), found)  # type: ignore[arg-type]

        return read

"""The front end's reader of story files, run by Node: one process for many files."""

from __future__ import annotations

import base64
import json
import random
import select
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import damage, odd, zips
from .harness import Tally, rng_of
from .kinds.stories import LINK, MANIFEST, Sound
from .watch import MEGABYTES, SECONDS, Outcome

NAME = "page"
SCRIPT = Path(__file__).with_name("page.mjs")
PARSER = Path(__file__).parents[2] / "web" / "story_files.js"
PATIENCE = 120  # seconds of the clock, on a busy machine; an input that takes longer never ends
ENDINGS = (".seedstory", ".seedstory", ".pdf", ".epub", ".cbz", ".html", ".html")
HEAD = b"PK\x03\x04" + bytes(22) + b"\xff\xff" + bytes(2)  # of a member whose name is long


class Node:
    """A process of Node that reads files."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", "--max-old-space-size=1500", SCRIPT, PARSER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.read("first", b"") is not None, "node does not run the page's reader"

    def read(self, name: str, data: bytes) -> dict[str, object] | None:
        """What Node says of one file; None where it did not end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({"name": name, "data": base64.b64encode(data).decode()})
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        answer = self._process.stdout.readline() if ready else b""
        return json.loads(answer) if answer else None

    def judged(self, seed: int, name: str, data: bytes) -> Outcome:
        """The same, judged as other kinds are."""
        answer = self.read(name, data)
        if answer is None:
            self.close()
            return Outcome(NAME, seed, "killed", name[-10:], "no answer", PATIENCE)
        word, text = str(answer["word"]), str(answer["text"])
        seconds, grown = float(str(answer["seconds"])), int(str(answer["megabytes"]))
        where = text.partition(":")[0] if word == "raw" else ""
        if word != "raw" and seconds > SECONDS:
            word, where = "slow", NAME
        elif word != "raw" and grown > MEGABYTES:
            word, where = "large", NAME
        return Outcome(NAME, seed, word, where, text, seconds, grown)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def found_node() -> bool:
    """Whether Node is here."""
    return shutil.which("node") is not None


def fuzz_page(sound: Sound, seeds: Iterable[int]) -> Tally:
    """Read an input for each seed; a Node that dies is started anew."""
    tally, node = Tally(), Node()
    for seed in seeds:
        outcome = node.judged(seed, *made(sound, rng_of(NAME, seed)))
        tally.add(outcome)
        if outcome.word == "killed":
            node = Node()
    node.close()
    return tally


def made(sound: Sound, rng: random.Random) -> tuple[str, bytes]:
    """Name and bytes of a file that is dropped on the canvas."""
    ending, roll = rng.choice(ENDINGS), rng.random()
    book = sound.books.get(ending, sound.packed)
    if roll < 0.3:
        data = zips.packed({**sound.members, MANIFEST: _manifest(sound, rng)})
    elif roll < 0.5:
        data = sound.file(rng)
    elif roll < 0.6:
        data = HEAD * rng.choice((10, 1000, 50_000)) + rng.choice((b"", bytes(65_536)))
    elif roll < 0.7:
        data = zips.mutated(rng, {MANIFEST: sound.members[MANIFEST]} | sound.members)
    else:
        data = damage.damaged(rng, book, [sound.packed])
    if ending == ".html" and roll < 0.7:
        data = LINK.encode() + base64.b64encode(data)
        if rng.random() < 0.3:
            data = damage.damaged(rng, data)
        if rng.random() < 0.1:
            data = LINK.encode() + rng.choice((b" ", b"A", b"=", b"A \n")) * rng.choice(
                (9, 400_000)
            )
    return f"tale{ending}", data


def _manifest(sound: Sound, rng: random.Random) -> bytes:
    data = odd.mutated(rng, sound.manifest)
    if rng.random() < 0.5:
        top = dict(sound.manifest)
        key = rng.choice(("panels", "workflows", "panels", "format"))
        top[key] = odd.mutated(rng, top[key])
        data = top
    return odd.encoded(rng, data)

"""Worlds: ``world.json``, the files it names, and their tokenizers."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from seedstory_core.babble import make_world
from seedstory_core.engine import open_engine
from seedstory_core.engines.seed_story.prompt import Vocabulary
from seedstory_core.engines.seed_story.tokenizer import Tokenizer
from seedstory_core.hosts import local_host
from seedstory_core.images import read_picture
from seedstory_core.painter.loading import open_painter
from seedstory_core.world import find_worlds, load_world

from .. import damage, odd, prose, tensors
from . import pickles

MANIFEST = "world.json"
NUMBERS = (0, 1, 2, 3, 5, 7, 63, 65, 100, 1000, 4097, 10**5, 10**6, 10**8, 10**12, -1, 0.5, 1e300)
TOKENIZER = ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")


class World:
    """A babbling world that all inputs share by hard links."""

    def __init__(self, place: Path) -> None:
        self.root = place / "babble"
        open_painter(make_world(self.root))  # which also brings in what painters need
        self.manifest = json.loads((self.root / MANIFEST).read_text())
        self.files = [
            p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()
        ]
        self.files.sort()

    def copy(self, folder: Path) -> None:
        """The same world in ``folder``; replace its files, never write into them."""
        for name in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(self.root / name, folder / name)

    def replace(self, path: Path, data: bytes) -> None:
        """Another content for one file of a copy."""
        path.unlink(missing_ok=True)
        path.write_bytes(data)


class Worlds:
    """``world.json`` with any value changed; what is read is opened as far as weights go."""

    name = "world"

    def __init__(self, world: World) -> None:
        self._world = world

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        root = folder / "odd"
        self._world.copy(root)
        self._world.replace(root / MANIFEST, self._manifest(rng))
        way = rng.randrange(12)

        def read() -> None:
            find_worlds([folder])
            world = load_world(root)
            repr(world)
            world.title.encode()
            for role in world.files:
                world.file(role)
            for number in range(1, 1 + len(world.openings[:3])):
                picture, text = world.opening(number)
                read_picture(picture)
                text.encode()
            engine = open_engine(world, local_host(torch.device("cpu"), torch.float32))
            if way < 3:
                for part in engine.parts.values():
                    part.acquire()
            elif way == 3:
                open_painter(world)

        return read

    def _manifest(self, rng: random.Random) -> bytes:
        data, roll = self._world.manifest, rng.random()
        if roll < 0.4:
            return odd.encoded(rng, odd.mutated(rng, data))
        for _ in range(rng.choice((1, 1, 2))):
            field = rng.choice(
                ("sizes", "sizes", "painter", "painter", "files", "defaults", "openings")
            )
            ways = [way for way in odd.places(data[field]) if way]
            way = (field, *rng.choice(ways))
            if rng.random() < 0.5:
                number = rng.choice(NUMBERS)
                data = odd.changed(data, way, lambda old, n=number: n)
            else:
                data = odd.changed(data, way, lambda old: odd.mutated(rng, [old])[0])
        return odd.text(data).encode(errors="surrogatepass")


class Weights:
    """The safetensors files of a world."""

    name = "weights"

    def __init__(self, world: World) -> None:
        self._world = world
        roles = ("detokenizer", "vision", "llm", "vae")
        self._states = {role: (world.root / f"{role}.safetensors").read_bytes() for role in roles}

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        root, role = folder / "odd", rng.choice((*self._states, "detokenizer", "vision"))
        self._world.copy(root)
        data = tensors.mutated(rng, self._states[role])
        if rng.random() < 0.15:
            data = pickles.disguised(rng)
        self._world.replace(root / f"{role}.safetensors", data)

        def read() -> None:
            world = load_world(root)
            if role == "vae":
                open_painter(world)
                return
            engine = open_engine(world, local_host(torch.device("cpu"), torch.float32))
            part = engine.parts[role].acquire()
            if role == "detokenizer":
                engine.unet_patch()
                sum(1 for _ in part.parameters())

        return read


class Tokenizers:
    """Tokenizer folders; what is read cuts texts and puts them together again."""

    name = "tokenizer"

    def __init__(self, world: World) -> None:
        self._root = world.root / "tokenizer"
        self._model = (self._root / "tokenizer.model").read_bytes()
        self._tables = {name: json.loads((self._root / name).read_text()) for name in TOKENIZER}
        self._rows = world.manifest["sizes"]["llm"]["vocab"]

    def make(self, rng: random.Random, folder: Path) -> Callable[[], object]:
        root = folder / "tokenizer"
        shutil.copytree(self._root, root)
        if rng.random() < 0.35:
            data = damage.damaged(rng, self._model)
            if rng.random() < 0.3:  # more fields of the message, as protobuf merges them
                data = (
                    self._model
                    + bytes([rng.randrange(1, 128), rng.randrange(6)])
                    + damage.noise(rng)
                )
            (root / "tokenizer.model").write_bytes(data)
        else:
            name = rng.choice(TOKENIZER)
            table = odd.mutated(rng, self._tables[name])
            (root / name).write_bytes(odd.encoded(rng, table))
        texts = [prose.sentence(rng), "<img><img_00000></img>", prose.prose(rng)[:300]]

        def read() -> None:
            words = Tokenizer.from_folder(root)
            for text in texts:
                found = words.encode(text.encode(errors="replace").decode())
                assert all(isinstance(one, int) for one in found)
                words.decode(found).encode()
            Vocabulary(words, 4, self._rows)

        return read

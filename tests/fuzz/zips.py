"""Zips as attackers pack them: names, sizes, methods and tables that contradict each other."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping

from .damage import NUMBERS, damaged
from .odd import NAMES

METHODS = (0, 8, 8, 12, 14, 9, 93, 95, 97, 99, 1, 6)
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
#: Further fields of a member: sizes of 64 bits, a name in Unicode, another program's.
EXTRAS = (
    b"\x01\x00\x08\x00" + b"\xff" * 8,
    b"\x01\x00\xff\xff",
    b"\x75\x70\x05\x00\x01" + b"\0" * 4,
    b"\x01\x99\x07\x00" + bytes(7),
    b"x" * 500,
)
#: Files, folders, links, devices, pipes and sockets.
KINDS = (0o120777, 0o040755, 0o100644, 0o020666, 0o010644, 0o060644, 0o140755)


def packed(members: Mapping[str, bytes]) -> bytes:
    """A sound zip, all stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


class Member:
    """What both tables say of one member, which may differ."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name.encode(errors="surrogatepass")
        self.local_name: bytes | None = None
        self.data, self.plain = data, data
        self.flags, self.method, self.attributes = 0x800, 0, 0o100644 << 16
        self.crc = zlib.crc32(data)
        self.size: int | None = None  # as said, where that is a lie
        self.packed_size: int | None = None
        self.extra = b""
        self.offset: int | None = None

    def deflate(self) -> None:
        """Pack it."""
        self.method = 8
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.data = packer.compress(self.plain) + packer.flush()

    def fields(self) -> bytes:
        """Flags, method, time, checksum and sizes, as both tables hold them."""
        packed_size = len(self.data) if self.packed_size is None else self.packed_size
        size = len(self.plain) if self.size is None else self.size
        return struct.pack("<HHHHIII", self.flags, self.method, 0, 33, self.crc & 0xFFFFFFFF,
                           packed_size & 0xFFFFFFFF, size & 0xFFFFFFFF)  # fmt: skip


def written(members: list[Member], count: int | None = None, comment: bytes = b"") -> bytes:
    """The zip of these members; ``count`` of them by the last table."""
    body, central = bytearray(), bytearray()
    for one in members:
        at = len(body) if one.offset is None else one.offset
        name = one.name if one.local_name is None else one.local_name
        body += _LOCAL + struct.pack("<H", 20) + one.fields()
        body += struct.pack("<HH", len(name) & 0xFFFF, len(one.extra)) + name + one.extra + one.data
        central += _CENTRAL + struct.pack("<HH", 0x031E, 20) + one.fields()
        central += struct.pack("<HHHHHII", len(one.name) & 0xFFFF, len(one.extra), 0, 0, 0,
                               one.attributes & 0xFFFFFFFF, at & 0xFFFFFFFF)  # fmt: skip
        central += one.name + one.extra
    number = (len(members) if count is None else count) & 0xFFFF
    end = struct.pack("<HHHHIIH", 0, 0, number, number, len(central), len(body), len(comment))
    return bytes(body) + bytes(central) + _END + end + comment


def mutated(rng: random.Random, members: Mapping[str, bytes]) -> bytes:
    """A zip of ``members`` with a few of them, or its tables, tampered with."""
    listed = [Member(name, data) for name, data in members.items()]
    if rng.random() < 0.15:
        for one in listed:
            one.deflate()
    if rng.random() < 0.2:
        rng.shuffle(listed)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _tamper(rng, listed, rng.choice(listed))
    roll = rng.random()
    if roll < 0.85:
        return written(listed)
    if roll < 0.9:
        return written(listed, rng.choice((0, 1, 2, 60_000)))
    if roll < 0.95:
        return written(listed, comment=rng.choice((b"x" * 65_535, _END + bytes(18), b"\xff")))
    return damaged(rng, written(listed))


def _tamper(rng: random.Random, listed: list[Member], one: Member) -> None:
    roll = rng.randrange(15)
    if roll == 0:
        one.name = rng.choice(NAMES).encode(errors="surrogatepass")
    elif roll == 1:
        own = one.name
        odd = (
            own.upper(),
            own + b"/",
            b"/" + own,
            b"./" + own,
            own * 40,
            b"../" + own,
            b"/../" + own,
        )
        one.name = rng.choice((*odd, b"\xff\xfe.png", b"a\0b", b"\xc3", b""))
    elif roll == 2:
        one.local_name = rng.choice((b"other.png", one.name + b"\0", b"", b"\xff"))
    elif roll == 3:
        one.flags = rng.choice((0, 1, 0x801, 0x40, 0x2000, 0x808, 0xFFFF, 0x20))
    elif roll == 4:
        one.method = rng.choice(METHODS)
    elif roll == 5:
        one.deflate()
        one.data = damaged(rng, one.data) if rng.random() < 0.5 else one.data
    elif roll == 6:
        one.attributes = rng.choice(KINDS) << 16
    elif roll == 7:
        one.crc ^= rng.choice((0, 1, 0xFFFFFFFF))
    elif roll == 8:
        one.size = rng.choice((*NUMBERS, len(one.plain) + 1, len(one.plain) - 1))
    elif roll == 9:
        one.packed_size = rng.choice((*NUMBERS, len(one.data) + 1, len(one.data) - 1))
    elif roll == 10:
        listed.append(Member(one.name.decode(errors="replace"), rng.choice((one.plain, b"", b"x"))))
    elif roll == 11:
        one.offset = rng.choice((*NUMBERS, 0, 1, 40))
    elif roll == 12:
        one.extra = rng.choice(EXTRAS)
        one.size = rng.choice((one.size, 0xFFFFFFFF))
    elif roll == 13:
        _bomb(rng, one)
    elif len(listed) > 1:
        listed.remove(one)


def _bomb(rng: random.Random, one: Member) -> None:
    """Much out of little."""
    one.plain = bytes(rng.choice((1 << 16, 1 << 20, 1 << 23)))
    one.crc = zlib.crc32(one.plain)
    one.deflate()
    if rng.random() < 0.5:
        one.size = rng.choice((10, 1 << 16, 0xFFFFFFF0))

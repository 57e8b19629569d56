"""PDFs with an attachment, written by hand so that every part of them can lie."""

from __future__ import annotations

import random
import zlib

from .damage import damaged

FILTERS = (b"/FlateDecode", b"/FlateDecode", b"/ASCIIHexDecode", b"/ASCII85Decode", b"/LZWDecode",
           b"/RunLengthDecode", b"/DCTDecode", b"/JPXDecode", b"/CCITTFaxDecode", b"/JBIG2Decode",
           b"/Crypt", b"/None", b"[/FlateDecode/FlateDecode]", b"[/ASCIIHexDecode/FlateDecode]",
           b"[]", b"7", b"null", b"[/FlateDecode" + b"/FlateDecode" * 50 + b"]")  # fmt: skip
PARAMETERS = (
    b"", b"", b"", b"/DecodeParms<</Predictor 12/Columns 5>>", b"/DecodeParms<</Predictor 2>>",
    b"/DecodeParms<</Predictor 15/Columns 99999999>>", b"/DecodeParms null",
    b"/DecodeParms[null <</K -1/Columns 9>>]", b"/DecodeParms<</Predictor 12/Columns 0>>",
    b"/DecodeParms<</Predictor 2/Colors 99999/BitsPerComponent 16/Columns 99999>>"
)  # fmt: skip
ROOTS = (
    b"<</Names[(story.seedstory) 3 0 R]>>",
    b"<</Names[(story.seedstory) 3 0 R(story.seedstory) 3 0 R]>>", b"<</Kids[5 0 R]>>",
    b"<</Names[3 0 R]>>", b"<</Names 3 0 R>>", b"<</Names[()]>>", b"7",
    b"<</Kids[5 0 R 5 0 R]/Names[(story.seedstory) 3 0 R]>>", b"null", b"9 0 R",
    b"<</Names[/story.seedstory 3 0 R]>>", b"<</Names[(story.seedstory) 4 0 R]>>"
)  # fmt: skip
#: Object 5: what a tree of names may have as child.
KIDS = (
    b"<</Kids[5 0 R]>>", b"<</Names[(story.seedstory) 3 0 R]>>", b"<</Kids[5 0 R 5 0 R 5 0 R]>>",
    b"5 0 R", b"6 0 R", b"null", b"[5 0 R]", b"<</Limits[(a)(b)]/Names[(story.seedstory)]>>"
)  # fmt: skip
SPECS = (
    b"<</Type/Filespec/F(story.seedstory)/UF(story.seedstory)/EF<</F 4 0 R>>>>",
    b"<</Type/Filespec/F(x)/UF(story.seedstory)/EF<</UF 4 0 R>>>>", b"<</EF<</F 4 0 R>>>>",
    b"<</F(story.seedstory)/EF 4 0 R>>", b"<</F 4 0 R/EF<</F 4 0 R>>>>", b"4 0 R", b"3 0 R",
    b"<</F(story.seedstory)/EF<<>>>>", b"<</F(story.seedstory)/EF<</F 3 0 R>>>>", b"null",
    b"<</F(\xff\xfe)/UF<fffe>/EF<</F 4 0 R>>>>", b"<</F(story.seedstory)/EF<</F null>>>>"
)  # fmt: skip


def stream(rng: random.Random, data: bytes) -> bytes:
    """The attachment, packed or said to be."""
    name, parameters = b"", b""
    if rng.random() < 0.5:
        name, parameters = b"/Filter" + rng.choice(FILTERS), rng.choice(PARAMETERS)
        if name == b"/Filter/FlateDecode":
            plain = data if rng.random() < 0.6 else bytes(rng.choice((1 << 16, 1 << 22)))
            data = zlib.compress(plain, 9)
        elif name == b"/Filter/ASCIIHexDecode":
            data = data.hex().encode() + b">"
        if rng.random() < 0.3:
            data = damaged(rng, data)
    size = rng.choice(
        (b"%d" % len(data),) * 6 + (b"6 0 R", b"0", b"-1", b"99999999999", b"5", b"(x)", b"")
    )
    return b"<</Length " + size + name + parameters + b">>\nstream\n" + data + b"\nendstream"


def pdf(rng: random.Random, data: bytes) -> bytes:
    """A PDF whose attachment is ``data``."""
    first = rng.random() < 0.5
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles %b>>>>"
        % (ROOTS[0] if first else rng.choice(ROOTS)),
        rng.choice(
            (b"<</Type/Pages/Kids[]/Count 0>>", b"<</Type/Pages/Kids[2 0 R]/Count 1>>", b"null")
        ),
        SPECS[0] if rng.random() < 0.6 else rng.choice(SPECS),
        stream(rng, data),
        rng.choice(KIDS),
        rng.choice((b"%d" % len(data), b"6 0 R", b"(x)", b"-5")),
    ]
    if rng.random() < 0.1:
        objects[rng.randrange(6)] = rng.choice(
            (b"<<" * 2000, b"[" * 5000, b"(" * 3000, b"<</A" * 500, b"", b"%")
        )
    body, places = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    start = len(body)
    if rng.random() < 0.15:
        places = [rng.choice((0, start, 1 << 40, at + 1, at)) for at in places]
    trailer = b"<</Size 7/Root 1 0 R" + rng.choice(trailers(start)) + b">>"
    table = b"".join(b"%010d 00000 n \n" % at for at in places)
    count = rng.choice((b"7",) * 8 + (b"0", b"99999999", b"-1"))
    body += b"xref\n0 " + count + b"\n0000000000 65535 f \n" + table + b"trailer\n" + trailer
    body += b"\nstartxref\n%d\n%%%%EOF" % rng.choice((start,) * 8 + (0, 1, 1 << 50, start + 3))
    made = bytes(body)
    return made if rng.random() < 0.7 else damaged(rng, made)


def trailers(start: int) -> tuple[bytes, ...]:
    """More in the trailer, mostly nothing."""
    return (
        b"", b"", b"", b"", b"", b"/Prev %d" % start, b"/Prev 0", b"/Prev -1",
        b"/XRefStm %d" % start, b"/Encrypt<</Filter/Standard/V 4/R 4/O()/U()/P -1>>/ID[()()]",
        b"/Encrypt 5 0 R/ID[<00><00>]",
        b"/Encrypt<</Filter/Standard/V 5/R 6/Length 256/O(a)/U(b)/OE()/UE()/P 1/Perms()>>",
        b"/Root 2 0 R", b"/Root null", b"/Info 5 0 R", b"/Size 999999999"
    )  # fmt: skip

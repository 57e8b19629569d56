"""Story files from elsewhere: small ones cost little, and whatever they hold ends in a sentence."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.measured import cost, linux

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from test_carriers import html_with, pdf_with, zip_with  # noqa: E402
from test_pack import build, members, painted  # noqa: E402
from test_story_store import tell  # noqa: E402

from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.errors import SeedStoryError  # noqa: E402
from seedstory_core.feature_files import features_of  # noqa: E402
from seedstory_core.images import encode_png  # noqa: E402
from seedstory_core.plain_files import name_fault  # noqa: E402
from seedstory_core.story_file import (  # noqa: E402
    check_story,
    embed_in_png,
    open_any,
    open_story_bytes,
    pack_folder,
    pack_story,
    unpack_story_file,
)

LINK = b'<a href="data:application/vnd.seedstory+zip;base64,'


def tampered(change: Callable[[dict], object]) -> bytes:
    parts = members(pack_story(painted()))
    data = json.loads(parts["story.json"])
    change(data)
    return build({**parts, "story.json": json.dumps(data).encode()})


def features(table: object, body: bytes = b"") -> bytes:
    head = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + body


def with_features(data: bytes) -> bytes:
    return build({**members(pack_story(painted())), "features/001.safetensors": data})


def tensors(count: int) -> dict[str, object]:
    return {
        f"t{n}": {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]} for n in range(count)
    }


def deflated(name: str, data: bytes) -> bytes:
    parts = members(pack_story(painted()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for member, held in {**parts, name: data}.items():
            out.writestr(member, held)
    return buffer.getvalue()


def overlapping() -> bytes:
    """A thousand members that share the bytes of one, as in bombs that grow with the square."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members(pack_story(painted())).items():
            out.writestr(name, data)
        out.writestr("panels/a.png", bytes(60_000))
        for n in range(1000):
            info = zipfile.ZipInfo(f"panels/{n}.b.png")
            shared = out.getinfo("panels/a.png")
            for key in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(info, key, getattr(shared, key))
            out.filelist.append(info)
    return buffer.getvalue()


def json_of(start: bytes, piece: bytes, end: bytes, size: int = 30 << 20) -> bytes:
    head = b'{"format": "seedstory-story", "version": 1, "x": ' + start
    return head + piece * (size // len(piece)) + end + b"}"


#: As (ending, bytes): each is small, or made of much that is nothing.
COSTLY: dict[str, Callable[[], tuple[str, bytes]]] = {
    "a page of blanks": lambda: ("html", LINK + b" " * (8 << 20) + b'">'),
    "a page of blanks and letters": lambda: ("html", LINK + b"A \n" * (3 << 20) + b'">'),
    "a page of links": lambda: ("html", LINK * 100_000),
    "50,000 tensors": lambda: (
        "seedstory",
        with_features(features(tensors(50_000), bytes(50_000))),
    ),
    "10,000 tensors, written oddly": lambda: (
        "seedstory",
        with_features(
            features(
                json.dumps(tensors(10_000)).replace("data_offsets", "data\\u005foffsets").encode(),
                bytes(10_000),
            )
        ),
    ),
    "a table of contents of 100 MB": lambda: (
        "seedstory",
        deflated("features/001.safetensors", features(b" " * (60 << 20))),
    ),
    "a manifest of blanks": lambda: (
        "seedstory",
        deflated("story.json", b"{" + b" " * (60 << 20) + b"}"),
    ),
    "a manifest of lists": lambda: (
        "seedstory",
        build({**members(pack_story(painted())), "story.json": json_of(b"[", b"[],", b"1]")}),
    ),
    "a manifest of texts": lambda: (
        "seedstory",
        build({**members(pack_story(painted())), "story.json": json_of(b"[", b'"ab",', b"1]")}),
    ),
    "a manifest of numbers": lambda: (
        "seedstory",
        build({**members(pack_story(painted())), "story.json": json_of(b"[", b"1e5,", b"1]")}),
    ),
    "a manifest that is deep": lambda: (
        "seedstory",
        build({**members(pack_story(painted())), "story.json": b"[" * (4 << 20)}),
    ),
    "a number of a million digits": lambda: (
        "seedstory",
        build({**members(pack_story(painted())), "story.json": b'{"a": ' + b"9" * 1_000_000}),
    ),
    "members that overlap": lambda: ("seedstory", overlapping()),
    "a book of many members": lambda: (
        "epub",
        build({f"{n}": b"" for n in range(30_000)}),
    ),
    "a bomb in a book": lambda: ("epub", zip_with(bytes(200 << 20), "story.seedstory")),
    "a PDF of many streams": lambda: ("pdf", b"%PDF-1.7\n" + b"obj<<>>stream\n" * 400_000),
    "a PDF of many stories": lambda: (
        "pdf",
        b"%PDF-1.7\n" + b"obj<<>>stream\nPK\3\4endstream\n" * 200_000,
    ),
    "a PDF that unpacks a thousandfold": lambda: (
        "pdf",
        pdf_with(b"PK\3\4" + bytes(100_000_000), compress=True),
    ),
    "a PNG of a million chunks": lambda: (
        "png",
        encode_png(painted().panels[1].image)[:33]  # type: ignore[arg-type]
        + (b"\0\0\0\0prIv" + struct.pack(">I", 0x9E5DB2A9)) * 700_000,
    ),
}


@linux
@pytest.mark.parametrize("name", COSTLY)
def test_small_files_cost_little(tmp_path: Path, name: str) -> None:
    ending, data = COSTLY[name]()
    path = tmp_path / f"x.{ending}"
    path.write_bytes(data)
    took = cost(lambda: open_any(path))
    assert took.end == "refused", took
    # three times the largest file here, 30 MB, or the 64 MB that may come out of any archive
    assert took.megabytes < 180 and took.seconds < 2, took


NAMES = {
    "NUL": "panels/\0.png",
    "half a letter": "panels/\ud800.png",
    "long": "panels/" + "a" * 5000 + ".png",
    "long in bytes": "panels/" + "\u72d0" * 100 + ".png",
    "deep": "p/" * 3000 + "a.png",
    "absolute": "/etc/passwd",
    "up": "panels/../../x.png",
    "drive": "C:/x.png",
    "drive, relative": "C:x.png",
    "share": "//server/x.png",
    "backslash": "..\\x.png",
    "device": "panels/con.png",
    "device of any case": "Lpt1",
    "device with a space": "panels/nul .png",
    "dot behind": "panels/x.png.",
    "space behind": "panels/x.png ",
    "folder with a dot behind": "panels./x.png",
    "dot": "panels/./x.png",
    "nothing between": "panels//x.png",
    "nothing": "",
    "folder": "panels/",
    "forbidden on Windows": "panels/a?.png",
    "stream of Windows": "panels/a.png:b",
    "hidden": ".bashrc",
    "lock": ".lock",
    "itself": "story.json",
    "itself in capitals": "STORY.JSON",
    "below itself": "story.json/x.png",
    "the other's in capitals": "PANELS/001.PNG",
    "below the other": "panels/001.png/x.png",
    "turned": "panels/\u202egnp.exe",
}


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_in_a_manifest(tmp_path: Path, name: str) -> None:
    """As a replaced picture, which no reader opens, and as one that is shown."""

    def earlier(data: dict) -> None:
        data["panels"][2]["earlier"] = [{"image": NAMES[name]}]

    def shown(data: dict) -> None:
        data["panels"][2]["image"] = NAMES[name]

    folder = tmp_path / "s"
    for change in (earlier, shown):
        path = tmp_path / "x.seedstory"
        path.write_bytes(tampered(change))
        with pytest.raises(SeedStoryError) as caught:
            unpack_story_file(path, tmp_path / "out")
        assert len(str(caught.value)) < 1000
        store.save_story(folder, painted())
        manifest = json.loads((folder / "story.json").read_text())
        change(manifest)
        (folder / "story.json").write_text(json.dumps(manifest))
        for act in (
            lambda: pack_folder(folder, tmp_path / "y.seedstory"),
            lambda: check_story(folder),
        ):
            with pytest.raises(SeedStoryError) as caught:
                act()
            assert len(str(caught.value)) < 1000
        (folder / "story.json").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "x.seedstory"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            n
            for n in NAMES.values()
            if name_fault(n.rstrip("/")) and n and "\ud800" not in n and "\0" not in n
        )
    ],
)
def test_odd_names_of_members(name: str) -> None:
    with pytest.raises(SeedStoryError, match=r"leads out|not every system|too long|no story file"):
        open_story_bytes(build({name: b"", **members(pack_story(tell(2)))}))


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_name_without_fault_is_one_of_a_file_inside(tmp_path: Path, name: str) -> None:
    if name_fault(name):
        return
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    assert path.resolve().is_relative_to(tmp_path.resolve())
    path.unlink()


DTYPES = ("F8_E4M3FNUZ", "F8_E4M3", "F8_E5M2", "F4", "C64", "U16", "U64", "X", "", None, 7, [])


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_rare_types_are_refused(dtype: object) -> None:
    entry = {"dtype": dtype, "shape": [8], "data_offsets": [0, 8]}
    with pytest.raises(SeedStoryError, match="numbers of the type"):
        features_of(features({"a": entry}, bytes(8)), "x", "panel 0")


TABLES = [
    {"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}},
    {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}},
    {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
    {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 10**30]}},
    {"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 8]}},
    {"a": {"dtype": "F32", "shape": [1] * 5000 + [2], "data_offsets": [0, 8]}},
    {"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}},
    {"a": {"dtype": "F32"}},
    {"\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    {"__metadata__": {"a": 1}},
    [],
    7,
    b"{",
    b"\xff\xff",
    b"[" * 5000,
]


@pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
def test_odd_tables_of_contents_are_refused(table: object) -> None:
    with pytest.raises(SeedStoryError) as caught:
        features_of(features(table, bytes(8)), "x", "panel 0")
    assert len(str(caught.value)) < 1000


ODD_FIELDS: dict[str, Callable[[dict], object]] = {
    "seed": lambda d: d["panels"][1].update(seed=10**30),
    "token": lambda d: d["panels"][1].update(token_ids=[10**30]),
    "negative token": lambda d: d["panels"][1].update(token_ids=[-1]),
    "version": lambda d: d.update(version=[0] * 20_000),
    "origin": lambda d: d["panels"][1].update(origin={}),
    "uid": lambda d: d["panels"][1].update(caption={"a": "b" * 20_000}),
    "characters": lambda d: d.update(characters=[{}]),
    "images": lambda d: d["characters"][0].update(images={"a": 1}),
    "workflows": lambda d: d.update(workflows=7),
    "provenance": lambda d: d["panels"][1].update(provenance="x"),
}


@pytest.mark.parametrize("name", ODD_FIELDS)
def test_odd_fields_are_refused_in_few_words(name: str) -> None:
    with pytest.raises(SeedStoryError) as caught:
        open_story_bytes(tampered(ODD_FIELDS[name]))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "9" * 5000, '"\\ud800"', "Infinity"])
def test_what_could_not_be_saved_again_is_refused(text: str) -> None:
    parts = members(pack_story(painted()))
    raw = parts["story.json"].replace(b'"none": null', b'"none": ' + text.encode(), 1)
    assert raw != parts["story.json"]
    with pytest.raises(SeedStoryError, match="not valid JSON"):
        open_story_bytes(build({**parts, "story.json": raw}))


@pytest.mark.parametrize(
    "change",
    [
        {"characters": {"0": 1}},
        {"characters": [7]},
        {"characters": True},
        {"workflows": [1]},
        {"workflows": "x"},
    ],
)
def test_saving_over_an_odd_manifest(tmp_path: Path, change: dict) -> None:
    store.save_story(tmp_path / "s", tell(2))
    path = tmp_path / "s/story.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    store.save_story(tmp_path / "s", painted())
    assert len(store.load_story(tmp_path / "s")) == 3


CARRIED: dict[str, Callable[[bytes], bytes]] = {
    "seedstory": lambda data: data,
    "html": html_with,
    "epub": lambda data: zip_with(data, "EPUB/story.seedstory"),
    "cbz": lambda data: zip_with(data, "story.seedstory"),
    "png": lambda data: embed_in_png(encode_png(painted().panels[1].image), data),  # type: ignore[arg-type]
    "pdf": pdf_with,
    "packed.pdf": lambda data: pdf_with(data, compress=True),
}


@cache
def carried(ending: str) -> bytes:
    return CARRIED[ending](pack_story(painted()))


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_carriers_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is cut out, turned over, doubled or put in; also behind the base64 of a page."""
    ending = data.draw(st.sampled_from(sorted(CARRIED)))
    inner = ending == "html" and data.draw(st.booleans())
    broken = bytearray(carried("seedstory" if inner else ending))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(broken) - 1))
        size = data.draw(st.sampled_from((1, 2, 8, 120, 1000)))
        piece = bytes(broken[at : at + size])
        how = data.draw(st.sampled_from(("cut", "double", "turn", "other")))
        new = {"cut": b"", "double": piece * 2, "turn": bytes(255 - b for b in piece)}.get(how)
        broken[at : at + size] = data.draw(st.binary(max_size=8)) if new is None else new
    raw = LINK + base64.b64encode(broken) + b'">' if inner else bytes(broken)
    path = tmp_path / f"x.{ending}"
    path.write_bytes(raw)
    try:
        check_story(path)
    except SeedStoryError as error:
        assert len(str(error)) < 2000


PATHS = ["\0", "\ud800", "a" * 5000, "a/" * 3000, "con", " ", "\n"]


@pytest.mark.parametrize("name", PATHS, ids=[repr(name)[:20] for name in PATHS])
def test_paths_that_no_file_has(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / name, tmp_path / f"{name}.seedstory", tmp_path / f"{name}.png"):
        for act in (open_any, check_story):
            with pytest.raises(SeedStoryError):
                act(path)

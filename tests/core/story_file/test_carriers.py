"""Stories inside PNG, PDF, EPUB, CBZ and HTML, and the schema that others check them by."""

from __future__ import annotations

import base64
import copy
import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))
from test_story_store import HOSTILE, edit, noise, same, tell  # noqa: E402

from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.errors import SeedStoryError  # noqa: E402
from seedstory_core.images import decode_picture, encode_png  # noqa: E402
from seedstory_core.story import append, attach_image  # noqa: E402
from seedstory_core.story_file import (  # noqa: E402
    MEDIA_TYPE,
    carriers,
    check_story,
    embed_in_png,
    open_any,
    pack_story,
    read_carried,
    read_embedded,
    read_png_text,
    save_story_file,
    schema,
    with_workflow,
)

WORKFLOW = {"workflow": {"nodes": [{"title": "\u72d0"}]}, "prompt": {"1": {"inputs": {}}}}


def test_a_picture_carries_story_and_workflow(tmp_path: Path) -> None:
    picture, story = noise(3, 20, 30, 3), with_workflow(tell(3), WORKFLOW)
    path = tmp_path / "page.png"
    path.write_bytes(embed_in_png(encode_png(picture), pack_story(story), WORKFLOW))
    assert read_carried(path) == pack_story(story)
    found = read_embedded(path)
    assert found is not None and same(found, story) and same(open_any(path), story)
    with Image.open(path) as image:  # as ComfyUI and every viewer read it
        image.load()
        assert {key: json.loads(image.text[key]) for key in image.text} == WORKFLOW
    assert torch.equal(decode_picture(path.read_bytes()), picture)
    texts = read_png_text(path.read_bytes())
    assert {key: json.loads(value) for key, value in texts.items()} == WORKFLOW


def test_a_new_story_replaces_the_old_one(tmp_path: Path) -> None:
    plain = encode_png(noise(1, 4, 4, 3))
    both = embed_in_png(embed_in_png(plain, pack_story(tell(2))), pack_story(tell(3)))
    assert both == embed_in_png(plain, pack_story(tell(3)))
    assert embed_in_png(both, None) == plain == embed_in_png(plain, None)


def test_a_story_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "MAX_CARRIED", 100)
    with pytest.raises(SeedStoryError, match="at most 100 bytes"):
        embed_in_png(encode_png(noise(1, 4, 4, 3)), bytes(101))


def chunk_of_claimed_length(png: bytes) -> bytes:
    return png[:8] + struct.pack(">I", 2**31 - 1) + png[12:]


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("cut short", lambda png: png[:40]),
        ("cut short", chunk_of_claimed_length),
        ("damaged", lambda png: png.replace(b"Panel 1", b"Panel 2", 1)),
    ],
)
def test_damaged_pictures(tmp_path: Path, message: str, change: Callable[[bytes], bytes]) -> None:
    png = embed_in_png(encode_png(noise(1, 4, 4, 3)), pack_story(tell(2)))
    (tmp_path / "x.png").write_bytes(change(png))
    with pytest.raises(SeedStoryError, match=message):
        read_embedded(tmp_path / "x.png")


def test_files_without_a_story(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(noise(1, 4, 4, 3)))
    (tmp_path / "b.html").write_text("<p>A fox.</p>")
    (tmp_path / "c.txt").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "d.epub", "w") as book:
        book.writestr("mimetype", "application/epub+zip")
    for path in tmp_path.iterdir():
        assert read_embedded(path) is None
        with pytest.raises(SeedStoryError, match="carries no story"):
            open_any(path)


def pdf_with(data: bytes, compress: bool = False) -> bytes:
    from fpdf import FPDF

    book = FPDF()
    book.add_page()
    book.embed_file(bytes=data, basename="story.seedstory", compress=compress)
    return bytes(book.output())


def zip_with(data: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr(name, data)
    return buffer.getvalue()


def html_with(data: bytes) -> bytes:
    return b'<a href="data:%s;base64,%s">' % (MEDIA_TYPE.encode(), base64.b64encode(data))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.pdf", pdf_with),
        ("a.epub", lambda data: zip_with(data, "EPUB/story.seedstory")),
        ("a.cbz", lambda data: zip_with(data, "story.seedstory")),
        ("a.html", html_with),
        ("renamed.zip", lambda data: data),
    ],
)
def test_books_carry_the_story(tmp_path: Path, name: str, made: Callable[[bytes], bytes]) -> None:
    if name.endswith("pdf"):
        pytest.importorskip("fpdf")
    story = tell(3)
    (tmp_path / name).write_bytes(made(pack_story(story)))
    assert read_carried(tmp_path / name) == pack_story(story)
    assert same(open_any(tmp_path / name), story)
    (tmp_path / name).write_bytes(made(pack_story(story)[:-9]))
    with pytest.raises(SeedStoryError, match="cut short"):
        open_any(tmp_path / name)


def test_damaged_books(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<</Names 1 0 R>>")
    assert read_embedded(tmp_path / "a.pdf") is None
    (tmp_path / "a.html").write_bytes(b"data:%s;base64,AAA" % MEDIA_TYPE.encode())
    with pytest.raises(SeedStoryError, match="is damaged"):
        read_embedded(tmp_path / "a.html")


def manifest(folder: Path) -> dict:
    return json.loads((folder / "story.json").read_text(encoding="utf-8"))


def test_real_stories_are_as_the_schema_says(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    story = with_workflow(tell(3), WORKFLOW)
    for seed in (1, 2):
        store.save_story(tmp_path, attach_image(story, 1, noise(seed, 4, 4, 3), {"steps": seed}))
    data = manifest(tmp_path)
    assert data["panels"][1]["earlier"] and data["workflows"]
    jsonschema.validate(data, schema())


#: Faults that a schema cannot see: files that are missing.
UNSEEN = ("missing", "There is no picture")


@pytest.mark.parametrize("change", [change for message, change in HOSTILE if message not in UNSEEN])
def test_the_schema_refuses_what_the_reader_refuses(
    tmp_path: Path, change: Callable[[dict], object]
) -> None:
    store.save_story(tmp_path, tell(2))
    edit(tmp_path, change)
    with pytest.raises(SeedStoryError):
        store.load_story(tmp_path)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest(tmp_path), schema())


def test_the_reader_needs_what_the_schema_requires(tmp_path: Path) -> None:
    store.save_story(tmp_path, tell(2))
    whole = manifest(tmp_path)
    for place, required in (
        (lambda d: d, schema()["required"]),
        (lambda d: d["panels"][1], schema()["$defs"]["panel"]["required"]),
        (lambda d: d["characters"][0], schema()["$defs"]["character"]["required"]),
        (lambda d: d["world"], schema()["$defs"]["world"]["required"]),
    ):
        for key in set(required) - {"uid"}:  # which is computed again, and compared
            data = copy.deepcopy(whole)
            del place(data)[key]
            (tmp_path / "story.json").write_text(json.dumps(data))
            with pytest.raises(SeedStoryError):
                store.load_story(tmp_path)


def test_what_is_odd_is_noted(tmp_path: Path) -> None:
    store.save_story(tmp_path / "s", attach_image(tell(3), 1, noise(1, 4, 4, 3)))
    notes = check_story(tmp_path / "s").notes
    assert notes == check_story(save_story_file(tell(3), tmp_path / "a.seedstory")).notes
    assert all("does not say its" in note for note in notes), "the toy panels say little"
    (tmp_path / "s/panels/001.png").write_bytes(encode_png(noise(2, 4, 4, 3)))
    (tmp_path / "s/panels/777.png").write_bytes(b"")
    edit(tmp_path / "s", lambda data: data["panels"][2].update(caption="mine"))
    notes = " ".join(check_story(tmp_path / "s").notes)
    assert "picture of panel 1 is another" in notes and "panel 2 was changed by hand" in notes
    assert "1 files belong to no panel, as panels/777.png" in notes
    edit(tmp_path / "s", lambda data: data["panels"][1].update(uid="mine"))
    notes = " ".join(check_story(tmp_path / "s").notes)
    assert "$.panels[1].uid departs from the schema: 'mine' does not match" in notes


def test_a_missing_schema_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_story_file(tell(1), tmp_path / "a.seedstory")
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert "not held against the schema" in check_story(path).notes[0]


def test_a_bomb_in_a_pdf_is_not_unpacked(tmp_path: Path) -> None:
    pytest.importorskip("fpdf")
    (tmp_path / "a.pdf").write_bytes(pdf_with(b"PK\3\4" + bytes(100_000_000), compress=True))
    assert (tmp_path / "a.pdf").stat().st_size < 1 << 20
    with pytest.raises(SeedStoryError, match="made to fill the memory"):
        read_carried(tmp_path / "a.pdf")
    (tmp_path / "b.pdf").write_bytes(pdf_with(pack_story(tell(2)), compress=True))
    assert same(open_any(tmp_path / "b.pdf"), tell(2)), "as other programs write it"


def test_a_story_of_many_panels_in_a_pdf(tmp_path: Path) -> None:
    """Twenty panels of the released weights are as large."""
    pytest.importorskip("fpdf")
    big = replace(tell(2).panels[1], features={"toy.code": torch.zeros(20_000_000)})
    story = append(tell(1), big)
    (tmp_path / "a.pdf").write_bytes(pdf_with(pack_story(story)))
    assert read_carried(tmp_path / "a.pdf") == pack_story(story)

"""What the page makes of the bytes of a dropped file: found by the zip's directory, in little time,
and every damaged one answered in words of its own."""

from __future__ import annotations

import base64
import io
import json
import random
import zipfile
from typing import Any

import pytest
import torch
from support.node_js import Module

from seedstory_core.story import append
from seedstory_core.story_file import pack_story, with_workflow
from seedstory_core.types import Panel, Story, WorldRef

FUNCTIONS = ("bytesOf", "bytesInLink", "manifestIn", "made")
GRAPH = {"nodes": [{"id": 1, "type": "SeedStory_LoadStory"}], "links": []}
PROMPT = {"1": {"class_type": "SeedStory_LoadStory", "inputs": {}}}
MADE = {"workflow": GRAPH, "prompt": PROMPT}
#: How every refusal begins.
OWN = ("its story.json ", "it is larger than ", "the story in its link ", "the browser could not ")
#: Each file opened as the page does it: what it carries, or what was said.
OPEN = """
    return given.map((text) => {
        try {
            const manifest = manifestIn(Uint8Array.from(Buffer.from(text, "base64")));
            return manifest && made(manifest);
        } catch (error) { return `${error.constructor.name}: ${error.message}`; }
    });
"""
MAKE = """
    return given.map((manifest) => {
        try { return made(manifest); }
        catch (error) { return `${error.constructor.name}: ${error.message}`; }
    });
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Module:
    return Module(tmp_path_factory.mktemp("page"), "story_files.js", FUNCTIONS)


def tale(workflow: bool = True) -> Story:
    story = Story((), "toy", WorldRef("w", "d" * 64), "tale")
    for number, caption in enumerate(("A fox.", "A hen.")):
        picture = torch.full((8, 8, 3), 99 + number, dtype=torch.uint8)
        origin = "told" if number else "opening"
        story = append(story, Panel(caption, caption, origin, features={}, image=picture))
    return with_workflow(story, MADE) if workflow else story


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED, note: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
        file.comment = note
    return out.getvalue()


def opened(page: Module, *files: bytes) -> list[Any]:
    return page.run(OPEN, [base64.b64encode(data).decode() for data in files])


def is_well(answer: Any) -> bool:
    """No story, a story, or own words; never JavaScript's."""
    if isinstance(answer, str):
        return answer.startswith(tuple(f"Error: {words}" for words in OWN))
    return answer is None or isinstance(answer, dict)


def test_the_workflow_is_found_wherever_the_story_lies(page: Module) -> None:
    story = pack_story(tale())
    manifest = zipfile.ZipFile(io.BytesIO(story)).read("story.json")
    many = {f"{n}": b"" for n in range(66_000)}
    files = {
        "a story file": story,
        "in a PDF": b"%PDF-1.7 PK\x03\x04 PK\x05\x06" + bytes(99) + story + b"\nendstream %%EOF",
        "in an EPUB": zipped({"mimetype": b"application/epub+zip", "EPUB/story.seedstory": story}),
        "in a CBZ": zipped({"001.png": b"", "story.seedstory": story, "002.png": b""}),
        "with a comment": zipped({"story.json": manifest}, note=b"PK" * 999),
        "of very many members": zipped({**many, "story.json": manifest}),
    }
    assert dict(zip(files, opened(page, *files.values()), strict=True)) == dict.fromkeys(
        files, MADE
    )


def test_a_story_without_a_workflow_is_a_story(page: Module) -> None:
    bare = pack_story(tale(workflow=False))
    manifest = zipfile.ZipFile(io.BytesIO(bare)).read("story.json")
    packed = zipped({"story.json": manifest}, zipfile.ZIP_DEFLATED)  # the server opens it
    assert opened(page, bare, packed) == [{}, {}]


def test_what_is_no_story_is_none(page: Module) -> None:
    files = [b"", b"PK", b"%PDF-1.7", zipped({}), zipped({"a.json": b"{}"})]
    files += [zipped({"story.json": text}) for text in (b"[]", b"3", b'{"format": "other"}')]
    assert opened(page, *files) == [None] * len(files)


def test_damaged_files_are_answered_in_words_of_our_own(page: Module) -> None:
    whole, rng = pack_story(tale()), random.Random(0)
    book = zipped({"EPUB/story.seedstory": whole})
    files = [whole[:end] for end in range(0, len(whole), 97)]
    files += [whole[start:] for start in range(0, len(whole), 97)]
    for _ in range(1500):
        damaged = bytearray(rng.choice((whole, book)))
        for _ in range(rng.randint(1, 4)):
            behind = rng.random() < 0.7  # where the directory is
            place = len(damaged) - rng.randint(1, 400) if behind else rng.randrange(len(damaged))
            damaged[place] = rng.choice((0, 1, 0x50, 0x7F, 0xFF, rng.randrange(256)))
        files.append(bytes(damaged))
    answers = opened(page, *files)
    assert [answer for answer in answers if not is_well(answer)] == []
    assert MADE in answers, "some damage does not matter"


ODD = (None, 0, -1, 1.5, True, "", "x", "__proto__", [], [None], [[]], {}, {"x": None}, [3], ["x"])


def changed(value: Any) -> list[Any]:
    """``value`` with each part of it, one at a time, replaced by odd ones, or left out."""
    found = list(ODD)
    if isinstance(value, dict):
        for key, part in value.items():
            found += [{**value, key: odd} for odd in changed(part)]
            found.append({k: v for k, v in value.items() if k != key})
    elif isinstance(value, list):
        for at, part in enumerate(value):
            found += [[*value[:at], odd, *value[at + 1 :]] for odd in changed(part)]
    return found


def test_manifests_of_every_other_shape_are_answered_in_words_of_our_own(page: Module) -> None:
    panels = [{"caption": "A fox.", "provenance": {"workflow": "d"}}]
    within = [{"caption": "A fox.", "provenance": {"workflow": MADE}}]
    sound = [{"format": "f", "panels": panels, "workflows": {"d": MADE}}, {"panels": within}]
    manifests = [m for s in sound for m in changed(s) if isinstance(m, dict)]
    answers = page.run(MAKE, [*sound, *manifests])
    assert answers[:2] == [MADE, MADE]
    assert [pair for pair in zip(manifests, answers[2:], strict=True) if not is_well(pair[1])] == []
    said = {answer for answer in answers if isinstance(answer, str)}
    assert "Error: its story.json has no list of panels" in said
    assert "Error: its story.json misshapes panel 0: expected an object" in said


def test_json_that_is_none_is_answered_in_words_of_our_own(page: Module) -> None:
    texts = [b"", b"{", b"\xff", b"[" * 2_000_000, b'{"format": }', b"NaN", b"\xef\xbb\xbf[]"]
    answers = opened(page, *(zipped({"story.json": text}) for text in texts))
    assert all(map(is_well, answers)), answers
    assert "valid JSON" in answers[0]


def test_links_of_pages_are_read_or_refused_in_words(page: Module) -> None:
    link = "data:application/vnd.seedstory+zip;base64,"
    whole = base64.b64encode(b"bytes of a story").decode()
    texts = ["", "<html>", f'<a href="{link}{whole}">', f"{link}{whole[:8]} \n{whole[8:]}"]
    texts += [f'{link}%%%">', f"{link}caf\u00e9", link * 9, f'{link}A"']
    body = """return given.map((text) => {
        try { return Buffer.from(bytesInLink(text)).toString(); }
        catch (error) { return `${error.constructor.name}: ${error.message}`; }
    });"""
    answers = page.run(body, texts)
    assert answers[:4] == ["", "", "bytes of a story", "bytes of a story"]
    assert all(map(is_well, answers[4:])) and all(isinstance(a, str) for a in answers[4:])


def test_a_file_too_large_or_gone_is_refused_in_words(page: Module) -> None:
    body = """const answers = [];
    const gone = () => { throw new Error("A requested file could not be found"); };
    for (const file of [{ name: "a.pdf", size: 2 ** 33 },
        { name: "a.pdf", size: 9, arrayBuffer: gone }, { name: "a.html", size: 9, text: gone }])
        try { await bytesOf(file); } catch (error) { answers.push(`Error: ${error.message}`); }
    return answers;"""
    answers = page.run(body)
    assert len(answers) == 3 and all(map(is_well, answers)), answers


#: Repeated over a whole file: beginnings and ends of members and directories, true and false ones.
FLOODS = {
    "heads of members": "504b0304" + "00" * 22 + "ffffffff",
    "ends": "504b0506" + "00" * 18,
    "ends of one directory": "504b0506" + "00" * 8 + "2e000000" + "00" * 6,
    "lines of a directory": "504b0102" + "00" * 42,
    "locators and ends": "504b0607" + "00" * 16 + "504b0506" + "00" * 18,
    "letters": "50",
    "marks": "504b",
    "marks of ends": "504b0506",
}
FLOOD = """
    const once = Buffer.from(given.once, "hex"), count = Math.floor(given.bytes / once.length);
    const bytes = new Uint8Array(once.length * count);
    for (let at = 0; at < count; at += 1) bytes.set(once, at * once.length);
    if (given.directory) { // a true end, behind a directory of all of it
        const view = new DataView(bytes.buffer), at = bytes.length - 22;
        bytes.set([0x50, 0x4b, 5, 6], at);
        view.setUint32(at + 12, at, true);
    }
    const began = process.cpuUsage().user;
    try { manifestIn(bytes); } catch {}
    return (process.cpuUsage().user - began) / 1e6;
"""


@pytest.mark.parametrize("directory", [False, True])
@pytest.mark.parametrize("name", FLOODS)
def test_a_large_made_up_file_is_looked_through_in_moments(
    page: Module, name: str, directory: bool
) -> None:
    given = {"once": FLOODS[name], "bytes": 16 << 20, "directory": directory}
    # A tenth of a second; where each part looks through the rest, 16 MB take hours.
    assert page.run(FLOOD, given) < 5.0


def test_the_manifest_is_read_letter_by_letter(page: Module) -> None:
    data = pack_story(tale())
    body = "return manifestIn(Uint8Array.from(Buffer.from(given, 'base64')));"
    manifest = page.run(body, base64.b64encode(data).decode())
    assert manifest == json.loads(zipfile.ZipFile(io.BytesIO(data)).read("story.json"))

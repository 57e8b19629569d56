"""What the page asks of the stories on disk: a bad folder stops no other, none is read twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from test_viewing import Routes, output, story, told  # noqa: E402, F401


@pytest.fixture()
def ask(pack: ModuleType, output: Path) -> Callable[..., Any]:  # noqa: F811
    """``ask("a", "b")``: what the route answers about the stories in these folders."""
    from aiohttp.test_utils import make_mocked_request

    routes = Routes()
    pack.nodes.host.routes.add_routes(routes)

    def answer(*names: str) -> Any:
        query = "&".join(f"folder={name}" for name in names)
        path = pack.nodes.host.routes.STORIES
        handler = routes.found[path]
        return json.loads(asyncio.run(handler(make_mocked_request("GET", f"{path}?{query}"))).text)

    return answer


def change(folder: Path, **fields: object) -> None:
    """Edit panel 1 of a kept story."""
    path = folder / "story.json"
    data = json.loads(path.read_text())
    data["panels"][1].update(fields)
    path.write_text(json.dumps(data))


ODD: dict[str, dict[str, object]] = {
    "NUL": {"image": "panels/\0.png"},
    "half a letter": {"image": "panels/\ud800.png"},
    "long": {"image": "panels/" + "a" * 5000 + ".png"},
    "deep": {"image": "p/" * 3000 + "a.png"},
    "up": {"image": "../../x.png"},
    "absolute": {"image": "/etc/passwd"},
    "a number": {"image": 7},
    "a list": {"image": [[]], "uid": [], "caption": {}},
    "nested": {"uid": json.loads("[" * 60 + "]" * 60)},
}


@pytest.mark.parametrize("name", ODD)
def test_a_good_story_beside_an_odd_one(
    pack: ModuleType,
    story: Any,  # noqa: F811
    output: Path,  # noqa: F811
    ask: Callable[..., Any],
    name: str,
) -> None:
    folders = [pack.seedstory_core.story_store.keep(output, story)]
    odd = told(pack, ["E", "F"], run="odd")
    folders.append(pack.seedstory_core.story_store.keep(output, odd))
    change(folders[1], **ODD[name])
    found = ask("odd", "tale")
    assert "tale" in [branch["folder"] for branch in found["branches"]]
    assert {"A <b>fox</b>.", "D"} <= {panel["caption"] for panel in found["panels"]}


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1e999}', b"null"])
def test_a_good_story_beside_what_is_none(
    pack: ModuleType,
    story: Any,  # noqa: F811
    output: Path,  # noqa: F811
    ask: Callable[..., Any],
    raw: bytes,
) -> None:
    pack.seedstory_core.story_store.keep(output, story)
    (output / "none").mkdir()
    (output / "none/story.json").write_bytes(raw)
    assert [branch["folder"] for branch in ask("none", "tale")["branches"]] == ["tale"]


@pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")
def test_links_and_pipes_are_left_out(
    pack: ModuleType,
    story: Any,  # noqa: F811
    output: Path,  # noqa: F811
    ask: Callable[..., Any],
    tmp_path: Path,
) -> None:
    folder = pack.seedstory_core.story_store.keep(output, story)
    linked = pack.seedstory_core.story_store.keep(output, told(pack, ["E", "F"], run="linked"))
    (tmp_path / "secret.png").write_bytes((linked / "panels/001.png").read_bytes())
    (linked / "panels/001.png").unlink()
    (linked / "panels/001.png").symlink_to(tmp_path / "secret.png")
    (output / "manifest").mkdir()
    (output / "manifest/story.json").symlink_to(folder / "story.json")
    (output / "pipe").mkdir()
    os.mkfifo(output / "pipe/story.json")
    found = ask("linked", "manifest", "pipe", "tale")
    assert [branch["folder"] for branch in found["branches"]] == ["tale"]


def test_a_story_is_read_once_until_it_changes(
    pack: ModuleType,
    story: Any,  # noqa: F811
    output: Path,  # noqa: F811
    ask: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf, read = pack.nodes.host.shelf, []
    really = shelf.read_manifest
    monkeypatch.setattr(shelf, "read_manifest", lambda path: read.append(path) or really(path))
    folder = pack.seedstory_core.story_store.keep(output, story)
    (output / "none").mkdir()
    (output / "none/story.json").write_bytes(b"{")
    first = ask("tale", "none")
    assert ask("tale", "none") == first == ask("none", "tale", "tale")
    assert sorted(path.name for path in read) == ["none", "tale"], "a damaged one is known, too"
    change(folder, caption="Another.")
    assert ask("tale")["panels"][1]["caption"] == "Another." and len(read) == 3
    pack.seedstory_core.story_store.keep(output, told(pack, ["E"], before=story))
    assert [panel["caption"] for panel in ask("tale")["panels"]][-1] == "E"
    (folder / "panels/002.png").unlink()
    assert ask("tale")["panels"][2]["image"] is None, "taken away without the manifest's knowing"


def test_what_is_remembered_and_read_is_bounded(
    pack: ModuleType,
    story: Any,  # noqa: F811
    output: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf = pack.nodes.host.shelf
    for run in "abc":
        pack.seedstory_core.story_store.keep(output, told(pack, ["A", "B"], run=run))
    monkeypatch.setattr(shelf, "MOST_PANELS", 4)
    own = shelf.Shelf()
    assert len(own.tree("abc")["branches"]) == 3 and own._held() == 4
    size = (output / "a/story.json").stat().st_size
    monkeypatch.setattr(shelf, "MOST_READ", 2 * size + 5)
    assert len(shelf.Shelf().tree("abc")["branches"]) == 2, "no more is read for one answer"


@pytest.mark.parametrize("name", ["\0", "a" * 5000, "../x", "/etc/passwd", "a/" * 3000, "x [temp]"])
def test_odd_names_of_files_are_refused(pack: ModuleType, comfy_here: Path, name: str) -> None:
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError) as caught:
        pack.nodes.host.carrier(name)
    assert len(str(caught.value)) < 1000

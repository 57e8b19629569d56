"""Downloads against a real local server that breaks off, lies and refuses."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import range_server as server  # beside this file, loaded by conftest.py

from seedstory_core.errors import SeedStoryError
from seedstory_core.weights.catalog import LOCK, UNKNOWN, OutsideFile
from seedstory_core.weights.download import Downloader, read_lock

BODY = bytes(range(256)) * 9000  # 2.3 MB: several chunks
SHA = hashlib.sha256(BODY).hexdigest()
KNOWN = OutsideFile(
    "thing", "thing", "who/what", "in/a.bin", "f" * 40, len(BODY), SHA, ("mit",), "here", "test"
)
UNSURE = replace(KNOWN, bytes=None, sha256=UNKNOWN, revision="main", sure=False)


def fetch(models: Path, entry: OutsideFile, behaviour, **settings) -> Path:
    with server.serving(behaviour) as base:
        downloader = Downloader(models, base, timeout=10, wait=lambda seconds: None, **settings)
        return downloader.fetch(entry)


def only_file(models: Path) -> list[str]:
    return sorted(path.name for path in (models / "here").iterdir())


def test_fetches_checks_and_leaves_nothing_else(tmp_path: Path):
    seen = []
    behaviour = server.Behaviour(BODY)
    path = fetch(tmp_path, KNOWN, behaviour, progress=lambda *step: seen.append(step))
    assert path.read_bytes() == BODY and only_file(tmp_path) == ["a.bin"]
    assert behaviour.seen[0]["path"] == f"/who/what/resolve/{'f' * 40}/in/a.bin"
    assert seen[-1] == (len(BODY), len(BODY), "thing") and len(seen) > 1
    assert read_lock(tmp_path)["thing"]["known_before"] is True
    second = server.Behaviour(BODY)
    fetch(tmp_path, KNOWN, second)
    assert not second.seen, "a file that is there and right must not be fetched again"


def test_resumes_over_dropped_connections(tmp_path: Path):
    behaviour = server.Behaviour(BODY, drop_after=[1_500_000, 300_000])
    assert fetch(tmp_path, KNOWN, behaviour).read_bytes() == BODY
    ranges = [request.get("Range") for request in behaviour.seen]
    assert ranges[0] is None and ranges[1] == "bytes=1500000-" and ranges[2] == "bytes=1800000-"
    assert behaviour.seen[1]["If-Range"] == '"v1"'


def test_resumes_in_a_later_run(tmp_path: Path):
    with pytest.raises(SeedStoryError, match="run the same command to go on"):
        fetch(tmp_path, UNSURE, server.Behaviour(BODY, drop_after=[1_200_000, 0]), attempts=1)
    assert (tmp_path / "here" / "a.bin.part").stat().st_size == 1_200_000
    with server.serving(server.Behaviour(BODY)) as base:
        note = tmp_path / "here" / "a.bin.part.json"
        data = json.loads(note.read_text())
        data["url"] = UNSURE.url(base)  # the port is another one now
        note.write_text(json.dumps(data))
        path = Downloader(tmp_path, base, wait=lambda seconds: None).fetch(UNSURE)
    assert path.read_bytes() == BODY


def test_a_changed_file_starts_again(tmp_path: Path):
    """The pieces of two versions must never be joined."""
    new = BODY[::-1]
    behaviour = server.Behaviour(BODY, drop_after=[1_500_000])

    def swap(seconds: float) -> None:
        behaviour.body, behaviour.etag = new, '"v2"'

    with server.serving(behaviour) as base:
        path = Downloader(tmp_path, base, wait=swap).fetch(UNSURE)
    assert path.read_bytes() == new
    assert behaviour.seen[1]["If-Range"] == '"v1"'


@pytest.mark.parametrize("lie", [{"wrong_start": 7}, {"ignore_range": True}])
def test_lies_about_ranges_are_noticed(tmp_path: Path, lie: dict):
    behaviour = server.Behaviour(BODY, drop_after=[1_500_000], **lie)
    assert fetch(tmp_path, UNSURE, behaviour).read_bytes() == BODY


def test_a_part_longer_than_the_file_starts_again(tmp_path: Path):
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "a.bin.part").write_bytes(b"x" * (len(BODY) + 5))
    behaviour = server.Behaviour(BODY)
    assert fetch(tmp_path, KNOWN, behaviour).read_bytes() == BODY
    assert behaviour.seen[0]["Range"] == f"bytes={len(BODY) + 5}-"


def test_wrong_bytes_are_thrown_away(tmp_path: Path):
    with pytest.raises(SeedStoryError, match=f"the table says sha256 {SHA}.*thrown away"):
        fetch(tmp_path, KNOWN, server.Behaviour(BODY[:-1] + b"!"))
    assert only_file(tmp_path) == [] and read_lock(tmp_path) == {}


def test_a_wrong_announced_size_is_refused_before_the_transfer(tmp_path: Path):
    with pytest.raises(SeedStoryError, match=f"has 99 bytes.*must have {len(BODY)}"):
        fetch(tmp_path, KNOWN, server.Behaviour(b"x" * 99))
    with pytest.raises(SeedStoryError, match="does not say how large"):
        fetch(tmp_path, UNSURE, server.Behaviour(BODY, silent=True))


def test_an_announced_size_that_never_comes(tmp_path: Path):
    behaviour = server.Behaviour(BODY[:1000], announce=2000)
    with pytest.raises(SeedStoryError, match=r"brought nothing in 2 tries"):
        fetch(tmp_path, UNSURE, behaviour, attempts=2)


def test_busy_servers_are_asked_again_and_refusals_are_not(tmp_path: Path):
    behaviour = server.Behaviour(BODY, statuses=[503, 429])
    assert fetch(tmp_path, KNOWN, behaviour).read_bytes() == BODY
    assert len(behaviour.seen) == 3
    refusing = server.Behaviour(BODY, statuses=[404])
    with pytest.raises(SeedStoryError, match="404.*inferred, not known.*--filename"):
        fetch(tmp_path / "b", UNSURE, refusing)
    assert len(refusing.seen) == 1
    always = server.Behaviour(BODY, statuses=[500] * 9)
    with pytest.raises(SeedStoryError, match="brought nothing in 3 tries"):
        fetch(tmp_path / "c", KNOWN, always, attempts=3)
    assert len(always.seen) == 3


def test_an_unknown_hash_is_recorded_once_and_holds(tmp_path: Path):
    path = fetch(tmp_path, UNSURE, server.Behaviour(BODY))
    record = json.loads((tmp_path / LOCK).read_text())["thing"]
    assert record["sha256"] == SHA and record["bytes"] == len(BODY)
    assert record["known_before"] is False
    path.unlink()
    with pytest.raises(SeedStoryError, match=f"the first download's record says sha256 {SHA}"):
        fetch(tmp_path, UNSURE, server.Behaviour(BODY[::-1]))
    assert read_lock(tmp_path)["thing"] == record


def test_a_foreign_file_in_the_way_is_kept(tmp_path: Path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.bin").write_bytes(b"mine")
    with pytest.raises(SeedStoryError, match="Move it away"):
        fetch(tmp_path, KNOWN, server.Behaviour(BODY))
    assert (tmp_path / "here" / "a.bin").read_bytes() == b"mine"


def test_no_room_is_said_before_the_transfer(tmp_path: Path):
    huge = replace(KNOWN, bytes=10**16)
    with pytest.raises(SeedStoryError, match="Downloading thing needs .*10000000000000000 bytes"):
        fetch(tmp_path, huge, server.Behaviour(b"", announce=10**16))


def test_a_cancelled_download_keeps_its_part(tmp_path: Path):
    def stop(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, KNOWN, server.Behaviour(BODY), progress=stop)
    assert (tmp_path / "here" / "a.bin.part").stat().st_size > 0
    assert not (tmp_path / "here" / "a.bin").exists()
    assert fetch(tmp_path, KNOWN, server.Behaviour(BODY)).read_bytes() == BODY


def test_a_damaged_lock_is_named(tmp_path: Path):
    lock = tmp_path / LOCK
    lock.parent.mkdir(parents=True)
    lock.write_text("{")
    with pytest.raises(SeedStoryError, match="downloads.json is damaged"):
        read_lock(tmp_path)

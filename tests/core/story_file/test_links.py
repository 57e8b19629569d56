"""Story folders from elsewhere: nothing outside is read, packed, copied or changed through them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from test_pack import contents, painted  # noqa: E402
from test_story_store import noise, same, tell  # noqa: E402

from seedstory_core import locks  # noqa: E402
from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.errors import SeedStoryError  # noqa: E402
from seedstory_core.story import append, attach_image  # noqa: E402
from seedstory_core.story_file import check_story, open_any, pack_folder  # noqa: E402
from seedstory_core.story_file.listing import kept_stories  # noqa: E402

pytestmark = pytest.mark.skipif(os.name != "posix", reason="makes links, which Windows forbids")

PLACES = (
    "story.json",
    ".lock",
    "panels/000.png",
    "panels/001.png",
    "panels",
    "features/001.safetensors",
    "features",
    "characters/00-0.png",
    "characters/00.safetensors",
    "characters",
)
SECRET = b"precious"


def repaint(folder: Path) -> object:
    return store.save_story(folder, attach_image(painted(), 1, noise(9, 8, 8, 3)))


ACTS: dict[str, Callable[[Path], object]] = {
    "load": store.load_story,
    "open": open_any,
    "check": check_story,
    "pack": lambda folder: pack_folder(folder, folder.parent / "out.seedstory"),
    "save": lambda folder: store.save_story(folder, append(painted(), tell(5).panels[4])),
    "paint anew": repaint,
    "keep": lambda folder: store.keep(folder.parent, painted()),
    "list": lambda folder: kept_stories(folder.parent),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("place", PLACES)
def test_links_are_refused_and_followed_nowhere(tmp_path: Path, place: str, act: str) -> None:
    """The link leads to what the story needs, so that only its being a link can be the reason."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    folder = root / "my run"
    store.save_story(folder, painted())
    (folder / ".lock").touch()
    (folder / place).rename(outside)
    (folder / place).symlink_to(outside, target_is_directory=outside.is_dir())
    before = contents(outside) if outside.is_dir() else outside.read_bytes()
    try:
        ACTS[act](folder)
    except SeedStoryError as error:
        assert "link" in str(error) or "leaves its folder" in str(error)
    else:  # reading asks for no lock; keeping takes another folder; a new panel needs no old file
        assert act in ("keep", "list") or place == ".lock" or act in ("save", "paint anew")
    after = contents(outside) if outside.is_dir() else outside.read_bytes()
    assert after == before
    packed = root / "out.seedstory"
    assert not packed.exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "folder", "pipe", "circle"])
@pytest.mark.parametrize("act", ["pack", "save", "paint anew"])
def test_a_lock_that_is_none(tmp_path: Path, kind: str, act: str) -> None:
    folder, precious = tmp_path / "my run", tmp_path / "precious.txt"
    store.save_story(folder, painted())
    precious.write_bytes(SECRET)
    lock = folder / ".lock"
    lock.unlink(missing_ok=True)
    {
        "link": lambda: lock.symlink_to(precious),
        "dangling": lambda: lock.symlink_to(tmp_path / "nowhere"),
        "hard link": lambda: os.link(precious, lock),
        "folder": lock.mkdir,
        "pipe": lambda: os.mkfifo(lock),
        "circle": lambda: lock.symlink_to(lock),
    }[kind]()
    with pytest.raises(SeedStoryError, match=r"is a link|is no lock"):
        ACTS[act](folder)
    assert precious.read_bytes() == SECRET and not (tmp_path / "nowhere").exists()


class Emptying:
    """Opens a lock as filelock did before 3.20.3: through links, and what it finds is emptied."""

    def __init__(self, path: Path, timeout: float) -> None:
        self.path, self.handle = path, -1

    def acquire(self) -> None:
        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def release(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_no_version_of_filelock_empties_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, Path], None]
) -> None:
    monkeypatch.setattr(locks, "FileLock", Emptying)
    precious = tmp_path / "precious.txt"
    precious.write_bytes(SECRET)
    (tmp_path / "s").mkdir()
    make(precious, tmp_path / "s/.lock")
    with pytest.raises(SeedStoryError), locks.folder_lock(tmp_path / "s"):
        pytest.fail("locked")
    assert precious.read_bytes() == SECRET


@pytest.mark.parametrize("place", ["story.json", "panels/000.png", "features/001.safetensors"])
def test_pipes_and_folders_are_not_waited_for(tmp_path: Path, place: str) -> None:
    for make in (os.mkfifo, os.mkdir):
        folder = tmp_path / make.__name__
        store.save_story(folder, tell(2))
        (folder / place).unlink()
        make(folder / place)
        # saving looks at no picture and no features that it does not replace
        for act in ("load", "check", "pack", *(("save",) if place == "story.json" else ())):
            with pytest.raises(SeedStoryError):
                ACTS[act](folder)


def test_what_lies_in_the_way_of_a_save_is_named(tmp_path: Path) -> None:
    for place in ("panels", "features", "characters"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / place).write_bytes(b"a file")
        with pytest.raises(SeedStoryError, match="cannot be written"):
            store.save_story(folder, painted())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SeedStoryError, match="expected a folder"):
        store.save_story(tmp_path / "file", painted())


def test_a_linked_folder_and_hard_links_are_as_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    store.save_story(folder, painted())
    shutil.move(folder / "panels/000.png", tmp_path / "elsewhere.png")
    os.link(tmp_path / "elsewhere.png", folder / "panels/000.png")
    (tmp_path / "t").symlink_to(folder)
    assert same(store.load_story(tmp_path / "t"), painted())
    longer = append(painted(), tell(5).panels[4])
    store.save_story(tmp_path / "t", longer)
    assert same(open_any(pack_folder(tmp_path / "t", tmp_path / "t.seedstory")), longer)

"""What is said and kept on a real disk that is full or read-only: ``disks.py NAME MOUNT WORLD``.

``MOUNT`` is a small file system of this process's own (see test_disks.py). Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1]))
from test_story_store import noise, panel, same, tell  # noqa: E402

from seedstory_core import story_store as store  # noqa: E402
from seedstory_core.cli import main  # noqa: E402
from seedstory_core.errors import SeedStoryError  # noqa: E402
from seedstory_core.story import append, attach_image  # noqa: E402
from seedstory_core.story_file import (  # noqa: E402
    open_story_file,
    pack_folder,
    save_story_file,
    unpack_story_file,
)


def remount(mount: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(mount)], check=True)


def said(act: Callable[[], object]) -> str:
    """The error that users read; empty where there was none."""
    try:
        act()
    except SeedStoryError as error:
        return str(error)
    return ""


def commanded(*words: object) -> tuple[int, str]:
    """Exit code and stderr of a command line."""
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(err):
        return main([str(word) for word in words]), err.getvalue()


def files(mount: Path) -> dict[str, int]:
    found = (path for path in mount.rglob("*") if path.is_file() and not path.name == ".lock")
    return {str(path.relative_to(mount)): path.stat().st_size for path in found}


def read_only(mount: Path, world: Path) -> dict[str, object]:
    store.save_story(mount / "s", tell(2))
    packed = save_story_file(tell(2), mount / "a.seedstory")
    before = files(mount)
    remount(mount, "ro")
    acts: list[Callable[[], object]] = [
        lambda: store.save_story(mount / "s", tell(3)),
        lambda: store.keep(mount, tell(3)),
        lambda: save_story_file(tell(3), packed),
        lambda: pack_folder(mount / "s", packed),
        lambda: unpack_story_file(packed, mount / "t"),
    ]
    code, err = commanded("tell", "--world", world, "--out", mount / "new", "--panels", 1)
    assert files(mount) == before
    assert same(store.load_story(mount / "s"), tell(2)) and same(open_story_file(packed), tell(2))
    return {"said": [said(act) for act in acts] + [err], "code": code}


def full(mount: Path, world: Path) -> dict[str, object]:
    """256 KB, of which one picture of noise takes half."""
    big = attach_image(append(tell(2), panel(2)), 2, noise(1, 220, 220, 3))
    packed = save_story_file(tell(2), mount / "a.seedstory")
    store.save_story(mount / "s", tell(2))
    (mount / "ballast").write_bytes(bytes(100 << 10))
    before = files(mount)
    acts: list[Callable[[], object]] = [
        lambda: store.save_story(mount / "s", big),
        lambda: save_story_file(big, packed),
        lambda: save_story_file(big, mount / "b.seedstory"),
    ]
    errors = [said(act) for act in acts]
    assert files(mount) == before
    assert same(store.load_story(mount / "s"), tell(2)) and same(open_story_file(packed), tell(2))
    (mount / "ballast").unlink()
    store.save_story(mount / "s", big)  # and with room again it goes on
    assert same(store.load_story(mount / "s"), big)
    return {"said": errors}


def telling(mount: Path, world: Path) -> dict[str, object]:
    """A run whose disk fills up, and that goes on with more room."""
    words = ["--world", world, "--panels", 4, "--no-paint", "--seed", 3]
    straight = mount.parent / "straight"
    code, err = commanded("tell", "--out", straight, *words)
    assert code == 0, err
    pages = {name: -(-size // 4096) * 4096 for name, size in files(straight).items()}
    room = sum(pages.values())
    last = [size for name, size in pages.items() if name.endswith(("4.safetensors", ".seedstory"))]
    remount(mount, f"size={room - sum(last) - 4096}")
    code, err = commanded("tell", "--out", mount / "fox", *words)
    kept = store.load_story(mount / "fox")
    assert not list(mount.rglob("*.part"))
    remount(mount, f"size={room * 3}")
    again, _ = commanded("tell", "--out", mount / "fox", *words)
    assert again == 0
    whole, other = store.load_story(mount / "fox"), store.load_story(straight)
    assert [p.uid for p in whole.panels] == [p.uid for p in other.panels]
    assert [p.uid for p in whole.panels[: len(kept)]] == [p.uid for p in kept.panels]
    return {"said": [err], "code": code, "kept": len(kept)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    trial = {"read_only": read_only, "full": full, "telling": telling}[sys.argv[1]]
    print(json.dumps(trial(Path(sys.argv[2]), Path(sys.argv[3]))))

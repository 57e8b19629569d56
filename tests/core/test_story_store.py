"""Story folders: identity, atomic growth, branches, and folders that mean harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seedstory_core import story_store as store
from seedstory_core.errors import SeedStoryError
from seedstory_core.images import read_picture
from seedstory_core.story import append, attach_image
from seedstory_core.types import Character, Panel, Story, WorldRef

ROOT = Path(__file__).parents[2]


def noise(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def panel(number: int, mark: str = "") -> Panel:
    generator = torch.Generator().manual_seed(number)
    features = {"toy.code": torch.randn(4, 3, generator=generator).half()}
    caption = f"Panel {number}{mark} \u6f22\u5b57 \U0001f98a <b>&\n\x01"
    provenance = {"sampling": {"class": "Greedy", "p": 0.5}, "none": None, "list": [1, "a"]}
    return Panel(
        caption, f"[INST]{caption}", "told", (1, 2, number), features, None, 2**63 + 1, provenance
    )


def tell(count: int, mark_from: int = 99) -> Story:
    hero = Character("Ada", "a fox", (noise(5, 4, 4, 3),), {"toy.face": torch.ones(2, 2)})
    story = Story((), "toy", WorldRef("w", "d" * 64), "my run", (hero,))
    opening = replace(panel(0), origin="opening", image=noise(0, 9, 7, 3), seed=None)
    for number in range(count):
        mark = "*" if number >= mark_from else ""
        story = append(story, panel(number, mark) if number else opening)
    return story


def same(one: Story, other: Story) -> bool:
    def image(panel: Panel) -> object:
        return None if panel.image is None else panel.image.tolist()

    def values(panel: Panel) -> tuple[object, ...]:
        features = {key: (str(t.dtype), t.tolist()) for key, t in panel.features.items()}
        plain = (panel.caption, panel.text, panel.origin, panel.token_ids, panel.seed, panel.uid)
        return (*plain, dict(panel.provenance), features, image(panel))

    def meta(story: Story) -> tuple[object, ...]:
        who = [
            (c.name, c.phrase, [i.tolist() for i in c.images], sorted(c.features))
            for c in story.characters
        ]
        return (story.engine, story.world, story.run, story.closing, who)

    return meta(one) == meta(other) and list(map(values, one.panels)) == list(
        map(values, other.panels)
    )


def written(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_load_gives_what_was_saved(tmp_path: Path) -> None:
    story = replace(attach_image(tell(3), 2, noise(9, 8, 8, 3), {"steps": 2}), closing="Fin.")
    store.save_story(tmp_path / "s", story)
    assert same(store.load_story(tmp_path / "s"), story)
    names = set(written(tmp_path / "s"))
    assert names == {
        "story.json",
        *(f"features/{i:03d}.safetensors" for i in range(3)),
        "panels/000.png",
        "panels/002.png",
        "characters/00-0.png",
        "characters/00.safetensors",
    }


def test_a_save_writes_only_what_is_new(tmp_path: Path) -> None:
    story = tell(3)
    store.save_story(tmp_path, story)
    before = written(tmp_path)
    store.save_story(tmp_path, story)
    assert written(tmp_path) == before, "saving twice touches nothing"
    grown = append(story, panel(3))
    store.save_story(tmp_path, grown)
    changed = {name for name, at in written(tmp_path).items() if before.get(name) != at}
    assert changed == {"story.json", "features/003.safetensors"}
    before = written(tmp_path)
    store.save_story(tmp_path, attach_image(grown, 1, noise(1, 8, 8, 3)))
    changed = {name for name, at in written(tmp_path).items() if before.get(name) != at}
    assert changed == {"story.json", "panels/001.png"}


def test_a_loaded_story_saves_to_the_same_files(tmp_path: Path) -> None:
    store.save_story(tmp_path, attach_image(tell(3), 1, noise(1, 8, 8, 3)))
    before = written(tmp_path)
    store.save_story(tmp_path, store.load_story(tmp_path))
    assert written(tmp_path) == before


def test_replaced_pictures_stay_beside_the_new_ones(tmp_path: Path) -> None:
    story = tell(2)
    for seed in (1, 2, 3):
        store.save_story(tmp_path, attach_image(story, 1, noise(seed, 4, 4, 3), {"seed": seed}))
    loaded = store.load_story(tmp_path)
    assert torch.equal(loaded.panels[1].image, noise(3, 4, 4, 3))
    first, second = json.loads((tmp_path / "story.json").read_text())["panels"][1]["earlier"]
    assert (first["paint"], second["paint"]) == ({"seed": 1}, {"seed": 2})
    assert torch.equal(read_picture(tmp_path / first["image"]), noise(1, 4, 4, 3))


def test_saving_a_shorter_story_loses_nothing(tmp_path: Path) -> None:
    story = attach_image(tell(4), 1, noise(1, 4, 4, 3))
    store.save_story(tmp_path, story)
    store.save_story(tmp_path, tell(2))
    assert same(store.load_story(tmp_path), story)


def test_keep_gives_each_line_its_own_folder(tmp_path: Path) -> None:
    trunk, branch, twig = tell(3), tell(4, mark_from=2), tell(5, mark_from=3)
    assert store.keep(tmp_path, tell(2)) == tmp_path / "my run"
    assert store.keep(tmp_path, trunk) == tmp_path / "my run", "the same line goes on"
    branched = store.keep(tmp_path, branch)
    assert branched == tmp_path / f"my run~{branch.panels[2].uid[:8]}"
    assert store.keep(tmp_path, twig) == tmp_path / "my run", "it goes on from all of the trunk"
    assert store.keep(tmp_path, branch) == branched, "the same story, the same folder"
    third = store.keep(tmp_path, append(tell(3), panel(7)))
    assert third not in (branched, tmp_path / "my run")
    assert same(store.load_story(branched), branch)
    assert same(store.load_story(tmp_path / "my run"), twig)


def changed_features(story: Story, index: int, change: float) -> Story:
    old = story.panels[index]
    features = {space: (tensor + change).to(tensor.dtype) for space, tensor in old.features.items()}
    panels = (*story.panels[:index], replace(old, features=features), *story.panels[index + 1 :])
    return replace(story, panels=panels)


def test_rounding_is_no_other_story(tmp_path: Path) -> None:
    """Told again with other rows in the cache, features differ in their last digits."""
    story = tell(3)
    folder = store.keep(tmp_path, story)
    before = written(folder)
    assert store.keep(tmp_path, changed_features(story, 1, 1e-4)) == folder
    assert written(folder) == before, "what was saved first stays"


def test_other_features_are_another_line(tmp_path: Path) -> None:
    story, other = tell(3), changed_features(tell(3), 1, 0.5)
    first, second = store.keep(tmp_path, story), store.keep(tmp_path, other)
    assert first != second and store.keep(tmp_path, other) == second
    assert same(store.load_story(first), story) and same(store.load_story(second), other)
    third = store.keep(tmp_path, changed_features(tell(3), 1, 5.0))
    assert third not in (first, second)


def test_keep_leaves_damaged_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run" / "story.json").write_text("{")
    folder = store.keep(tmp_path, tell(2))
    assert folder.name == f"my run~{tell(2).panels[0].uid[:8]}"
    (folder / "story.json").write_text("[]")
    again = store.keep(tmp_path, tell(2))
    assert same(store.load_story(again), tell(2))
    assert (tmp_path / "my run" / "story.json").read_text() == "{"


def test_saving_over_another_story_is_refused(tmp_path: Path) -> None:
    store.save_story(tmp_path, tell(3))
    before = written(tmp_path)
    with pytest.raises(SeedStoryError, match=r"another story \(panel 1 differs\)"):
        store.save_story(tmp_path, tell(3, mark_from=1))
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("my run", "my run"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "story"),
        ("", "story"),
        ("a/b\\c:d", "a_b_c_d"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("trailing. ", "trailing"),
        ("a\x00b\nc", "a_b_c"),
        ("\u72d0\u306e\u8a71", "\u72d0\u306e\u8a71"),
        ("x" * 500, "x" * 120),
    ],
)
def test_safe_names(wanted: str, name: str) -> None:
    assert store.safe_name(wanted) == name


def test_every_name_stays_in_its_root(tmp_path: Path) -> None:
    for wanted in ("../up", "/abs", "C:\\x", "a/../../b", "\u72d0" * 300, "\ud800"):
        folder = store.keep(tmp_path, replace(tell(1), run=wanted))
        assert folder.parent == tmp_path


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    data = json.loads((folder / "story.json").read_text())
    change(data)
    (folder / "story.json").write_text(json.dumps(data))


HOSTILE: list[tuple[str, Callable[[dict], object]]] = [
    ("version 2", lambda d: d.update(version=2)),
    ("version '1'", lambda d: d.update(version="1")),
    ("not a story", lambda d: d.update(format="other")),
    ("lacks or misshapes", lambda d: d.pop("engine")),
    ("lacks or misshapes", lambda d: d.update(world="w")),
    ("lacks or misshapes", lambda d: d.update(closing=3)),
    ("lacks or misshapes", lambda d: d["panels"][1].pop("text")),
    ("lacks or misshapes", lambda d: d["panels"][1].update(caption=["a"])),
    ("lacks or misshapes", lambda d: d["panels"][1].update(origin="made up")),
    ("lacks or misshapes", lambda d: d["panels"][1].update(token_ids=[1.5])),
    ("lacks or misshapes", lambda d: d["panels"][1].update(token_ids="12")),
    ("lacks or misshapes", lambda d: d["panels"][1].update(seed="1")),
    ("lacks or misshapes", lambda d: d["panels"][1].update(provenance=[1])),
    ("lacks or misshapes", lambda d: d["panels"][1].update(features=5)),
    ("lacks or misshapes", lambda d: d.update(characters={"a": 1})),
    ("'panels' must be", lambda d: d.update(panels={"0": {}})),
    ("'panels' must be", lambda d: d.update(panels=[1, 2])),
    ("10001 panels", lambda d: d.update(panels=[{}] * 10_001)),
    ("leaves its folder", lambda d: d["panels"][1].update(features="../../x.safetensors")),
    ("leaves its folder", lambda d: d["panels"][1].update(features="/etc/passwd")),
    ("leaves its folder", lambda d: d["panels"][0].update(image="..\\..\\secret.png")),
    ("leaves its folder", lambda d: d["panels"][0].update(image="C:/secret.png")),
    ("leaves its folder", lambda d: d["characters"][0].update(images=["../x.png"])),
    ("missing", lambda d: d["panels"][1].update(features="features/777.safetensors")),
    ("There is no picture", lambda d: d["panels"][0].update(image="panels/777.png")),
]


@pytest.mark.parametrize(("message", "change"), HOSTILE)
def test_hostile_manifests(tmp_path: Path, message: str, change: Callable[[dict], object]) -> None:
    store.save_story(tmp_path, tell(2))
    edit(tmp_path, change)
    with pytest.raises(SeedStoryError, match=message):
        store.load_story(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, '{"format": NaN}', "\xff"])
def test_manifests_that_are_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "story.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SeedStoryError, match="is not valid JSON|is not a story|is nested"):
        store.load_story(tmp_path)


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "story.json", "wb") as file:
        file.truncate(1 << 40)  # sparse: a terabyte that takes no space
    with pytest.raises(SeedStoryError, match="larger than 64.0 MB"):
        store.load_story(tmp_path)
    with pytest.raises(SeedStoryError, match="is not a story folder"):
        store.load_story(tmp_path / "nowhere")


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    store.save_story(folder, tell(2))
    secret = tmp_path / "secret.png"
    (folder / "panels" / "000.png").rename(secret)
    (folder / "panels" / "000.png").symlink_to(secret)
    with pytest.raises(SeedStoryError, match="leaves its folder"):
        store.load_story(folder)


def test_saving_does_not_follow_links_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "s", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "features").symlink_to(outside)
    with pytest.raises(SeedStoryError, match="leaves its folder"):
        store.save_story(folder, tell(2))
    assert not list(outside.iterdir())


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "junk": b"\x00" * 64}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "junk"])
@pytest.mark.parametrize("name", ["features/001.safetensors", "panels/000.png"])
def test_damaged_files_are_named(tmp_path: Path, name: str, how: str) -> None:
    store.save_story(tmp_path, tell(2))
    damage(tmp_path / name, how)
    with pytest.raises(SeedStoryError, match=Path(name).name):
        store.load_story(tmp_path)


def test_nan_features_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    store.save_story(tmp_path, tell(2))
    save_file({"toy.code": torch.tensor([[float("nan")]])}, tmp_path / "features/001.safetensors")
    with pytest.raises(SeedStoryError, match="NaN or infinite"):
        store.load_story(tmp_path)


def test_files_beyond_the_manifest_are_no_harm(tmp_path: Path) -> None:
    """Killed between a panel's files and story.json: what story.json says is the story."""
    store.save_story(tmp_path, tell(2))
    (tmp_path / "features" / "002.safetensors").write_bytes(b"half")
    (tmp_path / "features" / ".003.safetensors.abcd.part").write_bytes(b"")
    assert same(store.load_story(tmp_path), tell(2))
    store.save_story(tmp_path, tell(3))
    assert same(store.load_story(tmp_path), tell(3))


def test_a_caption_edited_by_hand_makes_another_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.save_story(tmp_path, tell(3))
    edit(tmp_path, lambda d: d["panels"][1].update(caption="mine"))
    loaded = store.load_story(tmp_path)
    told = tell(3)
    agree = [a.uid == b.uid for a, b in zip(loaded.panels, told.panels, strict=True)]
    assert agree == [True, False, False]
    assert "panel 1 was changed by hand" in caplog.text


def test_cost_of_a_save_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 60th panel reads no earlier feature or picture and writes two files."""
    story = tell(60)
    for index in range(1, 59):
        story = attach_image(story, index, noise(index, 32, 32, 3))
    store.save_story(tmp_path, story)
    for path in [*tmp_path.glob("features/*"), *tmp_path.glob("panels/*")]:
        path.unlink()  # whoever needs them now fails
    before = written(tmp_path)
    store.save_story(tmp_path, attach_image(append(story, panel(60)), 60, noise(60, 32, 32, 3)))
    new = set(written(tmp_path)) - set(before)
    assert new == {"features/060.safetensors", "panels/060.png"}


def test_find_stories_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(["old", "new"]):
        store.save_story(tmp_path / name, tell(1))
        os.utime(tmp_path / name / "story.json", (age, age))
    (tmp_path / "not a story").mkdir()
    assert list(store.find_stories(tmp_path)) == ["new", "old"]
    assert store.find_stories(tmp_path / "nowhere") == {}


GROW = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
from test_story_store import noise, panel, tell
from seedstory_core.images import read_picture
from seedstory_core.story import append, attach_image
from seedstory_core.story_store import save_story
from pathlib import Path
story = tell(1)
for number in range(1, 5000):
    if number == 3:
        print("begin", flush=True)
    story = append(story, panel(number))
    save_story(Path({folder!r}), story)
    story = attach_image(story, number, noise(number, 64, 64, 3))
    save_story(Path({folder!r}), story)
"""


@pytest.mark.parametrize("wait", [0.05, pytest.param(0.2, marks=pytest.mark.slow)])
def test_a_killed_run_loads(tmp_path: Path, wait: float) -> None:
    here = str(Path(__file__).parent)
    code = GROW.format(root=str(ROOT), here=here, folder=str(tmp_path))
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert run.stdout is not None and run.stdout.readline() == b"begin\n"
    time.sleep(wait)
    run.send_signal(signal.SIGKILL)
    run.wait()
    loaded = store.load_story(tmp_path)
    count = len(loaded)
    assert count >= 2
    whole = tell(1)
    for number in range(1, count):
        whole = append(whole, panel(number))
        if number < count - 1 or loaded.panels[number].image is not None:
            whole = attach_image(whole, number, noise(number, 64, 64, 3))
    assert same(loaded, whole)
    store.save_story(tmp_path, append(whole, panel(count)))
    assert len(store.load_story(tmp_path)) == count + 1


FULL = """
import resource, sys
sys.path[:0] = [{root!r}, {here!r}]
from pathlib import Path
from test_story_store import noise, panel, tell
from seedstory_core.errors import SeedStoryError
from seedstory_core.story import append, attach_image
from seedstory_core.story_store import save_story
folder = Path({folder!r})
save_story(folder, tell(2))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_story(folder, attach_image(append(tell(2), panel(2)), 2, noise(1, 200, 200, 3)))
except SeedStoryError as error:
    print(error)
"""


def test_a_full_disk_keeps_what_was_saved(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails midway."""
    code = FULL.format(root=str(ROOT), here=str(Path(__file__).parent), folder=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert "Disk full while writing" in run.stdout and "002.png" in run.stdout, run.stderr
    assert same(store.load_story(tmp_path), tell(2))
    assert not list(tmp_path.rglob("*.part"))

"""Where worlds are found, and where the world that is made on the spot goes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import tiny_painter as tiny


@pytest.fixture()
def roots(pack: ModuleType, tmp_path: Path) -> Iterator[list[str]]:
    """The list of world folders, alone with one of this test's own; restored afterwards."""
    import folder_paths

    paths, _ = folder_paths.folder_names_and_paths["seedstory"]
    before = list(paths)
    paths[:] = [str(tmp_path / "models"), before[-1]]
    yield paths
    paths[:] = before


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_world(tmp_path_factory.mktemp("made") / "w", *tiny.make_models())


def test_the_packs_own_worlds_come_last(pack: ModuleType, roots: list[str], tmp_path: Path) -> None:
    import folder_paths

    own = str(Path(pack.__file__).parent / "worlds")
    assert own in roots
    folder_paths.add_model_folder_path("seedstory", str(tmp_path / "extra"))  # as a yaml file does
    found = [str(root) for root in pack.nodes.host.folders.world_roots()]
    assert found == [str(tmp_path / "models"), str(tmp_path / "extra"), own]


def test_extra_folders_are_searched_and_earlier_ones_win(
    pack: ModuleType, roots: list[str], world: Path, tmp_path: Path
) -> None:
    import folder_paths

    folder_paths.add_model_folder_path("seedstory", str(tmp_path / "extra"))
    for place in ("extra/alpha", "extra/both", "models/both"):
        shutil.copytree(world, tmp_path / place)
    (tmp_path / "models" / "no-world").mkdir()
    host = pack.nodes.host
    assert [name for name in host.world_choices() if name in ("alpha", "both", "no-world")] == [
        "both",
        "alpha",
    ]
    assert host.open_named_world("both").root == tmp_path / "models" / "both"
    assert host.open_named_world("alpha").root == tmp_path / "extra" / "alpha"


def test_there_is_always_a_world_to_choose(pack: ModuleType, roots: list[str]) -> None:
    assert pack.nodes.host.world_choices()[-1] == "babble"


def test_babble_is_made_once_and_leaves_nothing_half_made(
    pack: ModuleType, roots: list[str], tmp_path: Path
) -> None:
    first = pack.nodes.host.open_named_world("babble")
    assert first.root == tmp_path / "models" / "babble" and first.notice
    made = (first.root / "world.json").stat().st_mtime_ns
    assert pack.nodes.host.open_named_world("babble").digest == first.digest
    assert (first.root / "world.json").stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["babble"]


def test_babble_goes_elsewhere_where_models_are_read_only(
    pack: ModuleType, roots: list[str], tmp_path: Path
) -> None:
    import folder_paths

    (tmp_path / "models").write_text("a file where the folder should be")
    user = folder_paths.get_user_directory()
    folder_paths.set_user_directory(str(tmp_path / "user"))
    try:
        world = pack.nodes.host.open_named_world("babble")
        assert world.root == tmp_path / "user" / "seedstory" / "babble"
        assert pack.nodes.host.open_named_world("babble").root == world.root
    finally:
        folder_paths.set_user_directory(user)


def test_a_world_opening_is_picture_and_sentence(pack: ModuleType, roots: list[str]) -> None:
    opening = pack.nodes.loaders.WorldOpening
    world = pack.nodes.host.open_named_world("babble")
    for number, entry in enumerate(world.openings, start=1):
        image, text = opening.execute(world="babble", number=number).args
        assert text == entry["text"]
        assert image.shape == (1, 64, 64, 3) and 0 <= image.min() < image.max() <= 1
    with pytest.raises(ValueError, match=f"brings {len(world.openings)} openings"):
        opening.execute(world="babble", number=len(world.openings) + 1)

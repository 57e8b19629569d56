"""Prefixes of saved files: in words where they lead out of the output folder or name no file."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

OUTSIDE = ("../x", "../../x", "/etc/x", "a/../../x", "/", "link/x")
NAMELESS = ("a\0b", "\0", "\ud800", "x/\udfff/y")


@pytest.fixture()
def output(comfy_here: Path, tmp_path: Path) -> Any:
    """An empty output folder, with a link that leads out of it."""
    import folder_paths

    before = folder_paths.get_output_directory()
    (tmp_path / "output").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "output" / "link").symlink_to(tmp_path / "elsewhere")
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield tmp_path / "output"
    folder_paths.set_output_directory(before)


def tale(pack: ModuleType) -> Any:
    core = pack.seedstory_core
    empty = core.types.Story((), "seed-story", core.types.WorldRef("w", "0" * 64), "tale")
    return core.story.append(empty, core.types.Panel("A fox.", "A fox.", "opening"))


@pytest.mark.parametrize("prefix", [*OUTSIDE, *NAMELESS])
def test_an_odd_prefix_is_refused_in_words(prefix: str, pack: ModuleType, output: Path) -> None:
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="prefix"):
        pack.nodes.host.save_file(tale(pack), prefix)
    left = [path for path in output.parent.rglob("*") if path.is_file()]
    assert not left


@pytest.mark.parametrize("prefix", ["fox", "seedstory/fox", "a/../fox", "%year%/fox", "\u72d0"])
def test_other_prefixes_name_files_of_the_output_folder(
    prefix: str, pack: ModuleType, output: Path
) -> None:
    path = Path(pack.nodes.host.save_file(tale(pack), prefix))
    assert path.is_file() and path.resolve().is_relative_to(output.resolve())

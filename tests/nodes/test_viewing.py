"""Story View: what is picked is handed on, and what is shown is what came in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.executor import Executor


def told(pack: ModuleType, captions: list[str], before: Any = None, run: str = "tale") -> Any:
    """A story by hand, one painted panel for each caption."""
    core = pack.seedstory_core
    story = before or core.types.Story((), "toy", core.types.WorldRef("w", "0"), run)
    for caption in captions:
        picture = torch.full((8, 8, 3), 2 * len(story), dtype=torch.uint8)
        origin = "told" if story.panels else "opening"
        story = core.story.append(
            story, core.types.Panel(caption, caption, origin, image=picture, seed=len(story))
        )
    return story


@pytest.fixture()
def story(pack: ModuleType) -> Any:
    return told(pack, ["A <b>fox</b>.", "B", "C", "D"])


@pytest.fixture()
def output(comfy_here: Path, tmp_path: Path) -> Iterator[Path]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path / "seedstory"
    folder_paths.set_output_directory(before)


def view(pack: ModuleType, stories: list[Any], *pick: Any, more: list[Any] | None = None) -> Any:
    number, action, branch = (*pick, *(-1, "go on", "")[len(pick) :])
    return pack.nodes.viewing.StoryView.execute(stories, [number], [action], [branch], more)


def test_the_newest_is_picked_unless_said_otherwise(pack: ModuleType, story: Any) -> None:
    ended = pack.seedstory_core.types.replace(story, closing="The end.")
    for whole in (story, ended):
        out = view(pack, [whole])
        assert out.args == (whole, 3)
        assert out.args[0] is whole


@pytest.mark.parametrize("number", [0, 1, 3])
def test_go_on_ends_with_the_pick_and_keeps_the_same_panels(
    pack: ModuleType, story: Any, number: int
) -> None:
    ended = pack.seedstory_core.types.replace(story, closing="The end.")
    picked, panel = view(pack, [ended], number).args
    assert panel == number and not picked.ended
    assert len(picked) == number + 1
    assert all(one is other for one, other in zip(picked.panels, story.panels, strict=False))


@pytest.mark.parametrize(("number", "left", "panel"), [(3, 3, 3), (1, 1, 1), (-1, 3, 3)])
def test_re_roll_ends_before_the_pick(
    pack: ModuleType, story: Any, number: int, left: int, panel: int
) -> None:
    picked, told_again = view(pack, [story], number, "re-roll").args
    assert len(picked) == left and told_again == panel
    assert all(one is other for one, other in zip(picked.panels, story.panels, strict=False))


def test_the_whole_story_is_handed_on_with_the_number_alone(pack: ModuleType, story: Any) -> None:
    assert view(pack, [story], 2, "whole story").args == (story, 2)


def test_a_pick_on_another_branch_is_found_by_its_uid(pack: ModuleType, story: Any) -> None:
    begun = view(pack, [story], 1).args[0]
    other = told(pack, ["X", "Y"], begun)
    uid = other.panels[3].uid[:16]
    for stories, more in (([story, other], None), ([story], [other])):
        picked, panel = view(pack, stories, 2, "go on", other.panels[2].uid[:16], more=more).args
        assert panel == 2 and picked.panels == other.panels[:3]
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="none of the 1 stories"):
        view(pack, [story], 3, "go on", uid)
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match="none of the 2 stories"):
        view(pack, [story, other], 2, "go on", uid)


@pytest.mark.parametrize(
    ("number", "action", "said"),
    [
        (4, "go on", "has panels 0 to 3"),
        (9999, "re-roll", "Pick another"),
        (0, "re-roll", "opening"),
    ],
)
def test_a_pick_that_cannot_be_says_what_to_do(
    pack: ModuleType, story: Any, number: int, action: str, said: str
) -> None:
    with pytest.raises(pack.seedstory_core.errors.SeedStoryError, match=said):
        view(pack, [story], number, action)


def test_stories_that_share_panels_are_one_tree(pack: ModuleType, story: Any, output: Path) -> None:
    import folder_paths

    other = told(pack, ["X", "Y"], view(pack, [story], 1).args[0])
    pack.seedstory_core.story_store.keep(output, story)
    folder = pack.seedstory_core.story_store.keep(output, other)
    (tree,) = view(pack, [story], more=[other]).ui["seedstory_tree"]
    assert json.loads(json.dumps(tree)) == tree, "plain JSON"
    captions = {panel["uid"]: panel["caption"] for panel in tree["panels"]}
    parents = {panel["caption"]: captions.get(panel["parent"], "") for panel in tree["panels"]}
    assert parents == {"A <b>fox</b>.": "", "B": "A <b>fox</b>.", "C": "B", "D": "C"} | {
        "X": "B",
        "Y": "X",
    }
    tips = [(captions[branch["tip"]], branch["folder"]) for branch in tree["branches"]]
    assert tips == [("D", "tale"), ("Y", folder.name)]
    for panel in tree["panels"]:
        place = Path(folder_paths.get_temp_directory(), panel["image"]["subfolder"])
        assert (place / panel["image"]["filename"]).is_file()


def test_the_tree_from_disk_is_the_tree_from_the_edge(
    pack: ModuleType, story: Any, output: Path
) -> None:
    other = told(pack, ["X"], view(pack, [story], 1).args[0])
    for one in (story, other):
        pack.seedstory_core.story_store.keep(output, one)
    shown = pack.nodes.host.story_tree([story, other])
    kept = pack.nodes.host.shelf.Shelf().tree([branch["folder"] for branch in shown["branches"]])
    plain = [{**panel, "image": None} for panel in shown["panels"]]
    assert [{**panel, "image": None} for panel in kept["panels"]] == plain
    assert kept["branches"] == shown["branches"]
    image = kept["panels"][0]["image"]
    assert (output.parent / image["subfolder"] / image["filename"]).is_file()


def test_folders_of_strangers_and_tricks_are_left_out(
    pack: ModuleType, story: Any, output: Path
) -> None:
    kept = pack.nodes.host.shelf.Shelf().tree
    folder = pack.seedstory_core.story_store.keep(output, story)
    assert kept(["..", "../..", str(folder), "", "nobody"]) == {"panels": [], "branches": []}
    manifest = json.loads((folder / "story.json").read_text())
    manifest["panels"][1]["image"] = "../../secret.png"
    (output.parent / "secret.png").write_bytes(b"x")
    (folder / "story.json").write_text(json.dumps(manifest))
    assert kept(["tale"]) == {"panels": [], "branches": []}
    manifest["panels"] = [{"uid": 7, "caption": ["<img>"], "image": 3}, {}]
    (folder / "story.json").write_text(json.dumps(manifest))
    assert [panel["image"] for panel in kept(["tale"])["panels"]] == [None, None]
    (folder / "story.json").write_text("{")
    assert kept(["tale"]) == {"panels": [], "branches": []}


def test_a_hundred_panels_are_small_for_the_page(pack: ModuleType, output: Path) -> None:
    long = told(pack, [f"Panel {n} of a story that is long." for n in range(100)])
    (tree,) = view(pack, [long]).ui["seedstory_tree"]
    assert len(tree["panels"]) == 100
    assert len(json.dumps(tree)) < 40_000, "no picture data, only file names"


class Routes:
    """aiohttp's table, as far as the pack uses it."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def get(self, path: str) -> Any:
        return lambda handler: self.found.setdefault(path, handler)


def test_kept_panels_are_announced_and_missed_messages_come_again(
    pack: ModuleType, story: Any, output: Path
) -> None:
    from aiohttp.test_utils import make_mocked_request

    class Keeps(pack.nodes.viewing.io.ComfyNode):
        """Keeps a story panel by panel."""

        @classmethod
        def define_schema(cls) -> Any:
            io = pack.nodes.viewing.io
            out = pack.nodes.types.Story.Output()
            return io.Schema(node_id="Keeps", outputs=[out], is_output_node=True)

        @classmethod
        def execute(cls) -> Any:
            for number in range(len(story)):
                pack.nodes.host.keep_story(view(pack, [story], number).args[0])
            return pack.nodes.viewing.io.NodeOutput(story)

    routes = Routes()
    pack.nodes.host.routes.add_routes(routes)

    def ask(path: str) -> Any:
        handler = routes.found[path.partition("?")[0]]
        return json.loads(asyncio.run(handler(make_mocked_request("GET", path))).text)

    before = ask("/seedstory/kept")["newest"]
    run = Executor([Keeps]).run({"7": {"class_type": "Keeps", "inputs": {}}})
    sent = run.shown(pack.nodes.host.keeping.KEPT_EVENT)
    assert [(m["node"], m["folder"], m["panels"]) for m in sent] == [
        ("7", "tale", n) for n in (1, 2, 3, 4)
    ]
    missed = ask(f"/seedstory/kept?client=test&after={before}")
    assert missed["newest"] == before + 4
    assert missed["messages"] == [sent[-1]], "the newest of each node"
    assert ask(f"/seedstory/kept?client=test&after={before + 4}")["messages"] == []
    assert ask("/seedstory/kept?client=other&after=x")["messages"] == []
    tree = ask("/seedstory/stories?folder=tale&folder=nobody")
    assert [panel["caption"] for panel in tree["panels"]] == [p.caption for p in story.panels]

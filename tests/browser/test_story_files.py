"""Story files and books dropped on their node and on the canvas, as files from the desktop."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.dropping import drop
from support.front_end import Chrome, FrontEnd, front_end
from support.server import ComfyServer

from seedstory_core.story import append
from seedstory_core.story_file import open_any, pack_story, workflow_of
from seedstory_core.types import Panel, Story, WorldRef

pytestmark = [pytest.mark.comfyui, pytest.mark.browser]

LOAD, SAVE, BOOK = "SeedStory_LoadStoryFile", "SeedStory_SaveStoryFile", "SeedStory_PressBook"
PICTURES, PANELS = "SeedStory_SaveStoryImages", "SeedStory_Panels"
ALONE = """(type) => { app.graph.clear(); const node = LiteGraph.createNode(type);
    node.pos = [100, 100]; app.graph.add(node); app.canvas.ds.reset(); app.canvas.draw(true, true);
    return [node.id, node.widgets.map((widget) => widget.name)]; }"""
VALUE = """(type) => app.graph._nodes.find((node) => node.type === type)
    ?.widgets.find((widget) => widget.name === 'file').value"""
TYPES = "() => app.graph._nodes.map((node) => node.type).sort()"
#: Load Story File -> story file, pictures, and a book of each kind.
BUILD = """([[load, save, book, pictures, panels], kinds]) => {
    app.graph.clear();
    const [from, ...to] = [load, save, book, panels, pictures].map((type) => {
        const node = LiteGraph.createNode(type); app.graph.add(node); return node; });
    for (const node of to)
        from.connect(0, node, node.inputs.findIndex((input) => input.name === 'story'));
    to[2].connect(0, to[3], to[3].inputs.findIndex((input) => input.name === 'images'));
    from.widgets.find((widget) => widget.name === 'file').value = 'tale.seedstory';
    for (const widget of to[1].widgets) if (typeof widget.value === 'boolean')
        widget.value = widget.name === 'carry_story' || kinds.includes(widget.name);
    to[3].widgets.find((widget) => widget.name === 'filename_prefix').value = 'files/page';
    to[0].widgets.find((widget) => widget.name === 'filename_prefix').value = 'files/tale';
}"""
WIDGET = """(type) => app.graph._nodes.find((node) => node.type === type)
    .widgets.find((widget) => widget.name === 'file')"""
#: Load Story File -> a node for pages -> Preview Image.
PRINT = """([load, pages, file]) => {
    app.graph.clear();
    const [from, node, to] = [load, pages, 'PreviewImage'].map((type) => {
        const one = LiteGraph.createNode(type); app.graph.add(one); return one; });
    from.connect(0, node, node.inputs.findIndex((input) => input.name === 'story'));
    node.connect(0, to, 0);
    from.widgets.find((widget) => widget.name === 'file').value = file;
}"""
SAID = """() => app.graph._nodes.find((node) => node.type === 'SeedStory_StoryPage')
    .widgets.find((widget) => widget.name === 'seedstory_told')?.element.value ?? null"""


@pytest.fixture(scope="module", params=["comfy", "comfy_newest", "comfy_oldest"])
def server(request: pytest.FixtureRequest) -> ComfyServer:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def page(chrome: Chrome, server: ComfyServer) -> Iterator[FrontEnd]:
    with front_end(chrome, server) as opened:
        yield opened


def tale() -> Story:
    story = Story((), "toy", WorldRef("w", "d" * 64), "tale")
    for number, caption in enumerate(("A fox.", "A hen & <b>an egg</b>.")):
        picture = torch.full((8, 8, 3), 99 + number, dtype=torch.uint8)
        origin = "told" if number else "opening"
        features = {"toy.code": torch.ones(2, 2)}
        panel = Panel(caption, caption, origin, features=features, image=picture)
        story = append(story, panel)
    return story


def test_a_file_is_dropped_on_its_node(page: FrontEnd) -> None:
    number, names = page.page.evaluate(ALONE, LOAD)
    assert names == ["file", "choose story file"]
    drop(page, "fox.seedstory", pack_story(tale()), number)
    page.page.wait_for_function(f"({VALUE})('{LOAD}') === 'fox.seedstory'")
    assert page.page.evaluate(TYPES) == [LOAD]
    other = pack_story(Story((), "toy", WorldRef("w", "d" * 64), "other"))
    drop(page, "fox.seedstory", other, number)
    page.page.wait_for_function(f"({VALUE})('{LOAD}') === 'fox (1).seedstory'")


def test_a_file_is_chosen_with_the_button(page: FrontEnd, tmp_path: Path) -> None:
    page.page.evaluate(ALONE, LOAD)
    (tmp_path / "hen.seedstory").write_bytes(pack_story(tale()))
    with page.page.expect_file_chooser() as chooser:
        page.page.evaluate("() => app.graph._nodes[0].widgets[1].callback()")
    chooser.value.set_files(tmp_path / "hen.seedstory")
    page.page.wait_for_function(f"({VALUE})('{LOAD}') === 'hen.seedstory'")


def test_a_story_without_a_workflow_comes_in_a_node(page: FrontEnd) -> None:
    page.page.evaluate(ALONE, "SeedStory_ShowStory")
    drop(page, "told.seedstory", pack_story(tale()))
    page.page.wait_for_function(f"({VALUE})('{LOAD}') === 'told.seedstory'")
    assert page.page.evaluate(TYPES) == [LOAD, "SeedStory_ShowStory"]


def test_every_book_brings_story_and_workflow_back(page: FrontEnd, server: ComfyServer) -> None:
    (server.base / "input" / "tale.seedstory").write_bytes(pack_story(tale()))
    page.page.evaluate("async () => { await app.refreshComboInNodes(); }")
    oldest = server.base.name.startswith("comfy-oldest")  # without the libraries of the press
    kinds = ["cbz"] if oldest else ["cbz", "epub", "html", "pdf"]
    page.page.evaluate(BUILD, [[LOAD, SAVE, BOOK, PICTURES, PANELS], kinds])
    before = page.page.evaluate(TYPES)
    assert page.run() == ""
    places = ("files/tale_*", "files/page_*", "seedstory-books/book_*/book.*")
    made = {path.suffix[1:]: path for at in places for path in (server.base / "output").glob(at)}
    for kind in [*kinds, "png", "seedstory"]:
        story = open_any(made[kind])
        assert [p.uid for p in story.panels] == [p.uid for p in tale().panels], kind
        assert workflow_of(story)["workflow"]["nodes"], kind
        page.page.evaluate(ALONE, "SeedStory_ShowStory")
        drop(page, made[kind].name, made[kind].read_bytes())
        page.page.wait_for_function(f"(wanted) => ({TYPES})().join() === wanted.join()", arg=before)
    assert page.run() == "", "what came back runs"


def test_a_book_without_a_story_changes_nothing_and_says_so(page: FrontEnd) -> None:
    page.page.evaluate(ALONE, "SeedStory_ShowStory")
    drop(page, "bare.pdf", b"%PDF-1.7 nothing")
    page.page.wait_for_timeout(1000)
    assert page.page.evaluate(TYPES) == ["SeedStory_ShowStory"]


def test_a_story_file_of_another_shape_is_answered_in_words(page: FrontEnd) -> None:
    """Not in JavaScript's: what is wrong with the file stands in the message."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("story.json", '{"format": "seedstory-story", "version": 1, "panels": null}')
    page.page.evaluate(ALONE, "SeedStory_ShowStory")
    drop(page, "odd.seedstory", out.getvalue())
    shown = page.page.get_by_text("its story.json has no list of panels").first
    shown.wait_for(state="visible")
    assert page.page.evaluate(TYPES) == ["SeedStory_ShowStory"]


def test_what_pages_leave_out_is_said_in_their_node(page: FrontEnd, server: ComfyServer) -> None:
    """The field comes with the first word, and is empty where nothing is missing."""
    private = "\U0010fffd"  # no font's: printed by none, whatever this system has
    for name, caption in (("odd", f"A fox {private}."), ("plain", "A fox.")):
        panel = Panel(caption, caption, "opening", image=torch.zeros(8, 8, 3).byte())
        story = append(Story((), "toy", WorldRef("w", "d" * 64), name), panel)
        (server.base / "input" / f"{name}.seedstory").write_bytes(pack_story(story))
    page.page.evaluate("async () => { await app.refreshComboInNodes(); }")
    page.page.evaluate(PRINT, [LOAD, "SeedStory_StoryPage", "odd.seedstory"])
    assert page.page.evaluate(SAID) is None
    assert page.run() == ""
    assert "U+10FFFD" in page.page.evaluate(SAID)
    page.page.evaluate(f"() => {{ ({WIDGET})('{LOAD}').value = 'plain.seedstory'; }}")
    assert page.run() == ""
    assert page.page.evaluate(SAID) == ""

"""The newest front end of the registry: both renderers, subgraphs, far servers, messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Route
from support.dropping import drop
from support.far import FOLDER, HOST, far
from support.front_end import Chrome, FrontEnd, front_end
from support.prompts import NAMES, api_prompt, ui_graph
from support.server import ComfyServer
from support.view_page import (
    VIEW,
    WATCH,
    ViewPage,
    looking,
    made_story,
    numbered,
    put,
    showing,
    tale,
    telling,
)

from seedstory_core.story_file import pack_story

pytestmark = [pytest.mark.comfyui, pytest.mark.browser]

SHOW, TELL, MORE = "SeedStory_ShowStory", "SeedStory_TellStory", "SeedStory_TellPanel"
TOLD = 2  # panels
GIVEN = [f"Mila sees a kite. It is number {number}." for number in range(20)]  # some seconds
#: A node alone on the canvas, where the mouse reaches it.
ALONE = """(type) => { app.canvas.setGraph(app.graph); app.graph.clear(); app.canvas.ds.reset();
    const node = LiteGraph.createNode(type); node.pos = [300, 200]; app.graph.add(node); }"""
#: Gives up after 0.3 s where ComfyUI means 60; `window.patient` takes that back.
HURRY = """() => {
    const real = window.setTimeout;
    window.setTimeout = (act, ms, ...more) => real(act, ms === 60000 ? 300 : ms, ...more);
    window.patient = () => { window.setTimeout = real; };
}"""
#: What a page of ComfyUI's answers to its own question that takes longer than that.
ASK = """() => app.api.fetchApi('/upload/image', { method: 'POST', body: new FormData() })
    .then((answer) => String(answer.status), (error) => error.name)"""
#: Ids of the workflows that messages name.
SENDERS = """() => {
    window.senders = new Set();
    for (const kind of ['seedstory.kept', 'seedstory.text'])
        app.api.addEventListener(kind, ({ detail }) => window.senders.add(detail.workflow));
}"""
OPENED = "() => app.graph.id"
TYPE = "(id) => app.graph.getNodeById(id).type"
VALUE = "() => app.graph._nodes[0].widgets.find((widget) => widget.name === 'file').value"


@pytest.fixture(scope="module", params=["pinned", pytest.param("today", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> ComfyServer:
    fixtures = {"pinned": "comfy_newest", "today": "comfy_today"}
    return request.getfixturevalue(fixtures[request.param])


@pytest.fixture(scope="module", params=["classic", "modern"])
def page(request: pytest.FixtureRequest, chrome: Chrome, server: ComfyServer) -> Iterator[FrontEnd]:
    with front_end(chrome, server, modern=request.param == "modern") as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_a_template_opens_without_a_red_node(page: FrontEnd, name: str) -> None:
    page.load(ui_graph(name))
    assert page.red_nodes() == []
    assert page.prompt() == api_prompt(name)


def test_a_story_grows_in_a_subgraph_and_goes_on_from_the_pick(
    page: FrontEnd, server: ComfyServer, tmp_path: Path
) -> None:
    view = ViewPage(page)
    view.open(telling(server, f"grows-{uuid4().hex[:8]}", TOLD, "picture-world", GIVEN))
    inside = page.into_subgraph(TELL, VIEW, MORE, SHOW)
    page.enter(inside)
    view.centre()
    page.page.evaluate(WATCH)
    page.page.evaluate(SENDERS)
    assert page.run() == ""
    assert page.page.evaluate("() => [...window.senders]") == [page.page.evaluate(OPENED)]
    grown = page.page.evaluate("() => window.grown")
    live = grown[: grown.index("executed")]
    assert max(live, default=0) > 1, f"it grows before all is told: {grown}"
    assert page.page.evaluate("() => window.words.length") > 0, "words appear as they are told"
    told = view.panels()
    every = TOLD + len(GIVEN) + 2  # the opening, those told before the view, and one behind it
    assert len(told) == every
    assert page.story()["captions"] == told
    assert page.page.evaluate(TOLD_INSIDE, TELL), "the node shows what it told"
    view.button("Go on from panel 1").click()
    assert view.widgets() == {"pick": 1, "action": "go on", "branch": ""}
    page.shoot(tmp_path / "subgraph.png")
    view.reload()
    if not view.root.count():
        page.enter(inside)
    view.wait(every - 1)
    assert view.panels()[: every - 1] == told[:-1]
    assert view.picked() == ["Go on from panel 1"]
    page.enter(None)


TOLD_INSIDE = """(type) => app.canvas.graph._nodes.find((node) => node.type === type)
    .widgets.find((widget) => widget.name === 'seedstory_told').element.value"""


def test_what_was_shown_is_there_after_a_look_at_another_workflow(
    page: FrontEnd, server: ComfyServer
) -> None:
    put(server, made_story(tale("again"), "again"))
    view = ViewPage(page)
    view.open(showing(server, "again"))
    assert page.run() == ""
    page.visit_another(ui_graph(NAMES[0]))
    assert view.panels() == page.story()["captions"] == numbered(tale("again"))
    inside = page.into_subgraph(VIEW, SHOW)
    inmost = page.into_subgraph(page.page.evaluate(TYPE, inside))
    assert page.run() == ""
    page.visit_another(ui_graph(NAMES[0]))
    page.enter(inmost)
    page.enter(page.page.evaluate("() => String(app.canvas.graph._nodes[0].id)"))
    assert view.panels() == page.story()["captions"] == numbered(tale("again"))
    page.page.evaluate(
        "() => app.canvas.graph._nodes.forEach((n) => n.onExecuted({ seedstory_panels: [],"
        " seedstory_tree: [{ panels: [], branches: [] }] }))"
    )
    assert view.panels() == page.story()["captions"] == [], "the check would see it"
    page.enter(None)


def test_an_upload_may_take_longer_than_a_minute(page: FrontEnd) -> None:
    page.page.evaluate(ALONE, "SeedStory_LoadStoryFile")
    held: list[Route] = []
    page.page.route("**/upload/image", lambda route: held.append(route))
    page.page.evaluate(HURRY)
    try:
        assert page.page.evaluate(ASK) == "TimeoutError", "this front end does give up"
        node = page.page.evaluate("() => app.graph._nodes[0].id")
        name = "slow-modern" if page.modern else "slow-classic"
        drop(page, f"{name}.seedstory", pack_story(made_story(tale("slow"), "slow")), node)
        page.page.wait_for_timeout(1500)
        assert name not in page.page.evaluate(VALUE), "it is still on its way"
        held[-1].continue_()
        page.page.wait_for_function(f"() => ({VALUE})().startsWith('{name}')")
    finally:
        page.page.evaluate("() => window.patient()")
        page.page.unroute("**/upload/image")


#: Messages and outputs as no server of the pack sends them.
WRONG = """async () => {
    const { api } = app;
    const send = (kind, detail) => api.dispatchEvent(new CustomEvent(kind, { detail }));
    const view = app.graph._nodes.find((node) => node.seedstoryView);
    const show = app.graph._nodes.find((node) => node.seedstoryBoard);
    const long = 'x'.repeat(3_000_000);
    const odd = [undefined, null, 7, '', [], {}, [null], [{}], { length: 9 }, long];
    for (const value of odd) {
        for (const kind of ['seedstory.kept', 'seedstory.text']) send(kind, value);
        for (const node of [view.id, 999, '999:1', `${view.id}:1`, '', ':', value]) {
            send('seedstory.text', { node, text: value });
            send('seedstory.kept', { node, folder: value, panels: value, message: value });
            const output = { seedstory_text: value, seedstory_tree: value,
                seedstory_panels: value };
            send('executed', { node, display_node: node, prompt_id: 'x', output });
        }
        view.onExecuted({ seedstory_tree: value });
        view.onExecuted({ seedstory_tree: [value] });
        view.onExecuted({ seedstory_tree: [{ panels: value, branches: value }] });
        show.onExecuted({ seedstory_panels: value, seedstory_closing: value });
    }
    const panels = Array.from({ length: 30_000 }, (_, number) =>
        ({ uid: `u${number}`, parent: `u${number - 1}`, number, caption: 'A fox.', image: null }));
    show.onExecuted({ seedstory_panels: panels, seedstory_closing: [long] });
    const shown = show.seedstoryBoard.host.shadowRoot.querySelectorAll('.panel').length;
    show.onExecuted({ seedstory_panels: panels.slice(0, 2) });
    const tree = { panels: panels.slice(0, 2), branches: [{ tip: 'u1' }] };
    view.onExecuted({ seedstory_tree: [tree] });
    view.properties.seedstory_folders = [7, { toString: 1 }];
    return shown;
}"""


def test_wrong_and_huge_messages_do_no_harm(page: FrontEnd, server: ComfyServer) -> None:
    put(server, made_story(tale("odd"), "odd"))
    view = ViewPage(page)
    view.open(showing(server, "odd"))
    assert page.page.evaluate(WRONG) == 10_000, "a page can draw so many"
    assert view.panels() == page.story()["captions"] == numbered(["A fox."] * 2)
    view.reload()
    assert page.run() == "", "and it goes on"
    assert view.panels() == page.story()["captions"] == numbered(tale("odd"))


#: A telling before a view, in two places that use one subgraph; what the view hears of whom.
HEARD = """([view, tell]) => {
    const { api } = app, root = app.rootGraph ?? app.graph;
    const [first] = root._nodes.filter((node) => node.subgraph);
    const second = LiteGraph.createNode(first.type);
    root.add(second);
    const inside = (kind) => first.subgraph._nodes.find((node) => node.type === kind);
    const board = inside(view).seedstoryView.board;
    const told = inside(tell).widgets.find((widget) => widget.name === 'seedstory_told').element;
    const heard = (node, workflow) => {
        board.tell(null); told.value = '';
        api.dispatchEvent(new CustomEvent('seedstory.text',
            { detail: { node, workflow, text: 'A fox.' } }));
        return [board.told, told.value];
    };
    const [name] = [inside(tell).id], gone = `${second.id}:${name}`;
    const answers = [heard(`${first.id}:${name}`), heard(gone), heard(String(name)),
        heard(`${first.id}:${name}`, root.id), heard(`${first.id}:${name}`, 'another')];
    root.remove(second);
    return [...answers, heard(gone)];
}"""


def test_words_reach_the_view_of_their_subgraph_and_workflow(
    page: FrontEnd, server: ComfyServer
) -> None:
    page.load(telling(server, "words", TOLD, "picture-world"))
    page.into_subgraph(TELL, VIEW)
    words, nothing = ["A fox."] * 2, [None, ""]
    assert page.page.evaluate(HEARD, [VIEW, TELL]) == [
        words, words, nothing, words, nothing, nothing
    ]  # fmt: skip


PALETTE = """async (id) => {
    await app.extensionManager.setting.set('Comfy.ColorPalette', id);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const root = document.querySelector('.seedstory-view').shadowRoot.querySelector('.view');
    const { color, backgroundColor } = getComputedStyle(root);
    const linear = (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).map((part) => linear(part / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [one, other] = [light(color), light(backgroundColor)].sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05),
        app.canvas.default_connection_color_byType.SEEDSTORY_STORY,
        app.canvas.constructor.link_type_colors.SEEDSTORY_STORY];
}"""
PALETTES = ("light", "solarized", "arc", "nord", "github", "dark")


def test_it_can_be_read_in_every_theme(page: FrontEnd, server: ComfyServer) -> None:
    put(server, made_story(tale("themes"), "themes"))
    page.load(showing(server, "themes"))
    for palette in PALETTES:
        contrast, *colours = page.page.evaluate(PALETTE, palette)
        assert contrast > 3, palette  # solarized's own text has 4.1, all others over 4.5
        assert set(colours) == {"#E8A33D"}, palette


@pytest.mark.slow  # a proxy hands on the front end's 1,500 files, one by one
def test_from_another_machine_and_with_two_pages(
    page: FrontEnd, server: ComfyServer, chrome: Chrome
) -> None:
    """Under another name, in a folder, behind a proxy; the page beside it runs nothing."""
    put(server, made_story(tale("far"), "far"))
    page.load(looking(server, "far"))
    asked: list[str] = []
    with far(server) as address, front_end(chrome, server, page.modern, at=address + "/") as there:
        there.page.on("request", lambda request: asked.append(request.url))
        view = ViewPage(there)
        view.open(showing(server, "far"))
        assert there.run() == ""
        assert view.panels() == numbered(tale("far")) == there.story()["captions"]
        assert all(there.story()["widths"])
        view.reload()
        view.wait(5)
        drop(there, "far.seedstory", pack_story(made_story(tale("dropped"), "dropped")))
        there.page.wait_for_function("() => app.graph._nodes.length === 4")
        there.page.wait_for_function(f"() => app.graph._nodes.some((node) => {UPLOADED})")
    ours = [url for url in asked if any(word in url for word in OURS)]
    assert any("/view?" in url for url in ours) and any("/upload/" in url for url in ours)
    assert [url for url in ours if not url.startswith(f"{address}/")] == []
    assert HOST in address and FOLDER in address
    assert ViewPage(page).panels() == [], "it was not this page's run"


UPLOADED = "node.widgets?.some((widget) => widget.value === 'far.seedstory')"
OURS = ("seedstory", "/view?", "/upload/", "/ws?")

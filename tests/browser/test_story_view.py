"""Story View in the real front end: it grows, enlarges, is picked from, and loses nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.front_end import Chrome, FrontEnd
from support.server import PACK, ComfyServer
from support.view_page import (
    WATCH,
    ViewPage,
    back,
    check_picking,
    looking,
    made_story,
    numbered,
    put,
    tale,
    telling,
)

pytestmark = [pytest.mark.comfyui, pytest.mark.browser]

WORLD = "picture-world"
LONG = 12  # panels, so that the line can be cut while they are told
GIVEN = [f"Mila sees a kite. It is number {number}." for number in range(40)]  # some seconds
#: What pages say while they reach no server.
OFFLINE = "ERR_INTERNET_DISCONNECTED|Failed to fetch"
HOSTILE = (
    "<img src=x onerror='window.stung = 1'>",
    "<script>window.stung = 2</script></figcaption></figure></ol>",
    "\"><svg onload=window.stung=3> ' onfocus=window.stung=4 autofocus x='",
    "javascript:window.stung=5 {{constructor.constructor('window.stung=6')()}} ${window.stung=7}",
    "\u202eright to left\u0007 \U0001f98a " + "long " * 2000,
)


@pytest.fixture(scope="module")
def view(classic: FrontEnd) -> ViewPage:
    return ViewPage(classic)


def test_picking_in_the_classic_renderer(
    view: ViewPage, comfy: ComfyServer, tmp_path: Path
) -> None:
    check_picking(view, comfy, "classic", tmp_path)


def test_picking_in_nodes_2(modern: FrontEnd, comfy: ComfyServer, tmp_path: Path) -> None:
    check_picking(ViewPage(modern), comfy, "modern", tmp_path)


def test_it_grows_while_the_story_is_told_and_goes_on_from_the_pick(
    view: ViewPage, comfy: ComfyServer
) -> None:
    view.open(telling(comfy, "grows", 4, WORLD, GIVEN))
    view.page.evaluate(WATCH)
    assert view.front.run() == ""
    grown = view.page.evaluate("() => window.grown")
    live = grown[: grown.index("executed")]
    between = [count for count in live if 1 < count < 5 + len(GIVEN)]
    assert len(between) > 1 and live == sorted(live), f"it grows before all is told: {grown}"
    assert len(view.page.evaluate("() => window.words")) > 3, "words appear as they are told"
    every = 6 + len(GIVEN)  # the opening, those told before the view, and one behind it
    view.page.wait_for_function("(every) => window.grown.includes(every)", arg=every)
    told = view.panels()
    assert len(told) == every
    view.button("Tell panel 2 anew").click()
    view.page.evaluate("() => { window.grown = []; }")
    assert view.front.run() == ""
    shown = view.front.story()["captions"]
    assert len(shown) == 3 and shown[:2] == told[:2], "panels 0 and 1 stay, panel 2 is told anew"


def test_branches_are_a_tree_to_pick_from(view: ViewPage, comfy: ComfyServer) -> None:
    trunk = made_story(tale("trunk"), "trunk")
    other = made_story(["Rain comes.", "All go home."], "trunk", back(trunk, 3))
    runs = put(comfy, trunk, other)
    view.open(looking(comfy, *runs))
    assert view.front.run() == ""
    rows = view.root.get_by_role("list", name="Branches").get_by_role("listitem")
    labels = [row.get_attribute("aria-label") for row in rows.all()]
    assert labels == ["Branch 1, 3 panels", "Branch 2, 2 panels", "Branch 3, 2 panels"]
    assert view.panels()[3:] == numbered(tale("trunk"))[3:]
    rows.nth(2).get_by_role("button", name="4. All go home.").click()
    assert view.panels()[3:] == ["3. Rain comes.", "4. All go home."]
    view.button("Go on from panel 3").click()
    uid = other.panels[3].uid
    assert view.widgets() == {"pick": 3, "action": "go on", "branch": uid[:16]}
    assert view.front.run() == "", "the pick is among the stories"
    assert view.panels()[3:] == ["3. Rain comes.", "4. All go home."], "the picked branch is shown"
    view.button("Go on from panel 1").click()
    assert view.widgets() == {"pick": 1, "action": "go on", "branch": ""}, "shared by both"


def test_captions_are_text_whatever_is_in_them(view: ViewPage, comfy: ComfyServer) -> None:
    trunk = made_story(list(HOSTILE), "hostile")
    runs = put(comfy, trunk, made_story([HOSTILE[0]], "hostile", back(trunk, 3)))
    view.open(looking(comfy, *runs))
    assert view.front.run() == ""
    assert view.panels() == numbered(list(HOSTILE))
    assert view.root.locator("script, svg, [onerror], [onload], [onfocus]").count() == 0
    view.root.locator("button.picture").first.click()
    view.page.keyboard.press("ArrowRight")
    view.page.wait_for_timeout(300)
    view.page.keyboard.press("Escape")
    assert view.page.evaluate("() => window.stung") is None


def test_a_thousand_panels_load_few_pictures(view: ViewPage, comfy: ComfyServer) -> None:
    put(comfy, made_story(tale("thousand", 1000), "thousand"))
    view.open(looking(comfy, "thousand"))
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.url))
    assert view.front.run() == ""
    assert len(view.panels()) == 1000
    assert sum("/view?" in url for url in asked) <= 40, "the others wait until they are seen"
    workflow = view.page.evaluate("() => JSON.stringify(app.graph.serialize())")
    assert len(workflow) < 8000


def test_a_dropped_connection_loses_nothing(
    view: ViewPage, comfy: ComfyServer, chrome: Chrome
) -> None:
    view.open(telling(comfy, "dropped", LONG, WORLD))
    with chrome.console.expecting(OFFLINE):
        check_a_dropped_connection(view, comfy)


def check_a_dropped_connection(view: ViewPage, comfy: ComfyServer) -> None:
    page = view.page
    page.evaluate("() => { app.queuePrompt(0, 1); }")
    view.wait(2)  # the first told panel is seen, and then the line is cut
    page.context.set_offline(True)
    page.evaluate("() => app.api.socket.close()")
    deadline = time.monotonic() + 300
    while len(kept_captions(comfy, "dropped")) < LONG + 2 and time.monotonic() < deadline:
        time.sleep(1)
    assert len(kept_captions(comfy, "dropped")) == LONG + 2, "told to its end, and on disk"
    assert 2 <= len(view.panels()) < LONG + 2, "nothing came through"
    page.context.set_offline(False)
    view.wait(LONG + 2)
    assert view.panels() == numbered(kept_captions(comfy, "dropped"))


def test_trees_that_cannot_be_do_no_harm(view: ViewPage) -> None:
    rows = view.page.evaluate(
        """async (pack) => {
        const { Tree } = await import(`/extensions/${pack}/lib/tree.js`);
        const panel = (uid, parent) => ({ uid, parent, number: 0, caption: uid, image: null });
        const rows = (panels, tips) => new Tree({ panels, branches: tips.map((tip) => ({ tip })) })
            .rows().map((row) => row.panels.map(({ uid }) => uid).join(''));
        return [
            rows([panel('a', ''), panel('b', 'a'), panel('c', 'b'), panel('x', 'a')], ['c', 'x']),
            rows([panel('a', 'b'), panel('b', 'a')], ['b']),
            rows([panel('a', 'a')], ['a', 'nobody']),
            rows([panel('b', 'lost')], ['b']),
            rows([], []),
        ];
    }""",
        PACK,
    )
    assert rows == [["a", "bc", "x"], [], [], ["b"], []]


def kept_captions(comfy: ComfyServer, run: str) -> list[str]:
    path = comfy.base / "output" / "seedstory" / run / "story.json"
    panels = json.loads(path.read_text())["panels"] if path.is_file() else []
    return [panel["caption"] for panel in panels]

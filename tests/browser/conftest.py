"""One Chromium for all browser tests, and nothing on its console that should not be there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.front_end import Chrome, FrontEnd, browser, front_end
from support.server import ComfyServer


@pytest.fixture(scope="package")
def chrome(chromium: str) -> Iterator[Chrome]:
    """Ends with this folder's tests: while it runs, no other test could run an event loop."""
    with browser(chromium) as started:
        yield started


@pytest.fixture(autouse=True)
def quiet(chrome: Chrome) -> Iterator[None]:
    """No error on any page, and no warning that the pack's files have caused."""
    yield
    assert chrome.console.take() == []


@pytest.fixture(scope="package")
def classic(comfy: ComfyServer, chrome: Chrome) -> Iterator[FrontEnd]:
    with front_end(chrome, comfy) as page:
        yield page


@pytest.fixture(scope="package")
def modern(comfy: ComfyServer, chrome: Chrome) -> Iterator[FrontEnd]:
    with front_end(chrome, comfy, modern=True) as page:
        yield page

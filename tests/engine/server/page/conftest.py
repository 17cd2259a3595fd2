"""A browser, and a server whose frames take long enough to be seen on their way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.helpers.chromium import LIMIT_MS, SIZE, chromium, collect_errors
from tests.helpers.serving import Server, running

FRAME_S = 0.8


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Asks for the browser first: without one nothing is started."""
    folder = tmp_path_factory.mktemp("page")
    with running(folder, env={"FAKE_FRAME_S": str(FRAME_S)}) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own cookies; it must raise no error."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    found = context.new_page()
    found.set_default_timeout(LIMIT_MS)
    errors = collect_errors(found)
    yield found
    context.close()
    assert errors == []

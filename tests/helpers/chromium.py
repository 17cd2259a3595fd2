"""Chromium for tests of the page: Debian's, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium is installed (Debian: apt-get install chromium)"
SIZE = {"width": 1280, "height": 900}
LIMIT_MS = 30_000  # other tests may use every core
PHONE = {"width": 390, "height": 844}


def find_chromium() -> str | None:
    """The program's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test, with the reason, where there is none."""
    program = find_chromium()
    if program is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def collect_errors(page: Page) -> list[str]:
    """Errors of the page's scripts and console from now on, the policy's refusals among them."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    return errors

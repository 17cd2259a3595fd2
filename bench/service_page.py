"""The way of a frame to the page: milliseconds from the engine to the picture that Chromium shows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec

import httpx2

NOTE_TIMES = """
() => { window.shownAt = {};
  new MutationObserver((changes) => { for (const { target } of changes) {
    const place = target.closest("[data-frame]");
    if (place && target.dataset.stage === "corrected") window.shownAt[place.dataset.frame] = Date.now(); } })
  .observe(document.body, { subtree: true, attributes: true, attributeFilter: ["data-stage"] }); }
"""
ALL_SHOWN = "(count) => Object.keys(window.shownAt).length === count"


def frames_in_page(url: str, stories: Sequence[Sequence[str]]) -> list[float] | None:
    """Milliseconds of every frame of ``stories``, typed into the page one after another; None without Chromium."""
    program = shutil.which("chromium")
    if program is None or find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright  # here, because it is for this alone

    found: list[float] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        for sentences in stories:
            page.evaluate(NOTE_TIMES)
            page.get_by_label("Sentences, one a line").fill("\n".join(sentences))
            page.get_by_role("button", name="Draw").click()
            page.wait_for_function(ALL_SHOWN, arg=len(sentences), timeout=120_000)
            name = page.evaluate("new URLSearchParams(location.search).get('story')")
            shown = page.evaluate("window.shownAt")
            frames = httpx2.get(f"{url}/v1/stories/{name}").json()["frames"]
            found += [shown[str(frame["index"])] - 1e3 * frame["finished_at"] for frame in frames]
            page.goto(url)
        browser.close()
    return found

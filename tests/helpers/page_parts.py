"""The page as its tests read it: frames with what each shows, and what each has shown."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

STAGES = """
() => { window.seen = [];
  new MutationObserver((changes) => { for (const { target } of changes) {
    const place = target.closest("[data-frame]");
    if (place) window.seen.push([Number(place.dataset.frame), target.dataset.stage]); } })
  .observe(document.body, { subtree: true, attributes: true, attributeFilter: ["data-stage"] }); }
"""
FRAMES = """
() => [...document.querySelectorAll("[data-frame]")].map((place) => ({
  index: Number(place.dataset.frame),
  sentence: place.querySelector(".sentence").textContent,
  pictures: [...place.querySelectorAll(".picture")].map((one) => ({
    stage: one.dataset.stage,
    shown: one.querySelector(".shown").getAttribute("src"),
    loaded: one.querySelector(".shown").naturalWidth,
    strip: [...one.querySelectorAll(".strip button")].map((button) => button.textContent) })) }))
"""


def watch_stages(page: Page) -> None:
    """From now on the page remembers every stage that a frame goes through."""
    page.evaluate(STAGES)


def stages_of(page: Page, index: int) -> list[str]:
    """The stages that frame ``index`` has gone through since :func:`watch_stages`."""
    seen: list[tuple[int, str]] = page.evaluate("window.seen")
    return [stage for frame, stage in seen if frame == index]


def frames(page: Page) -> list[dict[str, Any]]:
    """Every frame in the order in which the page shows it."""
    found: list[dict[str, Any]] = page.evaluate(FRAMES)
    return found


def submit(page: Page, *sentences: str) -> None:
    """Type a story and draw it."""
    page.get_by_label("Sentences, one a line").fill("\n".join(sentences))
    page.get_by_role("button", name="Draw").click()
    page.wait_for_url("**/?story=*")


def wait_for_frames(page: Page, count: int, stage: str = "corrected") -> None:
    """Until that number of frames is finished, and the page shows their pictures."""
    script = "([count, stage]) => document.querySelectorAll(`[data-stage=${stage}]`).length >= count"
    page.wait_for_function(script, arg=[count, stage])


def story_of(page: Page) -> str:
    """The id of the story that is shown."""
    found: str = page.evaluate("new URLSearchParams(location.search).get('story')")
    return found

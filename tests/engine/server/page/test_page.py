"""The page in Chromium: a story typed, watched, reloaded, compared, drawn by keyboard and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.helpers.chromium import PHONE
from tests.helpers.page_parts import frames, stages_of, story_of, submit, wait_for_frames, watch_stages
from tests.helpers.serving import Server, running

pytestmark = pytest.mark.long

SENTENCES = ("A fox sat in the snow.", "It ran.", "It slept.")


def colours(picture: bytes) -> set[tuple[int, int, int]]:
    """Colours of a PNG file."""
    pixels = np.asarray(Image.open(BytesIO(picture)).convert("RGB")).reshape(-1, 3)
    return set(map(tuple, pixels.tolist()))


def test_drafts_are_seen_before_corrected_frames(page: Page, server: Server) -> None:
    page.goto(server.url)
    watch_stages(page)
    submit(page, *SENTENCES)
    wait_for_frames(page, 3)
    for index in range(3):
        order = [stage for stage in stages_of(page, index) if stage in ("draft", "estimate", "corrected")]
        assert order[0] == "draft"
        assert order == sorted(order, key=["draft", "estimate", "corrected"].index)
        assert order.count("corrected") == 1
    shown = frames(page)
    assert [frame["sentence"] for frame in shown] == list(SENTENCES)
    name = story_of(page)
    assert [frame["pictures"][0]["shown"] for frame in shown] == [
        f"/v1/stories/{name}/frames/{n}.png" for n in range(3)
    ]
    assert all(frame["pictures"][0]["loaded"] > 0 for frame in shown)
    expect(page.locator(".status")).to_contain_text("Finished")
    expect(page.locator("[aria-live=polite]")).to_contain_text("the story is done")
    assert page.locator(".times .total").count() == 3
    for index, seen in enumerate(page.locator(".shown").all()):
        there = colours(server.http.get(f"/v1/stories/{name}/frames/{index}.png").content)
        assert len(there & colours(seen.screenshot())) > 0.9 * len(there), "the screen shows another picture"
    assert page.evaluate("getComputedStyle(document.querySelector('.shown')).imageRendering") == "pixelated"


def test_a_reload_in_mid_story_shows_what_was(page: Page, server: Server) -> None:
    page.goto(server.url)
    submit(page, *SENTENCES)
    wait_for_frames(page, 1)
    before = frames(page)[0]
    page.reload()
    wait_for_frames(page, 1)
    after = frames(page)
    assert after[0] == before
    assert len(after) == 3
    assert len(server.story(story_of(page))["frames"]) < 3, "it was to be reloaded before the story's end"
    wait_for_frames(page, 3)
    assert [frame["index"] for frame in frames(page)] == [0, 1, 2]


@pytest.mark.slow
def test_any_picture_on_the_way_can_be_looked_at_again(page: Page, server: Server) -> None:
    page.goto(server.url)
    submit(page, "A hen sat.")
    wait_for_frames(page, 1)
    draft = page.get_by_role("group", name=re.compile("Pictures of frame 1")).get_by_role("button", name="draft")
    draft.click()
    expect(draft).to_have_attribute("aria-pressed", "true")
    assert "/drafts/0.png" in frames(page)[0]["pictures"][0]["shown"]
    expect(page.get_by_role("img", name=re.compile("Frame 1, draft"))).to_be_visible()


@pytest.mark.slow
def test_the_same_story_without_correction_next_to_it(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_text("Options").click()
    page.get_by_label("Seed").fill("18446744073709551615")  # more than JavaScript's numbers hold
    submit(page, "A hen sat.", "It ran.")
    wait_for_frames(page, 2)
    page.get_by_role("button", name="Compare without correction").click()
    wait_for_frames(page, 2, "plain")
    query = page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    one, other = (server.story(query[name]) for name in ("story", "against"))
    assert one["seed"] == other["seed"] == 2**64 - 1
    assert (one["sentences"], other["options"]["correction"]) == (other["sentences"], False)
    assert all(len(frame["pictures"]) == 2 for frame in frames(page))
    page.reload()
    wait_for_frames(page, 2, "plain")
    wait_for_frames(page, 2)


@pytest.mark.slow
def test_an_open_story_goes_on_with_the_next_sentence(page: Page, server: Server) -> None:
    page.goto(server.url)
    page.get_by_text("Options").click()
    page.get_by_label("Keep the story open").check()
    submit(page, "A hen sat.")
    expect(page.locator(".status")).to_contain_text("Waits for your next sentence")
    page.get_by_label("Next sentence").fill("It ran away.")
    page.get_by_role("button", name="Add").click()
    wait_for_frames(page, 2)
    assert [frame["sentence"] for frame in frames(page)] == ["A hen sat.", "It ran away."]
    page.get_by_role("button", name="Close the story").click()
    expect(page.locator(".status")).to_contain_text("Finished")
    expect(page.get_by_label("Next sentence")).to_be_hidden()


@pytest.mark.slow
def test_files_of_a_story_can_be_downloaded(page: Page, server: Server) -> None:
    page.goto(server.url)
    submit(page, *SENTENCES)
    expect(page.locator(".status")).to_contain_text("Finished")
    for name, kind in (("Sheet", "PNG"), ("GIF", "GIF")):
        with page.expect_download() as started:
            page.get_by_role("link", name=name, exact=True).click()
        with Image.open(started.value.path()) as picture:
            assert picture.format == kind
            assert getattr(picture, "n_frames", 1) == (3 if kind == "GIF" else 1)


@pytest.mark.slow
def test_stories_are_listed_cancelled_and_deleted(page: Page, server: Server) -> None:
    page.goto(server.url)
    sentence = "A goat that will not be drawn to its end."
    submit(page, sentence, *["It ran."] * 8)
    wait_for_frames(page, 1)
    line = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=sentence))
    expect(line).to_contain_text("running")
    line.get_by_role("button", name="Cancel").click()
    expect(line).to_contain_text("cancelled")
    expect(page.locator(".status")).to_contain_text("Cancelled")
    name = story_of(page)
    line.get_by_role("button", name="Delete").click()
    expect(line).to_have_count(0)
    expect(page.get_by_text("Type a story, or take an example.")).to_be_visible()
    assert server.http.get(f"/v1/stories/{name}").status_code == 404


def test_a_story_by_keyboard_alone(page: Page, server: Server) -> None:
    page.goto(server.url)

    def tab_to(wanted: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement?.matches(arguments)".replace("arguments", f"{wanted!r}")):
                return
        raise AssertionError(f"Tab does not reach {wanted}")

    tab_to("#sentences")
    page.keyboard.type("A hen sat.")
    page.keyboard.press("Enter")
    page.keyboard.type("It ran.")
    page.keyboard.press("Control+Enter")
    wait_for_frames(page, 2)
    assert page.evaluate("document.activeElement.id") == "story"
    tab_to(".strip button")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    tab_to(".times summary")
    page.keyboard.press("Enter")
    expect(page.locator(".phases").first).to_be_visible()
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, a, input, textarea')].filter((one) => !one.disabled"
        " && !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).length"
    )
    assert unnamed == 0


def test_a_phone_shows_all_of_it(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme="dark", device_scale_factor=2)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(server.url)
    submit(page, *SENTENCES)
    wait_for_frames(page, 3)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for frame in page.locator(".shown").all():
        box = frame.bounding_box()
        assert box is not None
        assert box["width"] > 0.85 * PHONE["width"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 26)"
    context.close()


@pytest.mark.slow
def test_a_refused_story_says_why(browser: Browser, server: Server) -> None:
    page = browser.new_page()  # whose console reports the refusal
    page.goto(server.url)
    page.get_by_label("Sentences, one a line").fill("word " * 100)
    with page.expect_response("**/v1/stories") as answer:
        page.get_by_role("button", name="Draw").click()
    assert answer.value.status == 400
    expect(page.locator("#compose-error")).to_contain_text("100 words")
    page.close()


@pytest.fixture
def locked(browser: Browser, tmp_path) -> Iterator[Server]:
    with running(tmp_path, api_keys=["a-key-of-tests"]) as found:
        yield found


@pytest.mark.slow
def test_a_key_is_asked_for_once_and_kept_in_a_cookie(page: Page, locked: Server) -> None:
    page.goto(locked.url)
    page.get_by_label("Key", exact=True).fill("a-key-of-tests")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    submit(page, "A hen sat.")
    wait_for_frames(page, 1)
    page.reload()
    wait_for_frames(page, 1)
    expect(page.get_by_role("dialog")).to_be_hidden()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert "a-key-of-tests" not in cookie["value"] + page.evaluate("JSON.stringify([localStorage, document.cookie])")

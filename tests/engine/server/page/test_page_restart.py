"""The page while its server is killed in mid-story and started again on the same port."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.helpers.chromium import SIZE
from tests.helpers.page_parts import frames, story_of, submit, wait_for_frames, watch_stages
from tests.helpers.serving import start

pytestmark = pytest.mark.long

SENTENCES = [f"Frame number {number} of a long story." for number in range(6)]


def test_a_killed_server_comes_back_and_the_page_has_every_frame_once(browser: Browser, tmp_path: Path) -> None:
    slow = {"FAKE_FRAME_S": "0.4"}
    server = start(tmp_path, env=slow).wait_ready()
    page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    try:
        page.goto(server.url)
        submit(page, *SENTENCES)
        watch_stages(page)
        wait_for_frames(page, 2)
        server.kill()
        expect(page.locator(".status")).to_contain_text("connection is lost")
        assert len(frames(page)) == 6, "what was there stays"
        server = start(tmp_path, port=server.port, env=slow)
        wait_for_frames(page, 6)
        expect(page.locator(".status")).to_contain_text("Finished")
        expect(page.get_by_text("The connection is lost")).to_be_hidden()
        shown, name = frames(page), story_of(page)
        urls = [frame["pictures"][0]["shown"] for frame in shown]
        assert urls == [f"/v1/stories/{name}/frames/{index}.png" for index in range(6)]
        assert [frame["sentence"] for frame in shown] == SENTENCES
        finished = [index for index, stage in page.evaluate("window.seen") if stage == "corrected"]
        assert finished == sorted(set(finished)), "each frame is finished once, in order"
        pictures = [frame["pictures"] for frame in shown]
        assert all(one[0]["strip"].count("corrected") == 1 for one in pictures)
    finally:
        page.close()
        server.kill()
        server.http.close()

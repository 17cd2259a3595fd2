"""Processes that are killed at any moment lose no frame, draw none differently, and show none twice."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from acdc.engine.storage.story_reader import read_story
from tests.helpers.fake_serving import HANGS, KILLS, frames_of
from tests.helpers.postgres import HAS_POSTGRES, postgres
from tests.helpers.serving import Server, running, start, wait_for

TEXTS = ["A fox sat.", "It ran.", "It slept.", "It woke.", "It ate."]


def check(server: Server, names: dict[str, int]) -> None:
    """Each story (id -> seed) comes to its end as if nothing had happened."""
    for name, seed in names.items():
        server.wait(name)
        events = server.events(name)
        assert [int(event["id"]) for event in events] == list(range(len(events)))
        for kind in ("frame", "draft"):
            assert [one["data"]["index"] for one in events if one["event"] == kind] == list(range(len(TEXTS))), kind
        stored = read_story(server.data / "stories" / name)
        for mine, theirs in zip(stored.frames, frames_of(TEXTS, seed), strict=True):
            assert np.array_equal(mine.image, theirs.image)
            assert np.array_equal(mine.draft, theirs.draft)
            assert mine.codes == theirs.codes


def kill_worker(server: Server) -> None:
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)


def kill_at_random(data, kills: int, stories: int, seed: int, **settings) -> None:
    chance = random.Random(seed)
    # Attempts count until a frame; here the same story may be hit again and again before its next one.
    with running(data, env={"FAKE_FRAME_S": "0.1"}, max_attempts=1000, **settings) as server:
        names = {server.submit(*TEXTS, seed=number): number for number in range(stories)}
        for _ in range(kills):
            server.wait_ready()
            time.sleep(chance.uniform(0, 1.0))
            kill_worker(server)
            wait_for(lambda: server.http.get("/health").status_code == 503)
        check(server, names)
        assert f'worker_restarts_total{{model_name="storyworld"}} {kills}.0' in server.http.get("/metrics").text


@pytest.mark.long
def test_a_worker_that_is_killed_under_load_loses_nothing(tmp_path):
    kill_at_random(tmp_path, kills=3, stories=8, seed=1)


@pytest.mark.slow
def test_a_worker_that_is_killed_at_30_moments_loses_nothing(tmp_path):
    kill_at_random(tmp_path, kills=30, stories=60, seed=2)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_POSTGRES, reason="Postgres or psycopg is not installed here")
def test_postgres_keeps_as_much_as_sqlite(tmp_path):
    with postgres() as url:
        kill_at_random(tmp_path, kills=3, stories=8, seed=3, database=url)


@pytest.mark.long
def test_a_server_that_is_killed_goes_on_where_it_was(tmp_path):
    server = start(tmp_path, env={"FAKE_FRAME_S": "0.1"}).wait_ready()
    names = {server.submit(*TEXTS, seed=number): number for number in range(4)}
    first = next(iter(names))
    wait_for(lambda: len(server.story(first)["frames"]) > 1)
    seen = server.story(first)["frames"]
    server.kill()
    with running(tmp_path, port=server.port) as again:
        check(again, names)
        assert again.story(first)["frames"][: len(seen)] == seen


@pytest.mark.long
def test_a_server_that_is_stopped_hands_its_stories_to_the_next_one(tmp_path):
    server = start(tmp_path, env={"FAKE_FRAME_S": "0.1"}).wait_ready()
    names = {server.submit(*TEXTS, seed=number): number for number in range(4)}
    with server.http.stream("GET", f"/v1/stories/{next(iter(names))}/events") as answer:
        lines = answer.iter_lines()
        while "event: frame" not in next(lines):
            pass
        assert server.process.poll() is None
        server.process.terminate()
        assert "event: closing" in list(lines)  # the stream ends well
    assert server.process.wait(30) == -signal.SIGTERM
    with running(tmp_path) as again:
        check(again, names)
        assert max(event["data"].get("attempt", 0) for event in again.events(next(iter(names)))) == 1  # no worker died


@pytest.mark.slow
def test_a_story_that_kills_its_worker_fails_alone(tmp_path):
    with running(tmp_path, env={"FAKE_FRAME_S": "0.05"}) as server:
        bad = server.submit("A fox sat.", KILLS)
        names = {server.submit(*TEXTS, seed=number): number for number in range(3)}
        story = server.wait(bad, "failed")
        assert story["error"]["code"] == "engine_died"
        assert len(story["frames"]) == 1
        check(server, names)


@pytest.mark.slow
def test_an_engine_that_hangs_is_ended(tmp_path):
    with running(tmp_path, hang_timeout=6, lease=5, max_attempts=1) as server:
        story = server.wait(server.submit("A fox sat.", HANGS), "failed")
        assert story["error"]["code"] == "engine_died"
        server.wait(server.submit("A fox sat."))


@pytest.mark.long
def test_settings_that_the_models_cannot_meet_end_the_server(tmp_path):
    """The worker says why in one line; the server does not try again."""
    command = [sys.executable, "-m", "acdc.engine", "serve", "no-such-bundle", "--port", "0", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 2
    assert "no-such-bundle" in done.stderr
    assert "Traceback" not in done.stderr

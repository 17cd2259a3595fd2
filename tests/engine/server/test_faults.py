"""A full disk, a locked store, clients that leave: held up at most, nothing is lost."""

import errno
import shutil
import sqlite3
from contextlib import closing

import pytest

from acdc.engine.server.store import database
from acdc.engine.server.worker import story_work
from acdc.engine.storage import story_writer
from acdc.engine.storage.story_reader import read_story
from tests.helpers.fake_serving import frames_of
from tests.helpers.serving import running, wait_for
from tests.helpers.serving_here import client_of, ended, settings_of, worker_of

TEXTS = ["A fox sat.", "It ran.", "It slept."]


@pytest.mark.parametrize("room", [1, 4, 9])
def test_a_full_disk_holds_a_story_up_and_loses_nothing(tmp_path, monkeypatch, room):
    """After ``room`` files the disk is full, until somebody makes room."""
    settings, left = settings_of(tmp_path), [room]

    def limited(write):
        def limited_write(path, content):
            if left[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= 1
            write(path, content)

        return limited_write

    for module, name in ((story_writer, "write_png"), (story_writer, "write_json"), (story_work, "write_png")):
        monkeypatch.setattr(module, name, limited(getattr(module, name)))
    with client_of(settings) as client, worker_of(settings) as worker:
        name = client.post("/v1/stories", json={"sentences": TEXTS, "seed": 5}).json()["id"]
        wait_for(lambda: worker.drawing.recorder.persist.blocked)
        wait_for(lambda: client.get("/health").json().get("error", {}).get("code") == "blocked")
        left[0] = 1000
        story = ended(client, name)
    assert [frame["index"] for frame in story["frames"]] == [0, 1, 2]
    stored = read_story(settings.stories / name)
    assert [frame.codes for frame in stored.frames] == [frame.codes for frame in frames_of(TEXTS, 5)]


def test_a_folder_that_is_removed_while_a_frame_is_written_fails_that_story_alone(tmp_path, monkeypatch):
    settings, write_png, removed = settings_of(tmp_path), story_writer.write_png, []

    def after_removal(path, content):
        if removed and removed[0] in path.parts:
            shutil.rmtree(path.parent)
        write_png(path, content)

    monkeypatch.setattr(story_writer, "write_png", after_removal)
    with client_of(settings) as client:
        first, second = (client.post("/v1/stories", json={"sentences": TEXTS, "seed": 5}).json()["id"] for _ in "ab")
        removed.append(first)
        with worker_of(settings, frame_s=0.02) as worker:
            error = ended(client, first, "failed")["error"]
            assert len(ended(client, second)["frames"]) == 3
            assert worker.drawing.is_alive()
            assert not worker.drawing.recorder.persist.blocked
    assert (error["code"], "removed" in error["message"]) == ("engine_error", True)
    assert str(tmp_path) not in error["message"]


def test_a_locked_store_is_a_503_and_stories_go_on_after_it(tmp_path, monkeypatch):
    quick = tuple(one.replace(str(database.BUSY_MS), "50") for one in database.PRAGMAS)
    monkeypatch.setattr(database, "PRAGMAS", quick)
    settings = settings_of(tmp_path)
    with client_of(settings) as client, worker_of(settings, frame_s=0.05):
        name = client.post("/v1/stories", json={"sentences": TEXTS, "seed": 5}).json()["id"]
        with closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as other:
            other.execute("begin immediate")
            answer = client.post("/v1/stories", json={"sentences": TEXTS})
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert answer.json()["error"]["code"] == "store_unavailable"
            assert client.get(f"/v1/stories/{name}").status_code == 200  # readers do not wait
            other.execute("rollback")
        assert len(ended(client, name)["frames"]) == 3


@pytest.mark.long
def test_a_client_that_leaves_in_mid_stream_is_forgotten(tmp_path):
    with running(tmp_path, env={"FAKE_FRAME_S": "0.1"}) as server:
        name = server.submit(*TEXTS * 5)
        for path in (f"/v1/stories/{name}/events", "/v1/events"):
            with server.http.stream("GET", path) as answer:
                lines = answer.iter_lines()
                assert next(lines) == ": connected"
                assert 'sse_clients{model_name="storyworld"} 1.0' in server.http.get("/metrics").text
            wait_for(lambda: 'sse_clients{model_name="storyworld"} 0.0' in server.http.get("/metrics").text, 10)
        assert len(server.wait(name)["frames"]) == 15

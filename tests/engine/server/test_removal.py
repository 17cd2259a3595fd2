"""Jobs that are removed while they are drawn, or that never come to be, leave nothing."""

import asyncio
from threading import Event, Thread

import pytest

from acdc.engine.server.openai.sse import EventStream
from acdc.engine.server.openai.work import Owned
from acdc.engine.server.removal import remove
from acdc.engine.server.store.claims import Claims
from acdc.engine.server.store.store import Store
from tests.helpers.fake_serving import frames_of
from tests.helpers.openai_pictures import png
from tests.helpers.serving import wait_for
from tests.helpers.serving_here import client_of, settings_of, worker_of

TEXTS = ["A fox sat.", "It ran.", "It slept."]
BODY = {"images": 1, "options": {}, "sentences": []}


def test_a_video_that_is_deleted_while_it_is_drawn_leaves_nothing(tmp_path):
    settings = settings_of(tmp_path)
    with client_of(settings) as client, worker_of(settings, frame_s=0.01) as worker:
        for number in range(6):
            video = client.post("/v1/videos", json={"prompt": "\n".join(TEXTS * 3), "seed": number}).json()
            url = f"/v1/videos/{video['id']}"
            wait_for(lambda url=url, least=11 * number: client.get(url).json()["progress"] >= least)
            assert client.delete(url).status_code == 200
        wait_for(lambda: not worker.drawing.busy)
        assert not worker.drawing.recorder.persist.blocked
    assert list(settings.stories.iterdir()) == []


@pytest.mark.parametrize("finished", [False, True])
def test_the_files_of_a_job_are_removed_after_its_worker_has_given_it_up(tmp_path, finished):
    """A worker's last file would stay for ever where the folder was removed before."""
    settings, drawing, go_on = settings_of(tmp_path), Event(), Event()

    def slow(_, job, desk):
        desk.folder.mkdir()
        drawing.set()
        go_on.wait(20)
        desk.write(lambda: (desk.folder / "late").touch())
        return {}

    with client_of(settings) as client, worker_of(settings, executors={"edit": slow}):
        here = client.app.state.service
        here.store.submit("one", "edit", BODY)
        drawing.wait(20)
        removing = Thread(target=remove, args=(here, "one"), kwargs={"cancel": not finished})
        removing.start()
        removing.join(0.6)
        assert removing.is_alive()
        go_on.set()
        removing.join(20)
        assert here.store.get("one") is None
    assert list(settings.stories.iterdir()) == []


def test_removals_that_wait_for_a_worker_leave_threads_to_the_watcher(tmp_path):
    """More of them than asyncio has threads on any machine."""
    with client_of(settings_of(tmp_path)) as client:
        here = client.app.state.service
        jobs = [here.store.submit(f"job-{number}", "edit", BODY)[0] for number in range(40)]
        hung = Claims(here.store.database, "hung")
        assert all(hung.claim() for _ in jobs)

        async def leave():
            with Owned(here, jobs, removed=True):
                pass

        async def next_event():
            async with here.watcher.subscribed("another") as events:
                here.store.submit("another", "edit", BODY)
                return (await asyncio.wait_for(events.get(), 10)).kind

        client.portal.call(leave)
        assert client.portal.call(next_event) == "queued"
        wait_for(lambda: all(here.store.get(job.id).state == "cancelled" for job in jobs))
        hung.give_up([job.id for job in jobs])
        wait_for(lambda: not any(here.store.get(job.id) for job in jobs))


def test_a_client_that_leaves_before_its_stream_begins_cancels_its_job(tmp_path):
    begun = []

    async def events():
        begun.append(True)
        yield b"data: {}\n\n"

    async def gone():
        return {"type": "http.disconnect"}

    async def send(_):
        await asyncio.sleep(1)

    with client_of(settings_of(tmp_path)) as client:
        here = client.app.state.service
        job, _ = here.store.submit("one", "story", {"sentences": TEXTS})
        stream = EventStream(events(), Owned(here, [job]))
        asyncio.run(stream({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, send))
        assert here.store.get("one").state == "cancelled"
    assert not begun


def test_what_was_sent_for_a_job_that_could_not_be_queued_is_removed(tmp_path, monkeypatch):
    settings, picture = settings_of(tmp_path), png(frames_of(TEXTS[:1], 5)[0].image)

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(Store, "submit", full)
    with client_of(settings) as client:
        answer = client.post("/v1/images/edits", data={"prompt": "A fox."}, files={"image": ("a.png", picture)})
        assert answer.status_code == 503
    assert list(settings.stories.iterdir()) == []

"""Stories over HTTP from end to end: routes, worker, events, files."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from acdc.engine.storage.perfetto import trace_events
from acdc.engine.storage.sheet import draw_sheet
from acdc.engine.storage.story_reader import read_story
from tests.helpers.fake_serving import FAILS, REFUSED, frames_of
from tests.helpers.serving import Server, running, wait_for
from tests.helpers.serving_here import client_of, ended, settings_of, worker_of

TEXTS = ["A fox sat.", "It ran.", "It slept."]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Server:
    with running(tmp_path_factory.mktemp("serve")) as found:
        yield found


def test_a_story_is_drawn_and_every_frame_is_the_engines(server):
    name = server.submit(*TEXTS, seed=5)
    story = server.wait(name)
    assert [frame["sentence"] for frame in story["frames"]] == TEXTS
    stored = read_story(server.data / "stories" / name)
    for mine, theirs in zip(stored.frames, frames_of(TEXTS, 5), strict=True):
        assert np.array_equal(mine.image, theirs.image)
        assert np.array_equal(mine.draft, theirs.draft)
        assert mine.codes == theirs.codes


def test_events_come_in_order_and_can_be_read_again_from_any_point(server):
    name = server.submit(*TEXTS, partial_images=2)
    events = server.events(name)
    kinds = [event["event"] for event in events]
    assert kinds == ["queued", "started", *["draft", "estimate", "frame"] * 3, "end"]
    assert [int(event["id"]) for event in events] == list(range(len(events)))
    assert server.events(name, after=4) == events[5:]
    answer = server.http.get(f"/v1/stories/{name}/events", headers={"last-event-id": "9"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "id: 10" in answer.text
    assert "id: 9" not in answer.text


def test_pictures_are_the_files_on_disk(server):
    name = server.submit(*TEXTS)
    story = server.wait(name)
    folder = server.data / "stories" / name
    for frame in story["frames"]:
        number = frame["index"] + 1
        image = (folder / f"frames/frame_{number:02d}.png").read_bytes()
        assert server.http.get(frame["url"]).content == image
        draft = (folder / f"frames/frame_{number:02d}_draft.png").read_bytes()
        assert server.http.get(frame["draft_url"]).content == draft
    assert server.http.get(f"{story['url']}/story.json").content == (folder / "story.json").read_bytes()


def test_sheet_and_trace_are_made_of_the_frames_that_are_there(server):
    name = server.submit(*TEXTS)
    url, stored = server.wait(name)["url"], read_story(server.data / "stories" / name)
    sheet = Image.open(BytesIO(server.http.get(f"{url}/sheet.png").content))
    assert np.array_equal(sheet, draw_sheet(stored, TEXTS[0]))
    assert server.http.get(f"{url}/trace.json").json() == json.loads(json.dumps(trace_events(stored)))


@pytest.mark.parametrize("file", ["sheet.png", "trace.json"])
def test_a_story_without_frames_has_no_sheet_and_no_trace(tmp_path, file):
    with client_of(settings_of(tmp_path)) as client:
        url = client.post("/v1/stories", json={"sentences": TEXTS}).json()["url"]
        answer = client.get(f"{url}/{file}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found")


def test_an_open_story_waits_for_sentences_until_it_is_closed(server):
    name = server.submit(TEXTS[0], seed=5, open=True)
    server.wait(name, "waiting")
    assert server.http.post(f"/v1/stories/{name}/sentences", json={"sentence": TEXTS[1]}).is_success
    server.wait(name, "waiting")
    server.http.post(f"/v1/stories/{name}/sentences", json={"sentences": TEXTS[2:]})
    server.http.post(f"/v1/stories/{name}/close")
    server.wait(name)
    stored = read_story(server.data / "stories" / name)
    assert [frame.codes for frame in stored.frames] == [frame.codes for frame in frames_of(TEXTS, 5)]
    late = server.http.post(f"/v1/stories/{name}/sentences", json={"sentence": "No."})
    assert late.status_code == 409
    assert late.headers["x-should-retry"] == "false"


def test_a_story_that_fails_says_why(server):
    name = server.submit("A fox sat.", FAILS)
    story = server.wait(name, "failed")
    assert story["error"]["message"] == "RuntimeError: the engine broke"
    assert len(story["frames"]) == 1
    assert server.wait(server.submit(REFUSED), "failed")["error"]["type"] == "invalid_request_error"


def test_a_cancelled_story_draws_no_more(server):
    name = server.submit(*TEXTS * 10)
    server.http.post(f"/v1/stories/{name}/cancel")
    assert server.events(name)[-1]["event"] == "cancelled"
    frames = len(server.story(name)["frames"])
    server.wait(server.submit(*TEXTS))
    assert len(server.story(name)["frames"]) == frames


@pytest.mark.long
def test_a_deleted_story_leaves_nothing(server):
    name = server.submit(*TEXTS)
    server.wait(name)
    assert server.http.delete(f"/v1/stories/{name}").json() == {"id": name, "object": "story.deleted", "deleted": True}
    assert server.http.get(f"/v1/stories/{name}").status_code == 404
    assert not (server.data / "stories" / name).exists()


@pytest.mark.long
def test_a_deleted_storys_id_is_free_for_another_story(tmp_path):
    """Deleted while it is drawn; no late frame of the first story gets into the second."""
    settings, texts = settings_of(tmp_path), ["A fox sat.", "It ran."]
    with client_of(settings) as client, worker_of(settings, frame_s=0.01) as worker:
        for number in range(10):
            body = {"id": "luna", "sentences": [f"A fox {number} sat.", *TEXTS * 5], "seed": number}
            assert client.post("/v1/stories", json=body).status_code == 201
            if number % 3:
                wait_for(lambda: client.get("/v1/stories/luna").json()["frames"])
            assert client.delete("/v1/stories/luna").status_code == 200
            body = {"id": "luna", "sentences": texts, "seed": number}
            assert client.post("/v1/stories", json=body).status_code == 201
            ended(client, "luna")
            stored = read_story(settings.stories / "luna")
            assert [frame.codes for frame in stored.frames] == [frame.codes for frame in frames_of(texts, number)]
            client.delete("/v1/stories/luna")
        wait_for(lambda: not worker.drawing.busy)
    assert list(settings.stories.iterdir()) == []


@pytest.mark.long
def test_a_repeated_request_gives_the_same_story(server):
    body = {"sentences": TEXTS}
    first, again = (server.http.post("/v1/stories", json=body, headers={"idempotency-key": "one"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = server.http.post("/v1/stories", json={"sentences": ["No."]}, headers={"idempotency-key": "one"})
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "conflict"

"""Continuations: a client carries a story from one server to another, which draws the same frames."""

import pytest

from acdc.engine.storage.story_reader import read_story
from tests.helpers.fake_serving import frames_of
from tests.helpers.serving_here import client_of, ended, settings_of, worker_of

TEXTS = ["A fox sat.", "It ran.", "It slept.", "It woke."]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
def token(first):
    """The token of a story of two sentences."""
    settings = settings_of(first, secret="shared by both")
    with client_of(settings) as client, worker_of(settings):
        body = {"sentences": TEXTS[:2], "seed": 5, "strength": 0.4}
        return ended(client, client.post("/v1/stories", json=body).json()["id"])["continuation"]


def test_another_server_goes_on_with_the_same_frames(token, tmp_path):
    settings = settings_of(tmp_path / "second", secret="shared by both")
    with client_of(settings) as client, worker_of(settings):
        answer = client.post("/v1/stories", json={"sentences": TEXTS[2:], "continuation": token})
        story = ended(client, answer.json()["id"])
        assert story["sentences"] == TEXTS
        assert story["options"] == {"strength": 0.4}
        assert client.get(story["frames"][0]["url"]).status_code == 200
    stored = read_story(settings.stories / story["id"])
    assert [frame.codes for frame in stored.frames] == [frame.codes for frame in frames_of(TEXTS, 5)]


def test_the_server_that_drew_the_frames_takes_their_pictures(token, first):
    settings = settings_of(first, secret="shared by both")
    with client_of(settings) as client, worker_of(settings, "again"):
        answer = client.post("/v1/stories", json={"sentences": TEXTS[2:], "continuation": token})
        story = ended(client, answer.json()["id"])
        earlier = client.get("/v1/stories", params={"limit": 2}).json()["data"][-1]["id"]
        mine, theirs = (client.get(f"/v1/stories/{one}/frames/0.png").content for one in (story["id"], earlier))
    assert mine == theirs


@pytest.mark.long
@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-2], lambda text: "A" + text[1:], lambda text: "", lambda text: "é"]
)
def test_a_changed_token_is_refused(token, first, spoil):
    with client_of(settings_of(first, secret="shared by both")) as client:
        changed = {**token, "payload": spoil(token["payload"])}
        answer = client.post("/v1/stories", json={"sentences": ["Go on."], "continuation": changed})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_continuation")


def test_a_server_with_another_secret_refuses(token, tmp_path):
    with client_of(settings_of(tmp_path / "other")) as client:
        answer = client.post("/v1/stories", json={"sentences": ["Go on."], "continuation": token})
    assert answer.json()["error"]["code"] == "invalid_continuation"


def test_other_settings_cannot_go_on(token, tmp_path):
    settings = settings_of(tmp_path / "second", secret="shared by both")
    with client_of(settings) as client, worker_of(settings):
        body = {"sentences": TEXTS[2:], "continuation": token, "strength": 0.9}
        story = ended(client, client.post("/v1/stories", json=body).json()["id"], "failed")
    assert "other settings" in story["error"]["message"]

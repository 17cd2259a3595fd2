"""``client.images`` against a server: pictures, streams, errors; workers that die and clients that leave."""

import base64
import os
import signal
import time
from io import BytesIO
from threading import Timer

import httpx2
import numpy as np
import openai
import pytest
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from PIL import Image

from tests.engine.server.openai.conftest import client_of
from tests.helpers.fake_serving import FAILS, frames_of
from tests.helpers.openai_pictures import pixels, png
from tests.helpers.serving import running, wait_for

FOX, STORY = "A fox sat.", ["A fox sat.", "It ran.", "It slept."]


def test_pictures_are_the_engines_one_a_seed(client):
    found = client.images.generate(prompt=FOX, n=2, extra_body={"seed": 5})
    assert [image.seed for image in found.data] == [5, 6]
    for image in found.data:
        (frame,) = frames_of([FOX], image.seed)
        assert np.array_equal(pixels(image.b64_json), frame.image)
        assert image.revised_prompt == frame.refined_prompt
    assert (found.size, found.background, found.output_format) == ("16x16", "opaque", "png")
    assert (found.usage.input_tokens, found.usage.output_tokens) == (2 * len(FOX.split()), 32)
    assert found._request_id


@pytest.mark.parametrize("body", [{"prompt": "\n".join(STORY)}, {"prompt": "-", "extra_body": {"sentences": STORY}}])
def test_several_sentences_are_a_story(client, body):
    extra = {"seed": 5, "include_drafts": True, **body.pop("extra_body", {})}
    found = client.images.generate(**body, extra_body=extra)
    assert [image.sentence for image in found.data] == STORY
    for image, frame in zip(found.data, frames_of(STORY, 5), strict=True):
        assert np.array_equal(pixels(image.b64_json), frame.image)
        assert np.array_equal(pixels(image.draft_b64_json), frame.draft)


@pytest.mark.parametrize("form", ["webp", "jpeg", "gif"])
def test_other_formats(client, form):
    more = {"frame_count": 3, "frame_duration_ms": 100} if form == "gif" else {"output_compression": 80}
    prompt = "\n".join(STORY) if form == "gif" else FOX
    (image,) = client.images.generate(prompt=prompt, output_format=form, **more).data
    opened = Image.open(BytesIO(base64.b64decode(image.b64_json)))
    assert (opened.format, opened.size) == (form.upper(), (16, 16))
    assert getattr(opened, "n_frames", 1) == (3 if form == "gif" else 1)


def test_a_stream_has_the_draft_then_estimates_then_the_frame(client):
    stream = client.images.generate(prompt="\n".join(STORY), stream=True, partial_images=3, extra_body={"seed": 5})
    events = list(stream)
    assert [type(event) for event in events] == [*[ImageGenPartialImageEvent] * 3, ImageGenCompletedEvent] * 3
    frames = frames_of(STORY, 5)
    for index, event in enumerate(events):
        frame, number = frames[index // 4], index % 4
        assert (event.frame_index, event.sentence) == (index // 4, frame.sentence)
        if number < 3:
            assert event.partial_image_index == number
        if number in (0, 3):
            assert np.array_equal(pixels(event.b64_json), frame.image if number else frame.draft)
    assert [event.last for event in events if event.type.endswith("completed")] == [False, False, True]
    assert events[-1].usage.output_tokens == 16


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "word " * 100}, "prompt", "invalid_value"),
        ({"prompt": "\n".join([FOX] * 100)}, "prompt", "too_many_sentences"),
        ({"prompt": FOX, "size": "1024x1024"}, "size", "invalid_size"),
        ({"prompt": FOX, "background": "transparent"}, "background", "unsupported_parameter"),
        ({"prompt": FOX, "extra_body": {"strength": 7}}, "strength", "invalid_value"),
        ({"prompt": FOX, "extra_body": {"colour": "red"}}, "colour", "unknown_parameter"),
    ],
)
def test_unfit_values_are_refused_with_their_field(client, body, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**body)
    assert (caught.value.param, caught.value.code, caught.value.type) == (param, code, "invalid_request_error")


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(prompt=FOX, model="dall-e-3")
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


NOT_JSON = [b"", b"{", b"[1", b"[" * 100_000, b'{"prompt": NaN}', b"\xff", b'{"prompt": "\\ud800"}']


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_bodies_that_are_not_json_are_refused(server, body):
    for route in ("images/generations", "chat/completions", "videos"):
        answer = server.http.post(f"/v1/{route}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert "\n" not in answer.json()["error"]["message"]


def test_unfit_forms_of_edits_are_refused(server, client):
    picture = png(frames_of([FOX], 5)[0].image)
    bad = {
        "image": {"mask": ("m.png", picture)},
        "mask": {"image": ("a.png", picture), "mask": ("m.png", picture)},
        "markup": {"image": ("a.png", picture), "markup": ("m.png", picture)},
    }
    for param, files in bad.items():
        answer = server.http.post("/v1/images/edits", data={"prompt": FOX}, files=files)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(image=b"GIF89a no picture", prompt=FOX)
    assert caught.value.param == "image"
    broken = server.http.post("/v1/images/edits", content=b"--x", headers={"content-type": "multipart/form-data"})
    assert broken.status_code == 400


def test_a_failure_is_not_repeated_and_ends_a_stream(server):
    client = client_of(server, retries=2)
    before = len(server.http.get("/v1/stories?limit=100").json()["data"])
    with pytest.raises(openai.InternalServerError) as caught:
        client.images.generate(prompt=FAILS)
    assert caught.value.code == "engine_error"
    assert len(server.http.get("/v1/stories?limit=100").json()["data"]) == before + 1
    stream, seen = client.images.generate(prompt=f"{FOX}\n{FAILS}", stream=True), []
    with pytest.raises(openai.APIError, match="the engine broke"):
        seen.extend(event.type for event in stream)
    with pytest.raises(openai.APIError, match="the engine broke"):
        list(client.images.generate(prompt=FAILS, stream=True))


def test_a_client_that_leaves_cancels_its_story(server, client):
    long = "\n".join([FOX] * 60)
    stream = client.images.generate(prompt=long, stream=True)
    name = next(iter(stream)) and server.http.get("/v1/stories?limit=1").json()["data"][0]["id"]
    stream.close()
    server.wait(name, "cancelled")
    with pytest.raises(httpx2.TimeoutException):
        server.http.post("/v1/images/generations", json={"prompt": long}, timeout=0.5)
    server.wait(server.http.get("/v1/stories?limit=1").json()["data"][0]["id"], "cancelled")


def test_an_idempotency_key_gives_the_same_picture_and_keeps_the_job(client):
    headers = {"idempotency-key": "one"}
    first, again = (client.images.generate(prompt=FOX, n=2, extra_headers=headers) for _ in range(2))
    assert [image.b64_json for image in first.data] == [image.b64_json for image in again.data]
    assert first.acdc == again.acdc


@pytest.mark.long
def test_keys_are_asked_for_and_a_full_queue_is_tried_again(tmp_path):
    with running(tmp_path, api_keys=["secret"], max_queue=1, env={"FAKE_FRAME_S": "1"}) as server:
        with pytest.raises(openai.AuthenticationError):
            client_of(server, "wrong").images.generate(prompt=FOX)
        made, refused = [], 0
        while refused < 5:  # the worker takes as many as it has room for
            answer = server.http.post("/v1/stories", json={"sentences": STORY * 5})
            made += [answer.json()["id"]] if answer.is_success else []
            refused = 0 if answer.is_success else refused + 1
            time.sleep(0.1)
        with pytest.raises(openai.RateLimitError) as caught:
            client_of(server, "secret").images.generate(prompt=FOX)
        assert int(caught.value.response.headers["retry-after"]) > 0
        room = Timer(1.0, lambda: [server.http.post(f"/v1/stories/{name}/cancel") for name in made])
        room.start()
        patient = client_of(server, "secret", retries=2).images.with_raw_response.generate(prompt=FOX)
        assert patient.retries_taken > 0
        room.join()


@pytest.mark.long
def test_a_worker_that_is_killed_costs_the_client_time_alone(tmp_path):
    with running(tmp_path, env={"FAKE_FRAME_S": "0.3"}) as server:
        client = client_of(server)
        stream = client.images.generate(prompt="\n".join(STORY), stream=True, extra_body={"seed": 5})
        found = []
        for event in stream:
            found.append(event)
            if len(found) == 1:
                os.kill(server.workers()[-1], signal.SIGKILL)
        assert [event.frame_index for event in found] == [0, 1, 2]
        for event, frame in zip(found, frames_of(STORY, 5), strict=True):
            assert np.array_equal(pixels(event.b64_json), frame.image)
        wait_for(lambda: server.http.get("/health").status_code == 200)

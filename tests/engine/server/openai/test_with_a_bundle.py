"""OpenAI's client against a server with the embedded bundle: every picture is the engine's, pixel by pixel."""

import base64
import os
import signal
import zlib

import httpx2
import numpy as np
import pytest

from acdc.engine import Corrector, Engine
from acdc.engine.options import CorrectionOptions
from tests.engine.server.openai.conftest import client_of
from tests.helpers.openai_pictures import pixels, png, transparent
from tests.helpers.serving import running

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
STEPS, TEXTS = 4, ["A fox sat in the snow.", "It ran."]
OPTIONS = {"num_inference_steps": STEPS, "strength": 0.5}


@pytest.fixture(scope="module")
def engine():
    return Engine.from_pretrained("storyworld", backend="eager")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running(tmp_path_factory.mktemp("bundle"), fake=False) as server:
        yield client_of(server)


def test_frames_are_the_engines(client, engine):
    found = client.images.generate(prompt="\n".join(TEXTS), extra_body={"seed": 7, "num_inference_steps": STEPS})
    wanted = engine.generate(TEXTS, seed=7, num_inference_steps=STEPS)
    for image, frame in zip(found.data, wanted.frames, strict=True):
        assert np.array_equal(pixels(image.b64_json), frame.image)
        assert image.revised_prompt == frame.refined_prompt
    two = client.images.generate(prompt=TEXTS[0], n=2, extra_body={"seed": 7, "num_inference_steps": STEPS})
    for image in two.data:
        alone = engine.generate(TEXTS[:1], seed=image.seed, num_inference_steps=STEPS)
        near = np.abs(pixels(image.b64_json).astype(int) - alone.images[0])
        assert near.max() <= 1  # drawn side by side
    assert two.usage.output_tokens == 2 * 64
    assert two.usage.input_tokens == 2 * len(engine.models.arm.encode(TEXTS[0]))


def test_a_stream_has_three_partials_of_which_the_first_is_the_draft(client, engine):
    extra = {"seed": 7, "num_inference_steps": 8, "strength": 1.0}
    *partials, done = client.images.generate(prompt=TEXTS[0], stream=True, partial_images=3, extra_body=extra)
    (frame,) = engine.generate(TEXTS[:1], seed=7, num_inference_steps=8, strength=1.0).frames
    assert [event.partial_image_index for event in partials] == [0, 1, 2]
    assert np.array_equal(pixels(partials[0].b64_json), frame.draft)
    assert np.array_equal(pixels(done.b64_json), frame.image)
    errors = [np.abs(pixels(one.b64_json).astype(int) - frame.image).mean() for one in partials[1:]]
    assert errors[1] < errors[0]  # the later estimate is nearer to the frame


def test_edits_are_the_corrections_of_the_diffusion_model(client, engine):
    corrector, options = Corrector.from_pretrained("storyworld", backend="eager"), CorrectionOptions(**OPTIONS)
    (draft,) = (frame.draft for frame in engine.generate(TEXTS[:1], seed=7, correction=False).frames)
    pictures = [draft, draft[::-1].copy()]
    one = client.images.edit(image=png(draft), prompt="A cat.", n=2, extra_body={"seed": 1, **OPTIONS})
    assert [image.seed for image in one.data] == [1, 2]
    for image in one.data:
        assert np.array_equal(pixels(image.b64_json), corrector(draft, "A cat.", seed=image.seed, options=options))
    mask = np.zeros((64, 64), bool)
    mask[:32] = True
    white = mask.astype(np.uint8) * 255
    listed = client.images.edit(
        image=[png(one) for one in pictures],
        mask=transparent(draft, mask),
        prompt="A cat.",
        input_fidelity="low",
        extra_body={"seed": 1, "num_inference_steps": STEPS},
    )
    wanted = corrector(
        pictures,
        "A cat.",
        seed=1,
        options=CorrectionOptions(strength=0.6, num_inference_steps=STEPS),
        masks=[white, None],
    )
    for image, picture in zip(listed.data, wanted, strict=True):
        assert np.array_equal(pixels(image.b64_json), picture)
    assert np.array_equal(pixels(listed.data[0].b64_json)[~mask], draft[~mask])


def test_an_edits_stream_has_estimates(client, engine):
    picture = png(engine.generate(TEXTS[:1], seed=7, correction=False).images[0])
    extra = {"seed": 1, "num_inference_steps": 8, "strength": 1.0}
    events = list(client.images.edit(image=picture, prompt="A cat.", stream=True, partial_images=2, extra_body=extra))
    assert [event.type for event in events] == [*["image_edit.partial_image"] * 2, "image_edit.completed"]
    whole = client.images.edit(image=picture, prompt="A cat.", extra_body=extra)
    assert events[-1].b64_json == whole.data[0].b64_json
    assert not client.get("/stories", cast_to=object)["data"][0]["id"].startswith("edit")


def test_a_conversation_goes_on_as_if_it_had_never_stopped(client, engine):
    seed = zlib.crc32(TEXTS[0].encode())
    wanted = engine.generate(TEXTS, seed=seed, num_inference_steps=STEPS).images
    messages = []
    for text, image in zip(TEXTS, wanted, strict=True):
        messages.append({"role": "user", "content": text})
        extra = {"num_inference_steps": STEPS}
        message = (
            client.chat.completions.create(model="storyworld", messages=messages, extra_body=extra).choices[0].message
        )
        url = message.images[0]["image_url"]["url"]
        assert np.array_equal(pixels(url.partition(",")[2]), image)
        messages.append(message.model_dump(exclude_none=True))
    foreign = "data:image/png;base64," + base64.b64encode(png(wanted[0])).decode()
    messages[1]["images"][0]["image_url"]["url"] = foreign  # the tokenizer encodes it
    answer = client.chat.completions.create(model="storyworld", messages=messages[:3], extra_body=extra)
    own = answer.choices[0].message.acdc
    kept = httpx2.get(f"{client.base_url}stories/{own['story_id']}/frames/0.png").content
    assert np.array_equal(pixels(base64.b64encode(kept).decode()), wanted[0])  # the story goes on after this picture
    assert own["frame_index"] == 1


def test_clips_are_those_of_acdc_video_and_survive_their_worker(tmp_path):
    bundle, prompt = "storyworld-video", "A fox runs in the snow."
    with running(tmp_path, fake=False, options={"engine.bundle": bundle}) as server:
        client = client_of(server)
        assert client.models.list().data[0].modalities == ["image", "video"]
        lengths = {"num_frames": 6, "chunk_frames": 2}
        extra = {"seed": 3, "acdc": {"correct_every": 1, "correct_first": 9}, "num_inference_steps": STEPS, **lengths}
        video = client.videos.create(prompt=prompt, extra_body=extra)
        while client.videos.retrieve(video.id).progress < 33:
            pass
        os.kill(server.workers()[-1], signal.SIGKILL)
        video = client.videos.poll(video.id, poll_interval_ms=200)
        assert (video.status, video.num_frames, video.seconds) == ("completed", 6, "0.75")
        longer = client.videos.remix(video.id, prompt=prompt, extra_body={"extend": True, "num_frames": 2})
        longer = client.videos.poll(longer.id, poll_interval_ms=200)
        assert (longer.status, longer.num_frames) == ("completed", 8)
        content = client.videos.download_content(longer.id).content
        shown = sorted((server.data / "stories" / longer.id / "frames").glob("frame_0[1-8].png"))
    assert content[4:8] == b"ftyp"
    whole = Engine.from_pretrained(bundle, backend="eager").generate_video(
        prompt, seed=3, num_frames=8, chunk_frames=2, correct_first=9, num_inference_steps=STEPS
    )
    for path, image in zip(shown, whole.images, strict=True):
        with path.open("rb") as file:
            assert np.abs(pixels(base64.b64encode(file.read()).decode()).astype(int) - image).max() <= 1

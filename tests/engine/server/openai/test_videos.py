"""``client.videos``: stories as films, with an engine that draws no clips."""

from io import BytesIO

import openai
import pytest
from PIL import Image

from tests.helpers.fake_serving import FAILS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PROMPT = "A fox sat.\nIt ran."


def drawn(client, prompt=PROMPT, **more):
    return client.videos.create_and_poll(prompt=prompt, poll_interval_ms=50, **more)


def test_a_film_has_a_frame_a_sentence(client):
    video = drawn(client, seconds="4", extra_body={"seed": 5})
    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "4", "16x16")
    assert (video.num_frames, video.fps, video.seed, video.prompt) == (2, 0.5, 5, PROMPT)
    assert client.videos.download_content(video.id).content[4:8] == b"ftyp"
    for variant, form in (("thumbnail", "WEBP"), ("spritesheet", "JPEG")):
        content = client.videos.download_content(video.id, variant=variant).content
        assert Image.open(BytesIO(content)).format == form


def test_videos_are_listed_in_pages_and_deleted(client):
    made = [client.videos.create(prompt=PROMPT).id for _ in range(3)]
    newest = [video.id for video in client.videos.list(limit=2)]
    assert newest[:3] == made[::-1]
    page = client.videos.list(limit=1, after=made[0], order="asc")
    assert ([video.id for video in page.data], page.has_more) == ([made[1]], True)
    for name in made:
        assert client.videos.delete(name).deleted
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve(name)


def test_a_remix_has_the_seed_and_an_extension_the_frames(client):
    video = drawn(client, extra_body={"seed": 5})
    other = client.videos.poll(client.videos.remix(video.id, prompt="A cat sat.").id, poll_interval_ms=50)
    assert (other.remixed_from_video_id, other.seed, other.num_frames) == (video.id, 5, 1)
    longer = client.videos.remix(video.id, prompt="It slept.", extra_body={"extend": True})
    longer = client.videos.poll(longer.id, poll_interval_ms=50)
    assert (longer.status, longer.num_frames, longer.seconds) == ("completed", 3, "3")
    more = client.post("/videos/extensions", cast_to=object, body={"prompt": "It left.", "video": {"id": longer.id}})
    assert client.videos.poll(more["id"], poll_interval_ms=50).num_frames == 4


def test_a_cancelled_or_failed_video_says_so(client):
    video = client.videos.create(prompt="\n".join([PROMPT] * 20))
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.download_content(video.id)
    assert caught.value.code == "video_not_ready"
    client.post(f"/videos/{video.id}/cancel", cast_to=object)
    found = client.videos.retrieve(video.id)
    assert (found.status, found.error.code) == ("failed", "cancelled")
    assert drawn(client, FAILS).error.code == "engine_error"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"extra_body": {"num_frames": 8}}, "num_frames"),
        ({"input_reference": b"x"}, "input_reference"),
        ({"size": "720x1280"}, "size"),
        ({"seconds": "x"}, "seconds"),
    ],
)
def test_unfit_values_are_refused_with_their_field(client, more, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(prompt="A fox sat.", **more)
    assert caught.value.param == param


def test_models_say_what_they_draw(client):
    (model,) = client.models.list().data
    assert (model.id, model.size, model.modalities, model.owned_by) == ("storyworld", "16x16", ["image"], "acdc")
    assert client.models.retrieve("storyworld") == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-image-1")

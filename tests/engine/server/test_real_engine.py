"""The real engine within the service: frames are those of ``Engine.generate``, byte for byte."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.helpers.serving import running
from tests.helpers.serving_here import client_of, ended, settings_of, worker_of

STORIES = [["A fox sat.", "It ran.", "It slept."], ["A cat sat in a garden.", "It jumped."], ["A bear woke."]]
STEPS = 4


def pixels(client, url: str) -> np.ndarray:
    answer = client.get(url)
    assert answer.status_code == 200
    return np.asarray(Image.open(BytesIO(answer.content)))


def check(client, name: str, frames) -> None:
    """Pictures of a finished story, in both formats, and its partial images."""
    story = client.get(f"/v1/stories/{name}").json()
    assert [one["refined_prompt"] for one in story["frames"]] == [frame.refined_prompt for frame in frames]
    for one, frame in zip(story["frames"], frames, strict=True):
        assert np.array_equal(pixels(client, one["url"]), frame.image)
        assert np.array_equal(pixels(client, one["url"].replace(".png", ".webp")), frame.image)
        assert np.array_equal(pixels(client, one["draft_url"]), frame.draft)
        assert pixels(client, f"/v1/stories/{name}/estimates/{one['index']}/1.png").shape == frame.image.shape


@pytest.mark.long
def test_frames_are_the_engines(exact_engine, tmp_path):
    """Stories that are drawn together, with options of their own, and one that goes on from a continuation."""
    settings = settings_of(tmp_path, options={"correction.num_inference_steps": STEPS})
    with client_of(settings) as client, worker_of(settings, engine=exact_engine):
        strengths = [0.5, 0.75, 0.5]
        names = []
        for seed, (texts, strength) in enumerate(zip(STORIES, strengths, strict=True)):
            body = {"sentences": texts, "seed": seed, "strength": strength, "partial_images": 2}
            names.append(client.post("/v1/stories", json=body).json()["id"])
        for seed, (name, texts, strength) in enumerate(zip(names, STORIES, strengths, strict=True)):
            ended(client, name)
            wanted = exact_engine.generate(texts, seed=seed, strength=strength, num_inference_steps=STEPS)
            check(client, name, wanted.frames)
        token = client.get(f"/v1/stories/{names[0]}").json()["continuation"]
        more = {"sentences": ["It ate."], "continuation": token, "partial_images": 2}
        longer = exact_engine.generate([*STORIES[0], "It ate."], seed=0, strength=0.5, num_inference_steps=STEPS)
        story = ended(client, client.post("/v1/stories", json=more).json()["id"])
        assert np.array_equal(pixels(client, story["frames"][3]["url"]), longer.frames[3].image)


@pytest.mark.slow
def test_the_embedded_bundle_serves_what_it_generates(tmp_path):
    from acdc.engine import Engine

    with running(tmp_path, fake=False) as server:
        assert server.http.get("/v1/models").json()["data"][0]["size"] == "64x64"
        names = [server.submit(*texts, seed=seed, partial_images=2) for seed, texts in enumerate(STORIES)]
        for name in names:
            server.wait(name)
        engine = Engine.from_pretrained("storyworld", backend="eager")
        for seed, (name, texts) in enumerate(zip(names, STORIES, strict=True)):
            check(server.http, name, engine.generate(texts, seed=seed, num_inference_steps=STEPS).frames)

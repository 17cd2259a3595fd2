"""``client.chat.completions``: a conversation draws the story that its user messages are."""

import numpy as np
import openai
import pytest

from tests.helpers.fake_serving import FAILS, frames_of
from tests.helpers.openai_pictures import pixels

TEXTS = ["A fox sat.", "It ran.", "It slept."]


def user(text):
    return {"role": "user", "content": text}


def picture(message):
    (image,) = message.images
    return pixels(image["image_url"]["url"].partition(",")[2])


def test_a_conversation_is_the_story_that_the_engine_draws(client, server):
    messages, frames = [{"role": "system", "content": "You draw."}], frames_of(TEXTS, 5)
    for text, frame in zip(TEXTS, frames, strict=True):
        messages.append(user(text))
        answer = client.chat.completions.create(model="storyworld", messages=messages, seed=5)
        (choice,) = answer.choices
        assert (choice.finish_reason, choice.message.content) == ("stop", frame.refined_prompt)
        assert np.array_equal(picture(choice.message), frame.image)
        assert answer.usage.completion_tokens == 16
        messages.append(choice.message.model_dump(exclude_none=True))
    story = server.story(answer.choices[0].message.acdc["story_id"])
    assert [frame["latency_ms"] is None for frame in story["frames"]] == [True, True, False]  # two came along


def test_without_its_pictures_the_story_is_drawn_again_alike(client):
    create = client.chat.completions.create
    first = create(model="storyworld", messages=[user(TEXTS[0])])
    words = [user(TEXTS[0]), {"role": "assistant", "content": "A picture."}, user(TEXTS[1])]
    whole = [user(TEXTS[0]), first.choices[0].message.model_dump(exclude_none=True), user(TEXTS[1])]
    again, carried = (create(model="storyworld", messages=messages).choices[0].message for messages in (words, whole))
    assert np.array_equal(picture(again), picture(carried))


def test_a_stream_ends_with_the_picture_and_the_usage(client):
    stream = client.chat.completions.create(
        model="storyworld", messages=[user(TEXTS[0])], seed=5, stream=True, stream_options={"include_usage": True}
    )
    first, drawn, end, usage = list(stream)
    assert first.choices[0].delta.role == "assistant"
    assert np.array_equal(picture(drawn.choices[0].delta), frames_of(TEXTS[:1], 5)[0].image)
    assert end.choices[0].finish_reason == "stop"
    assert usage.usage.completion_tokens == 16
    with pytest.raises(openai.APIError, match="the engine broke"):
        list(client.chat.completions.create(model="storyworld", messages=[user(FAILS)], stream=True))


def test_pictures_are_never_fetched(client):
    image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/a.png"}}
    messages = [user(TEXTS[0]), {"role": "assistant", "content": "", "images": [image]}, user(TEXTS[1])]
    with pytest.raises(openai.BadRequestError, match="nothing is fetched"):
        client.chat.completions.create(model="storyworld", messages=messages)

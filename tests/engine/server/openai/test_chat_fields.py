"""A conversation as a story."""

import pytest

from acdc.engine.server.openai.chat_fields import ChatFields, Turn
from acdc.engine.server.openai.refusal import Refusal

URL = "data:image/png;base64,AAAA"
PICTURE = {"type": "image_url", "image_url": {"url": URL}}


def chat(*messages, **fields):
    found = ChatFields.model_validate({"messages": list(messages), **fields})
    found.check()
    return found


def user(text):
    return {"role": "user", "content": text}


def test_user_messages_are_sentences_and_answers_bring_pictures():
    found = chat(
        {"role": "system", "content": "You draw."},
        user("One."),
        {"role": "assistant", "content": "A prompt.", "images": [PICTURE], "refusal": None},
        user([{"type": "text", "text": "Two"}, {"type": "text", "text": "more."}]),
        {"role": "assistant", "content": [PICTURE]},
        user("Three."),
        {"role": "assistant", "content": "no picture"},
        user("Four."),
    )
    assert found.turns() == [Turn("One.", URL), Turn("Two more.", URL), Turn("Three.", None), Turn("Four.", None)]


def test_the_seed_stays_the_same_while_a_conversation_goes_on():
    first, later = chat(user("One.")), chat(user("One."), {"role": "assistant", "content": ""}, user("Two."))
    assert first.story_seed() == later.story_seed() != chat(user("Two.")).story_seed()
    assert chat(user("One."), seed=7).story_seed() == 7


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "system", "content": "You draw."}], "messages"),
        ([user("One."), {"role": "assistant", "content": "x"}], "messages"),
        ([user("  ")], "messages.0.content"),
        ([user(None)], "messages.0.content"),
        ([user([PICTURE])], "messages.0.content"),
    ],
)
def test_conversations_without_a_sentence_to_draw_are_refused(messages, param):
    with pytest.raises(Refusal) as caught:
        chat(*messages).turns()
    assert caught.value.param == param


@pytest.mark.parametrize("fields", [{"tools": [{}]}, {"n": 2}, {"modalities": ["text"]}, {"logprobs": True}])
def test_what_a_picture_cannot_answer_is_refused(fields):
    with pytest.raises(Refusal) as caught:
        chat(user("One."), **fields)
    assert (caught.value.param, caught.value.code) == (*fields, "unsupported_parameter")

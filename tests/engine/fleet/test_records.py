"""Messages of a fleet: what was packed comes back, to the last pixel."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acdc.engine.constraints import Constraints
from acdc.engine.fleet.records import (
    error_record,
    event_record,
    frame_record,
    parse_error,
    parse_event,
    parse_frame,
    parse_request,
    request_record,
)
from acdc.engine.fleet.wire import pack, unpack
from acdc.engine.memory import MemoryFailure
from acdc.engine.outputs import Frame, PartialImage, Phase, Span
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import AlreadyComplete, Cancelled, FrameDone, PartialReady, StoryFailed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(0, 1e6)
PICTURES = arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3)))
CODES = st.lists(st.integers(0, 1 << 18), max_size=5).map(tuple)
SPANS = st.lists(st.builds(Span, st.sampled_from(Phase), NUMBERS, NUMBERS), max_size=3).map(tuple)
OPEN_TEXTS = st.none() | TEXTS
LATER = st.lists(TEXTS, max_size=2).map(tuple)
FRAMES = st.builds(
    Frame, st.integers(0, 9), TEXTS, TEXTS, OPEN_TEXTS, st.booleans(), PICTURES, PICTURES, CODES, CODES, SPANS,
    OPEN_TEXTS, LATER,
)  # fmt: skip
FEW = settings(max_examples=30)
STORY = StoryRequest("story", ("A cat sat.", "It ran."), 7)


def sent(record):
    return unpack(pack(record))


def assert_equal(one: Frame, other: Frame) -> None:
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, getattr(other, name))
        else:
            assert value == getattr(other, name)


@FEW
@given(FRAMES)
def test_a_frame_comes_back(frame):
    back = parse_frame(sent(frame_record(frame)))
    assert_equal(frame, back)
    assert back.image.flags.writeable, "torch warns of pixels that may not be written to"


@FEW
@given(st.lists(FRAMES, max_size=2), st.integers(0, 2**64 - 1), st.integers(0, 3) | st.just((1, 2)))
def test_a_request_comes_back(frames, seed, partial_images):
    mask, depth = np.eye(5, dtype=np.uint8) * 255, np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    pictures = Constraints(mask=mask, depths={2: depth}, canvases={1: depth})
    options = {"strength": 0.4, "negative_prompt": "blur", "correct_first": 1}
    request = StoryRequest("a-story", ("A cat sat.", "It ran."), seed, frames, pictures, partial_images, options)
    back = parse_request(sent(request_record(request)))
    assert back.constraints == pictures
    for name in ("id", "sentences", "seed", "partial_images", "options"):
        assert getattr(back, name) == getattr(request, name)
    for one, other in zip(frames, back.done, strict=True):
        assert_equal(one, other)


@FEW
@given(FRAMES, NUMBERS, NUMBERS)
def test_a_finished_frame_comes_back(frame, latency, waited):
    event = FrameDone(STORY, frame, latency, waited)
    back = parse_event(sent(event_record(event)), STORY)
    assert (back.latency_ms, back.waited_ms, back.request) == (latency, waited, STORY)
    assert_equal(frame, back.frame)


@FEW
@given(PICTURES)
def test_a_partial_image_comes_back(image):
    for step in (None, 3):
        back = parse_event(sent(event_record(PartialReady(STORY, PartialImage(1, 2, step, image)))), STORY)
        assert (back.partial.index, back.partial.number, back.partial.step) == (1, 2, step)
        assert np.array_equal(back.partial.image, image)


@pytest.mark.parametrize("kind", [ValueError, OSError, MemoryFailure, RuntimeError, Cancelled])
def test_an_error_keeps_its_class_and_message(kind):
    back = parse_event(sent(event_record(StoryFailed(STORY, kind("why")))), STORY)
    assert type(back.error) is kind
    assert str(back.error) == "why"


def test_an_unknown_error_is_named():
    assert str(parse_error(sent(error_record(ZeroDivisionError("division by zero"))))) == (
        "ZeroDivisionError: division by zero"
    )


def test_a_whole_story_comes_back():
    assert parse_event(sent(event_record(AlreadyComplete(STORY))), STORY) == AlreadyComplete(STORY)


@pytest.mark.parametrize("value", [np.zeros(3), object(), {1, 2}, b"bytes"])
def test_nothing_else_is_sent(value):
    with pytest.raises(TypeError, match="cannot be sent"):
        pack({"value": value})


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data):
    """But for those that happen to be a message."""
    found = None
    with suppress(ValueError):
        found = pack(unpack(data))
    assert found is None or unpack(found) == unpack(data)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 7, pack({"a": 1})[:-1], (15).to_bytes(8) + b'{"uint8 at": 3}'], ids=range(4)
)
def test_damaged_messages_are_refused(data):
    with pytest.raises(ValueError, match="bytes is damaged"):
        unpack(data)

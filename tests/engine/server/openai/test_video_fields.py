"""Lengths of clips, and of stories as films."""

import pytest

from acdc.engine.server.openai.refusal import Refusal
from acdc.engine.server.openai.video_fields import Lengths, VideoFields


def lengths(draws_clips=True, prompt="One.", **fields):
    found = VideoFields.model_validate({"prompt": prompt, **fields})
    found.check(draws_clips)
    return found.lengths(draws_clips)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, (32, 8, 16)),
        ({"seconds": "2"}, (16, 8, 16)),
        ({"num_frames": 12, "chunk_frames": 4}, (12, 8, 4)),
        ({"num_frames": 12, "fps": 6}, (12, 6, 16)),
        ({"num_frames": 12, "seconds": 3}, (12, 4.0, 16)),
        ({"seconds": 2, "fps": 5}, (10, 5, 16)),
    ],
)
def test_a_clip_has_seconds_times_fps_frames(fields, wanted):
    found = lengths(**fields)
    assert found == Lengths(*wanted)
    assert float(found.seconds) * found.fps == pytest.approx(found.num_frames)


def test_a_story_has_a_frame_a_sentence():
    assert lengths(prompt="One.\nTwo.\nThree.") == (3, 1.0, 1)
    assert lengths(prompt="One.\nTwo.", seconds="4") == (2, 0.5, 1)
    assert lengths(draws_clips=False) == (1, 1.0, 1)
    with pytest.raises(Refusal) as caught:
        lengths(draws_clips=False, num_frames=8)
    assert caught.value.param == "num_frames"

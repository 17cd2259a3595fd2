"""Videos by LWM as it is published: its settings, and how many frames fit."""

import pytest

from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.lwm.model import LWM
from acdc.engine.models.lwm.published import SIZES as FULL
from acdc.engine.models.lwm.published import STREAM as PUBLISHED
from acdc.engine.models.lwm.published import VIDEO_POLICIES
from acdc.engine.models.lwm.video_session import LwmVideo
from acdc.engine.utils.weights import skeleton


def test_the_published_settings() -> None:
    first, rest = VIDEO_POLICIES
    assert (first.guidance_scale, first.top_k, first.temperature) == (5.0, 8192, 1.0)
    assert (rest.guidance_scale, rest.top_k, rest.temperature) == (1.0, 1000, 1.0)
    assert (PUBLISHED.codes_per_frame, PUBLISHED.codebook_size, PUBLISHED.eof) == (256, 8192, 8192)


def test_at_full_size_127_frames_fit() -> None:
    with skeleton():
        full = Arm(LWM(FULL), lambda text: [7] * len(text), PUBLISHED)
    LwmVideo(full, 1, 127)
    with pytest.raises(ValueError, match="128 frames need 32919 positions, the model has 32768; choose at most 127"):
        LwmVideo(full, 1, 128)

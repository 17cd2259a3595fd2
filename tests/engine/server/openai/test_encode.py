"""Frames as files of the formats that clients ask for."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from acdc.engine.server.openai.encode import animate, base64_of, data_url, encode, text_in, with_text
from tests.helpers.openai_pictures import png

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
PICTURES = [Image.fromarray(one) for one in PIXELS]


FILE = png(PIXELS[0])


def test_a_png_is_the_file_and_may_carry_a_text():
    plain = encode(FILE, "png")
    assert plain == FILE
    found = Image.open(BytesIO(with_text(plain, "a token")))
    assert np.array_equal(np.asarray(found), PIXELS[0])
    assert found.text == {"acdc": "a token"}
    assert text_in(with_text(with_text(plain, "first"), "a token")) == "a token"
    assert text_in(plain) is text_in(b"") is text_in(b"tEXtacdc\0") is None


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_lossy_formats_follow_the_quality(form):
    best, worst = encode(FILE, form), encode(FILE, form, 0)
    assert len(worst) < len(best)
    assert encode(FILE, form, 100) == best
    opened = Image.open(BytesIO(best))
    assert (opened.format, opened.size) == (form.upper(), (12, 8))


def test_a_gif_shows_each_frame_for_its_time():
    found = Image.open(BytesIO(animate(PICTURES, 254)))
    assert (found.n_frames, found.info["duration"], found.info["loop"]) == (3, 250, 0)
    assert Image.open(BytesIO(animate(PICTURES))).info["duration"] == 200


def test_bytes_as_json_carries_them():
    assert base64_of(b"abc") == "YWJj"
    assert data_url(b"abc", "jpeg") == "data:image/jpeg;base64,YWJj"

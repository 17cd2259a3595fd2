"""Pictures from clients: what they are is decided by their bytes, how large they may be before they are decoded."""

import base64
import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acdc.engine.server.openai import uploads
from acdc.engine.server.openai.refusal import Refusal
from acdc.engine.server.openai.uploads import mask_of, png_of

MOST_PIXELS = 1 << 24


def read_picture(data, param="image"):
    return uploads.read_picture(data, param, MOST_PIXELS)


def picture(mode="RGB", size=(12, 8)):
    levels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    return Image.fromarray(levels.squeeze(), mode)


def file_of(image, form, **how):
    buffer = BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def huge_png():
    """The head of a PNG of 2**40 pixels, which must not be decoded."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 2**20, 2**20, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize("form", uploads.FORMATS)
def test_pictures_are_read_whatever_they_are_called(form):
    given = picture()
    found = read_picture(file_of(given, form, **({} if form == "PNG" else {"quality": 100})), "image")
    assert (found.mode, found.size) == ("RGB", (12, 8))
    if form == "PNG":
        assert np.array_equal(np.asarray(found), np.asarray(given))


def test_exif_turns_a_picture_and_transparency_stays():
    given = picture()
    exif = given.getexif()
    exif[0x0112] = 6
    assert read_picture(file_of(given, "JPEG", exif=exif), "image").size == (8, 12)
    assert read_picture(file_of(picture("RGBA"), "PNG"), "image").mode == "RGBA"


@pytest.mark.parametrize(
    "data",
    [b"", b"nothing", b"GIF89a" + bytes(40), file_of(picture(), "BMP"), file_of(picture(), "PNG")[:-30], huge_png()],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(Refusal) as caught:
        read_picture(data, "image")
    assert caught.value.param == "image"


def test_too_many_pixels_are_refused():
    with pytest.raises(Refusal, match="12 x 8 pixels; the limit is 95"):
        uploads.read_picture(file_of(picture(), "PNG"), "image", 95)


def test_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    with pytest.raises(Refusal, match="the limit is 10"):
        read_picture(file_of(picture(), "PNG"), "image")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(data):
    whole = bytearray(file_of(picture("RGBA"), data.draw(st.sampled_from(["PNG", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Refusal):
        assert read_picture(bytes(whole), "image").mode in ("RGB", "RGBA")


def test_what_is_transparent_may_change():
    mask = picture("RGBA")
    alpha = np.zeros((8, 12), np.uint8)
    alpha[:4] = 255
    mask.putalpha(Image.fromarray(alpha))
    assert np.array_equal(np.asarray(mask_of(mask, picture())), 255 - alpha)


@pytest.mark.parametrize("mask", [picture(), picture("RGBA", (8, 8)), Image.new("RGBA", (12, 8), "white")])
def test_masks_of_another_size_or_without_transparency_are_refused(mask):
    with pytest.raises(Refusal) as caught:
        mask_of(mask, picture())
    assert caught.value.param == "mask"


def test_the_workers_copy_is_lossless_and_on_white():
    assert np.array_equal(np.asarray(Image.open(BytesIO(png_of(picture())))), np.asarray(picture()))
    clear = Image.open(BytesIO(png_of(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))))
    assert (clear.mode, clear.getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_data_urls_are_read_and_others_never_fetched():
    url = "data:image/png;base64," + base64.b64encode(file_of(picture(), "PNG")).decode()
    assert np.array_equal(np.asarray(uploads.read_data_url(url, "messages", MOST_PIXELS)), np.asarray(picture()))
    for bad in ("https://example.com/a.png", "file:///etc/passwd", "data:image/png,abc", "data:image/png;base64,??"):
        with pytest.raises(Refusal):
            uploads.read_data_url(bad, "messages", MOST_PIXELS)

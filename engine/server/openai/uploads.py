"""Pictures that clients send: known by their bytes, measured before they are decoded, re-encoded for the worker."""

from __future__ import annotations

import base64
import binascii
import warnings
from io import BytesIO

from PIL import Image

from ...constraints import HALF
from ...utils.picture import upright
from .refusal import Refusal

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_BYTES = 20 * 2**20


def read_picture(data: bytes, param: str, most_pixels: int) -> Image.Image:
    """An upright picture, RGB or RGBA; :class:`Refusal` for other bytes, and for more pixels or bytes than are
    allowed. Names and content types are the client's word, and not looked at."""
    if len(data) > MOST_BYTES:
        raise Refusal(f"{param} has {len(data)} bytes; the limit is {MOST_BYTES}", param)
    if not data:
        raise Refusal(f"{param} is empty; send a PNG, JPEG or WebP file", param)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # measured below
            picture = Image.open(BytesIO(data), formats=FORMATS)
    except Exception:  # the readers of damaged files raise whatever they meet
        raise Refusal(f"{param} is not a readable picture; send a PNG, JPEG or WebP file", param) from None
    width, height = picture.size
    if width * height > most_pixels:
        raise Refusal(f"{param} has {width} x {height} pixels; the limit is {most_pixels} in all", param)
    try:
        rgb, alpha = upright(picture, param)
    except ValueError as error:
        raise Refusal(str(error), param) from None
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def read_data_url(url: str, param: str, most_pixels: int) -> Image.Image:
    """The picture in a ``data:`` URL; other URLs are refused: this server fetches nothing."""
    head, comma, body = url.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64") or not comma:
        raise Refusal(f"{param} is not a data URL; send data:image/png;base64,... (nothing is fetched)", param)
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(f"{param} is not valid base64; send data:image/png;base64,...", param) from None
    return read_picture(data, param, most_pixels)


def mask_of(mask: Image.Image, picture: Image.Image) -> Image.Image:
    """The part to change, white, of a ``mask`` that is transparent there; :class:`Refusal` for one without
    transparency, and for one of another size than the ``picture``."""
    if mask.size != picture.size:
        sizes = f"{mask.width} x {mask.height}, the image {picture.width} x {picture.height} pixels"
        raise Refusal(f"mask has {sizes}; send them in one size", "mask")
    if mask.mode != "RGBA":
        raise Refusal("mask has no transparency; make transparent what may change", "mask")
    white = mask.getchannel("A").point([255 - value for value in range(256)])
    brightest = max(level for level, count in enumerate(white.histogram()) if count)
    if brightest < HALF:
        raise Refusal("mask is opaque, so that nothing may change; make transparent what may change", "mask")
    return white


def png_of(picture: Image.Image) -> bytes:
    """A lossless copy for the worker: RGB, on white where it is transparent."""
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    buffer = BytesIO()
    flat.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

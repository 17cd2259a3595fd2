"""Frames as files in the formats that clients may ask for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Literal

from PIL import Image, PngImagePlugin

Format = Literal["png", "webp", "jpeg", "gif"]
MIME = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg", "gif": "image/gif"}
PNG_LEVEL, BEST = 1, 100
DURATION_MS = 200


def encode(picture: Image.Image, form: str, quality: int | None = None, text: str | None = None) -> bytes:
    """One picture as ``png`` (lossless; ``text`` is kept in it under ``acdc``), ``webp`` or ``jpeg`` of a ``quality``
    from 0 to 100 (None: 100)."""
    buffer = BytesIO()
    if form == "png":
        info = PngImagePlugin.PngInfo()
        if text is not None:
            info.add_text("acdc", text)
        picture.save(buffer, "PNG", compress_level=PNG_LEVEL, pnginfo=info)
    else:
        picture.save(buffer, form.upper(), quality=BEST if quality is None else quality)
    return buffer.getvalue()


def animate(pictures: Sequence[Image.Image], duration_ms: int | None = None) -> bytes:
    """An endless GIF of pictures of one size; a GIF counts in hundredths of a second."""
    shown = 10 * round((duration_ms or DURATION_MS) / 10)
    first, *rest = pictures
    buffer = BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=shown, loop=0)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """Bytes as JSON carries them."""
    return base64.b64encode(data).decode("ascii")


def data_url(data: bytes, form: str) -> str:
    """A file as a URL that holds it."""
    return f"data:{MIME[form]};base64,{base64_of(data)}"

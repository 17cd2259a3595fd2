"""Frames as files in the formats that clients may ask for."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

from PIL import Image

MIME = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg", "gif": "image/gif"}
BEST, DURATION_MS = 100, 200
KEYWORD = b"acdc"
END = 12  # bytes of a PNG's last chunk


def encode(png: bytes, form: str, quality: int | None = None) -> bytes:
    """A PNG file's bytes as they are, or as ``webp`` or ``jpeg`` of a ``quality`` from 0 to 100 (None: 100)."""
    if form == "png":
        return png
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        picture.convert("RGB").save(buffer, form.upper(), quality=BEST if quality is None else quality)
    return buffer.getvalue()


def with_text(png: bytes, text: str) -> bytes:
    """A PNG file that carries an ASCII text under ``acdc``; its pixels are not touched."""
    body = b"tEXt" + KEYWORD + b"\0" + text.encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:-END] + chunk + png[-END:]


def text_in(png: bytes) -> str | None:
    """The text of :func:`with_text`; None where there is none."""
    at = png.rfind(b"tEXt" + KEYWORD + b"\0")
    if at < 4 or not png.startswith(b"\x89PNG"):
        return None
    (length,) = struct.unpack(">I", png[at - 4 : at])
    return png[at + 5 + len(KEYWORD) : at + 4 + length].decode("ascii", "replace")


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

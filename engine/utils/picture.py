"""A person's picture, of whatever mode, as upright 8-bit RGB on white."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

SIXTEEN_BITS = 65535


def upright_rgb(picture: Image.Image, name: str = "init image") -> Image.Image:
    """The first frame of ``picture``, turned as its EXIF data say, as RGB; transparent parts are white.

    Grey of 16 bits is scaled to 8, and float grey from 0 to 1: Pillow's own conversion cuts both at 255, which makes
    them white or black (python-pillow/Pillow#3011). Raises ``ValueError`` (one line, begins with ``name``) for values
    outside of those ranges, and for a picture that cannot be read or converted.
    """
    rgb, _ = upright(picture, name)
    return rgb


def upright(picture: Image.Image, name: str = "init image") -> tuple[Image.Image, Image.Image | None]:
    """:func:`upright_rgb`, and the alpha channel (mode L) of a picture that has one."""
    if not isinstance(picture, Image.Image):
        raise ValueError(f"{name} is a {type(picture).__name__}; give a PIL image")
    try:
        if min(picture.size) < 1:
            raise ValueError(f"its size is {picture.size[0]} x {picture.size[1]}")
        turned = ImageOps.exif_transpose(_eight_bits(picture))
        transparent = turned.has_transparency_data
        rgba = turned.convert("RGBA")
    except Exception as error:  # the readers of damaged files raise whatever they meet
        raise ValueError(f"{name} is not a readable picture ({' '.join(str(error).split())})") from None
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB"), rgba.getchannel("A") if transparent else None


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.float64)
    most = 1.0 if picture.mode == "F" else SIXTEEN_BITS
    if not (values >= 0).all() or not (values <= most).all():  # false for NaN, too
        raise ValueError(f"values of mode {picture.mode} from {values.min():g} to {values.max():g}, not 0 to {most:g}")
    grey = Image.fromarray(np.round(values * (255 / most)).astype(np.uint8))
    grey.info = dict(picture.info)
    if exif := picture.getexif():
        grey.info["exif"] = exif.tobytes()
    return grey

"""A person's picture, of whatever mode, as upright 8-bit RGB or grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIXTEEN_BITS = 65535


def upright_rgb(picture: Image.Image, name: str = "init image", background: str = "white") -> Image.Image:
    """The first frame of ``picture``, turned as its EXIF data say, as RGB; transparent parts show the ``background``.

    Grey of 16 bits is scaled to 8, and float grey from 0 to 1: Pillow's own conversion cuts both at 255, which makes
    them white or black (python-pillow/Pillow#3011). Raises ``ValueError`` (one line, begins with ``name``) for values
    outside of those ranges, and for a picture that cannot be read or converted.
    """
    rgb, _ = upright(picture, name, background)
    return rgb


def upright(
    picture: Image.Image, name: str = "init image", background: str = "white"
) -> tuple[Image.Image, Image.Image | None]:
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
    below = Image.new("RGBA", rgba.size, background)
    return Image.alpha_composite(below, rgba).convert("RGB"), rgba.getchannel("A") if transparent else None


def read_picture(name: str | Path, what: str, background: str = "white") -> Image.Image:
    """The picture in a file as :func:`upright_rgb` makes it; ``ValueError`` (one line) says ``what`` and names it."""
    path, advice = Path(name), "give a PNG or JPEG file"
    if not path.exists():
        raise ValueError(f"{what} {str(name)!r} does not exist; {advice}")
    if path.is_dir():
        raise ValueError(f"{what} {str(name)!r} is a directory; {advice}")
    try:
        with Image.open(path) as picture:
            return upright_rgb(picture, what, background)
    except Exception as error:  # the readers of damaged files raise whatever they meet
        reason = str(error).partition("(")[2].rstrip(")") if isinstance(error, ValueError) else ""
        why = f" ({reason})" if reason else ""
        raise ValueError(f"{what} {str(name)!r} is not a readable picture{why}; {advice}") from None


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

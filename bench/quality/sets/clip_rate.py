"""Frames a second of a clip's file."""

from __future__ import annotations

from PIL import Image

from ....engine.storage.picture_files import PictureFile, movie_rate


def clip_rate(source: PictureFile) -> float | None:
    """The mean rate of an animation or a movie; None for an animation without times."""
    if source.kind == "movie":
        return float(movie_rate(source.path))
    milliseconds = 0
    with Image.open(source.path, formats=(source.form,)) as picture:
        for number in range(source.count):
            picture.seek(number)
            picture.load()  # WebP's times are known then
            milliseconds += int(picture.info.get("duration", 0))
    return 1000 * source.count / milliseconds if milliseconds else None

"""Backgrounds: eight places that differ in structure, by day and by night, arranged by a layout seed."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from ..world.kinds import SETTINGS
from .scenery import PLACES
from .sky import Stage, paint_sky


@functools.lru_cache(maxsize=24)
def background(setting: str, time: str, layout: int, pixels: int, wind: float = 0.0) -> Image.Image:
    """The empty scene, RGB, pixels x pixels. Treat it as read-only: it is shared between frames of a story.

    ``wind`` is how far the clouds have drifted, in percent of the picture.
    """
    # The time of day is left out of the seed: night falls on the same place.
    rng = np.random.default_rng((layout, SETTINGS.index(setting)))
    image = paint_sky(setting, time, pixels)
    stage = Stage(pixels, time == "night", rng, wind)
    PLACES[setting](stage)
    stage.ink.paint(image)
    return image

"""The sky, and the stage on which scenery is set up."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .shapes import Colour, Ink, Shape, ellipse, mix, moved, polygon

HORIZON = 60.0  # percent from the top

# top and horizon of the day sky, top and bottom of the ground
SKIES: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "garden": ((126, 200, 240), (226, 244, 248), (150, 208, 112), (108, 178, 88)),
    "meadow": ((110, 190, 244), (214, 240, 252), (178, 222, 110), (132, 194, 78)),
    "forest": ((170, 216, 206), (226, 240, 208), (136, 172, 96), (96, 136, 76)),
    "lake": ((138, 196, 236), (240, 236, 232), (152, 192, 112), (112, 164, 88)),
    "snow": ((160, 188, 222), (224, 234, 246), (248, 250, 255), (222, 232, 246)),
    "park": ((150, 206, 238), (250, 236, 222), (164, 208, 122), (124, 180, 96)),
    "beach": ((92, 188, 242), (214, 242, 250), (250, 228, 176), (240, 208, 146)),
    "desert": ((246, 190, 132), (254, 234, 194), (236, 182, 112), (220, 154, 86)),
}
NIGHT_SKY = ((24, 30, 78), (88, 92, 158))


class Stage:
    """Scenery ink in percent of the picture, the random arrangement, the light, and how far clouds have gone."""

    def __init__(self, pixels: int, night: bool, rng: np.random.Generator, wind: float = 0.0) -> None:
        self.ink = Ink(pixels / 100, line=0.0)
        self.night, self.rng, self.wind = night, rng, wind

    def light(self, colour: Colour) -> Colour:
        """A colour in this light: dim and blue at night."""
        if not self.night:
            return colour
        red, green, blue = colour
        return round(red * 0.42 + 8), round(green * 0.46 + 14), round(blue * 0.54 + 40)

    def fill(self, colour: Colour, *shapes: Shape) -> None:
        """Scenery lit by the time of day."""
        self.ink.fill(self.light(colour), *shapes)

    def glow(self, colour: Colour, *shapes: Shape) -> None:
        """Things that shine by themselves."""
        self.ink.fill(colour, *shapes)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def spread(self, count: int, low: float = 0.0, high: float = 100.0) -> list[float]:
        """`count` places across the picture, jittered within equal cells so that they never pile up."""
        cell = (high - low) / count
        return [low + cell * (i + self.uniform(0.15, 0.85)) for i in range(count)]


def paint_sky(setting: str, time: str, pixels: int) -> Image.Image:
    """Soft vertical gradients of sky and ground, RGB."""
    top, low, near, far = SKIES[setting]
    stage = Stage(pixels, time == "night", np.random.default_rng(0))
    if stage.night:
        top, low = mix(NIGHT_SKY[0], stage.light(top), 0.15), mix(NIGHT_SKY[1], stage.light(low), 0.3)
    stops = [0.0, HORIZON, HORIZON + 0.01, 100.0]
    colours = np.array([top, low, stage.light(near), stage.light(far)], dtype=np.float64)
    rows = (np.arange(pixels) + 0.5) * 100 / pixels
    column = np.stack([np.interp(rows, stops, colours[:, c]) for c in range(3)], axis=-1)
    column = np.repeat(np.round(column).astype(np.uint8)[:, None], pixels, axis=1)
    return Image.fromarray(column)


def sun_or_moon(s: Stage, colour: Colour = (255, 220, 98)) -> None:
    """The sun with a halo, or a crescent moon among stars."""
    x, y = s.uniform(14, 86), s.uniform(11, 18)
    stars = [(s.uniform(3, 97), s.uniform(3, 40), s.uniform(0.9, 1.6)) for _ in range(13)]
    stars = [star for star in stars if np.hypot(star[0] - x, star[1] - y) > 13]
    if not s.night:
        sky = (255, 244, 206)
        s.glow(sky, ellipse(x, y, 10.5))
        s.glow(mix(colour, sky, 0.4), ellipse(x, y, 8.8))
        s.glow(colour, ellipse(x, y, 7.2))
        return
    for sx, sy, r in stars:
        star = polygon((0, -1.6), (0.4, -0.4), (1.6, 0), (0.4, 0.4), (0, 1.6), (-0.4, 0.4), (-1.6, 0), (-0.4, -0.4))
        s.glow((250, 244, 210), moved(star, complex(sx, sy), 0, r))
    s.glow((62, 68, 132), ellipse(x, y, 10.5))
    s.glow((255, 246, 208), ellipse(x, y, 7.4))
    s.glow((62, 68, 132), ellipse(x + 3.6, y - 2.0, 6.2))


def clouds(s: Stage, count: int, low: float = 10.0, high: float = 30.0) -> None:
    """Flat-bottomed puffs."""
    for x in s.spread(count):
        x, y, k = x + s.wind, s.uniform(low, high), s.uniform(0.8, 1.25)
        puffs = [(-6, 0, 4), (0, -2.4, 5.2), (6, -0.3, 4.2), (0, 1.6, 9.0)]
        white = (250, 252, 255) if not s.night else (150, 156, 196)
        s.fill(
            white,
            *(ellipse(x + k * dx, y + k * dy, k * r, k * min(r, 3.2) if r > 8 else k * r) for dx, dy, r in puffs),
        )

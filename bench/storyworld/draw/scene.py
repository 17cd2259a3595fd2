"""The renderer of the storyworld: a deterministic function from a `Scene` to a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..world.kinds import Scene, check_scene
from ..world.motion import STILL, Motion
from .animals import draw_animal
from .effects import EFFECTS
from .props import IN_THE_AIR, PROP_INKS
from .settings import background
from .shapes import Colour, Ink, ellipse, mix

SUPERSAMPLE = 3
GROUND = 88.0  # the animal's feet, percent from the top
MOON_RIM: Colour = (206, 216, 255)
LIFTED = ("jump", "spin")
LINES = {1: 0.9, 2: 1.25}  # contours in percent of the picture, by edition: at 64 px a line of one pixel needs 1.6
EYES = {1: 1.0, 2: 1.2}
# How far a pose is set back so that the head and its marks stay inside the picture, in percent.
REACH = {"sit": 2, "run": 5, "jump": 2, "sleep": 5, "sniff": 7, "look up": 2, "spin": 0, "bark": 9}


def render(scene: Scene, size: int = 128, motion: Motion = STILL) -> Image.Image:
    """Draw `scene` at a moment of its motion, RGB, size x size pixels.

    Raises:
        ValueError: a name or number of the scene is out of range, or size is below 16.
    """
    check_scene(scene)
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    pixels = SUPERSAMPLE * size
    image = background(scene.setting, scene.time, scene.layout, pixels, motion.wind).copy()
    unit, night = pixels / 100, scene.time == "night"
    side = _prop_side(scene)
    x = 42 + 16 * scene.x - scene.facing * REACH[scene.action]
    if scene.prop != "none":
        x -= 3 * side
    ink = Ink(unit, complex(x, GROUND) * unit, scene.facing, LINES[scene.edition])
    head = draw_animal(ink, scene.who, scene.action, night, motion, EYES[scene.edition])
    _shadow(image, x, unit, scene.action)
    marks = Ink(unit, complex(x, GROUND) * unit, scene.facing)
    EFFECTS[scene.action](marks, head - 1j * motion.drift)
    rim = 0.7 if night else 0.0
    if scene.action == "run":  # dust and motion lines follow
        marks.paint(image)
    ink.paint(image, rim, MOON_RIM)
    _prop(image, scene.prop, x, side, unit, rim)
    if scene.action != "run":
        marks.paint(image)
    return image.reduce(SUPERSAMPLE)


def _prop_side(scene: Scene) -> int:
    """Side on which the prop hides neither the head nor the action's marks: +1 right of the animal, -1 left."""
    if scene.action == "run":  # motion lines follow
        return scene.facing
    if scene.action in ("sleep", "sniff", "look up", "bark"):  # marks or a lowered head in front
        return -scene.facing
    return 1 if scene.x < 0.5 else -1


def _shadow(image: Image.Image, x: float, unit: float, action: str) -> None:
    """A soft pool under the animal; smaller and darker when it is in the air."""
    wide = 15.0 if action in LIFTED else 24.0
    spots = [(round((x + dx) * unit), round((GROUND + 3) * unit)) for dx in (-16, -8, 0, 8, 16)]
    pixels = np.array([image.getpixel(spot) for spot in spots])
    red, green, blue = (int(c) for c in np.median(pixels, axis=0))  # a flower underneath must not colour it
    tone: Colour = (red, green, blue)
    shadow = Ink(unit, complex(x, GROUND) * unit)
    strength = 0.42 if action in LIFTED else 0.26
    shadow.fill(mix(tone, (40, 36, 70), 0.6 * strength), ellipse(0, 0, wide, 4.2))
    shadow.fill(mix(tone, (40, 36, 70), strength), ellipse(0, 0, 0.85 * wide, 3.2))
    shadow.paint(image)


def _prop(image: Image.Image, name: str, x: float, side: int, unit: float, rim: float) -> None:
    if name == "none":
        return
    flying = name in IN_THE_AIR
    place = complex(min(86.0, max(14.0, x + 38 * side)), 26 if flying else GROUND + 5)
    ink = Ink(unit, place * unit)
    PROP_INKS[name](ink)
    ink.paint(image, rim, MOON_RIM)

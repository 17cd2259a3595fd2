"""Coat palettes, shared between the animals (see `world.COATS`)."""

from __future__ import annotations

from dataclasses import dataclass

from ..world.kinds import COATS, Individual
from .shapes import Colour, mix

DARK_MARK: Colour = (84, 58, 52)
PALE = 430  # red + green + blue from which on a coat is pale: its markings are dark, else light


@dataclass(frozen=True)
class Coat:
    """Main colour, light colour of belly and muzzle, dark colour of patches and ear tips; the markings' colour."""

    main: Colour
    light: Colour
    dark: Colour
    mark: Colour = DARK_MARK
    trunk: str = "plain"
    face: str = "plain"


PALETTES = {
    "chestnut": Coat((186, 110, 68), (252, 238, 216), (118, 66, 46)),
    "gold": Coat((236, 186, 104), (254, 240, 208), (196, 138, 68)),
    "orange": Coat((240, 138, 64), (255, 243, 226), (168, 84, 44)),
    "brown": Coat((148, 104, 76), (228, 198, 162), (96, 64, 50)),
    "grey": Coat((156, 160, 174), (240, 240, 244), (104, 106, 124)),
    "charcoal": Coat((92, 88, 102), (222, 214, 214), (58, 54, 68)),
    "white": Coat((246, 243, 238), (255, 252, 247), (202, 194, 190)),
    "cream": Coat((247, 225, 190), (255, 249, 235), (214, 178, 136)),
}


def coat_of(who: Individual, night: bool) -> Coat:
    """The individual's palette with its tint, a little cooler by night."""
    coat = PALETTES[COATS[who.animal][who.coat]]

    def shade(colour: Colour) -> Colour:
        tinted = (round(min(255, max(0, c + 255 * t))) for c, t in zip(colour, who.tint, strict=True))
        red, green, blue = tinted
        return mix((red, green, blue), (110, 124, 190), 0.16) if night else (red, green, blue)

    pale = sum(coat.main) >= PALE and who.animal != "beagle"  # a beagle's own patch is dark
    mark = mix(coat.dark, DARK_MARK, 0.7) if pale else coat.light
    return Coat(shade(coat.main), shade(coat.light), shade(coat.dark), shade(mark), who.trunk, who.face)

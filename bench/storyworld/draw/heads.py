"""Heads of the four-legged animals, drawn in a frame of radius 1 that looks to the right (three-quarter view).

Ears and snout carry the species: they must differ in grayscale at 64 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .coats import Coat
from .shapes import Colour, Ink, Shape, blob, ellipse, mix, moved, taper

PINK = (238, 160, 162)
DARK = (48, 36, 46)
WHITE = (255, 255, 255)
MOUTH = (196, 72, 84)


@dataclass(frozen=True)
class Face:
    """A head to draw: where, how large, how tilted, and what it does."""

    at: complex
    radius: float
    tilt: float
    ear: float
    asleep: bool
    mouth: bool
    eye: float = 1.0


class HeadInk:
    """Ink whose shapes live in the head's frame."""

    def __init__(self, ink: Ink, face: Face) -> None:
        self.ink, self.face = ink, face

    def _at(self, shapes: tuple[Shape, ...]) -> list[Shape]:
        return [moved(s, self.face.at, self.face.tilt, self.face.radius) for s in shapes]

    def fill(self, colour: Colour, *shapes: Shape) -> None:
        self.ink.fill(colour, *self._at(shapes))

    def part(self, colour: Colour, *shapes: Shape) -> None:
        self.ink.part(colour, *self._at(shapes))


def eyes(h: HeadInk, coat: Coat, near: tuple[float, float], far: tuple[float, float], size: float = 0.2) -> None:
    """Big shining eyes, or two arcs when asleep; a touch of blush below the near one."""
    if coat.face == "patch":
        h.fill(coat.mark, ellipse(near[0] - 0.03, near[1] - 0.02, 0.42, 0.46, 20))
    size *= h.face.eye
    blush = mix(coat.main, (255, 120, 120), 0.4)
    h.fill(blush, ellipse(near[0] - 1.25 * size, near[1] + 1.75 * size, 0.75 * size, 0.5 * size))
    for (x, y), s in ((near, size), (far, 0.84 * size)):
        if h.face.asleep:
            h.fill(DARK, taper([(x - 1.1 * s, y), (x, y + 0.75 * s), (x + 1.1 * s, y)], [0.062, 0.075, 0.062]))
        else:
            h.fill(DARK, ellipse(x, y, s, 1.28 * s))
            h.fill(
                WHITE,
                ellipse(x + 0.3 * s, y - 0.5 * s, 0.4 * s),
                ellipse(x - 0.35 * s, y + 0.55 * s, 0.2 * s),
            )


def snout(h: HeadInk, nose: tuple[float, float], size: float, colour: Colour = DARK) -> None:
    """Nose and a small smile, or an open mouth."""
    x, y = nose
    if h.face.mouth:
        jaw = blob(
            (x - 0.62, y + 0.24),
            (x - 0.3, y + 0.3),
            (x + 0.04, y + 0.2),
            (x - 0.08, y + 0.6),
            (x - 0.36, y + 0.68),
        )
        h.fill(DARK, lambda grow: jaw(grow + 0.06))
        h.fill(MOUTH, jaw)
        h.fill(PINK, ellipse(x - 0.27, y + 0.53, 0.18, 0.11))
    else:
        smile = taper([(x - 0.42, y + 0.3), (x - 0.16, y + 0.4), (x + 0.02, y + 0.18)], [0.045, 0.05, 0.045])
        h.fill(DARK, smile)
    h.fill(colour, ellipse(x, y, size, 0.76 * size))
    h.fill(WHITE, ellipse(x - 0.2 * size, y - 0.3 * size, 0.26 * size, 0.16 * size))


def upright(h: HeadInk, base: tuple[float, float], tip: tuple[float, float], wide: float, colour: Colour) -> Shape:
    """A pointed ear; returns its inner shape."""
    x0, y0 = base
    x1, y1 = x0 + (tip[0] - x0) * h.face.ear, y0 + (tip[1] - y0) * h.face.ear
    h.part(colour, taper([base, (x1, y1)], [wide, 0.07]))
    inner = (x0 + 0.72 * (x1 - x0), y0 + 0.72 * (y1 - y0))
    return taper([base, inner], [0.55 * wide, 0.06])


def beagle(h: HeadInk, coat: Coat) -> None:
    e = h.face.ear
    h.part(coat.dark, taper([(0.55, -0.6), (1.0, -0.2), (1.02, 0.62 * e)], [0.2, 0.3, 0.24]))
    h.part(coat.main, ellipse(0, 0, 0.98, 0.9))
    h.fill(coat.light, taper([(0.36, -0.78), (0.42, 0.1)], [0.1, 0.24]), ellipse(0.55, 0.4, 0.52, 0.42))
    h.part(coat.light, ellipse(0.66, 0.36, 0.44, 0.36))
    h.fill(coat.light, ellipse(0.36, 0.34, 0.36, 0.38))
    eyes(h, coat, (0.02, -0.14), (0.7, -0.16))
    snout(h, (0.84, 0.2), 0.2)
    h.part(coat.dark, taper([(-0.42, -0.62), (-0.9, 0.05), (-0.74, 0.95 * e)], [0.23, 0.33, 0.31]))


def corgi(h: HeadInk, coat: Coat) -> None:
    far = upright(h, (0.5, -0.55), (0.86, -1.62), 0.4, coat.main)
    h.fill(PINK, far)
    near = upright(h, (-0.5, -0.5), (-0.86, -1.62), 0.46, coat.main)
    h.fill(PINK, near)
    h.part(coat.main, ellipse(0, 0, 1.04, 0.86))
    h.fill(coat.light, taper([(0.36, -0.8), (0.4, 0.1)], [0.13, 0.24]), ellipse(-0.25, 0.5, 0.56, 0.34))
    h.part(coat.light, ellipse(0.62, 0.38, 0.42, 0.32))
    h.fill(coat.light, ellipse(0.28, 0.42, 0.45, 0.36))
    eyes(h, coat, (-0.02, -0.12), (0.68, -0.14))
    snout(h, (0.82, 0.22), 0.17)


def golden(h: HeadInk, coat: Coat) -> None:
    e, ear = h.face.ear, mix(coat.main, coat.dark, 0.55)
    h.part(ear, taper([(0.6, -0.6), (1.0, -0.25), (0.96, 0.25 * e)], [0.18, 0.22, 0.14]))
    h.part(coat.main, ellipse(0, -0.05, 0.95, 0.92), ellipse(-0.25, 0.5, 0.6, 0.45))
    h.fill(mix(coat.main, coat.light, 0.6), ellipse(0.3, -0.4, 0.5, 0.3))
    h.part(mix(coat.main, coat.light, 0.7), taper([(0.45, 0.4), (0.9, 0.44)], [0.36, 0.33]))
    eyes(h, coat, (-0.02, -0.2), (0.64, -0.24), 0.19)
    snout(h, (1.06, 0.26), 0.2)
    h.part(
        ear,
        blob((-0.3, -0.75), (-0.75, -0.6), (-1.12, 0.05), (-1.0, 0.5 * e), (-0.6, 0.42 * e), (-0.42, -0.1)),
    )


def fox(h: HeadInk, coat: Coat) -> None:
    far = upright(h, (0.42, -0.55), (0.7, -1.5), 0.36, coat.main)
    h.fill(coat.dark, far)
    near = upright(h, (-0.5, -0.5), (-0.66, -1.52), 0.4, coat.main)
    h.fill(coat.dark, near)
    cheek = blob(
        (-0.95, -0.1),
        (-0.6, -0.72),
        (0.1, -0.88),
        (0.72, -0.6),
        (1.5, 0.4),
        (0.7, 0.72),
        (-0.2, 0.8),
        (-1.2, 0.62),
    )
    h.part(coat.main, cheek)
    h.fill(coat.light, blob((-1.12, 0.6), (-0.45, 0.22), (0.3, 0.34), (1.42, 0.4), (0.7, 0.69), (-0.2, 0.77)))
    eyes(h, coat, (0.0, -0.16), (0.62, -0.18), 0.19)
    snout(h, (1.46, 0.34), 0.16)


def rabbit(h: HeadInk, coat: Coat) -> None:
    e = h.face.ear
    h.part(coat.main, taper([(0.3, -0.7), (0.5, -1.3 * e), (0.75, -1.95 * e)], [0.22, 0.27, 0.17]))
    h.fill(PINK, taper([(0.36, -0.9), (0.53, -1.35 * e), (0.73, -1.85 * e)], [0.1, 0.14, 0.08]))
    h.part(coat.main, taper([(-0.35, -0.65), (-0.5, -1.3 * e), (-0.62, -2.05 * e)], [0.24, 0.3, 0.19]))
    h.fill(PINK, taper([(-0.4, -0.9), (-0.51, -1.35 * e), (-0.61, -1.9 * e)], [0.12, 0.16, 0.09]))
    h.part(coat.main, ellipse(0, 0, 0.96, 0.9), ellipse(-0.1, 0.3, 0.94, 0.6))
    h.fill(coat.light, ellipse(0.34, 0.46, 0.3, 0.26), ellipse(0.68, 0.44, 0.26, 0.24))
    eyes(h, coat, (0.0, -0.12), (0.7, -0.14), 0.21)
    snout(h, (0.56, 0.26), 0.13, PINK)
    if not h.face.mouth:
        h.part(WHITE, ellipse(0.5, 0.72, 0.11, 0.14))


def cat(h: HeadInk, coat: Coat) -> None:
    far = upright(h, (0.55, -0.5), (0.82, -1.28), 0.36, coat.main)
    h.fill(PINK, far)
    near = upright(h, (-0.52, -0.46), (-0.84, -1.28), 0.4, coat.main)
    h.fill(PINK, near)
    h.part(coat.main, ellipse(0, 0.02, 1.06, 0.84))
    stripe = mix(coat.main, coat.dark, 0.75)
    h.fill(stripe, *(taper([(x, -0.76), (0.6 * x + 0.14, -0.42)], [0.09, 0.05]) for x in (0.0, 0.3, 0.6)))
    h.fill(coat.light, ellipse(0.26, 0.42, 0.34, 0.27), ellipse(0.66, 0.4, 0.3, 0.25))
    eyes(h, coat, (-0.08, -0.06), (0.72, -0.08), 0.22)
    for y, drop in ((0.3, -0.08), (0.5, 0.12)):
        h.fill(
            DARK,
            taper([(-0.2, y), (-1.32, y + drop)], [0.045, 0.03]),
            taper([(0.92, y), (1.55, y + drop)], [0.045, 0.03]),
        )
    snout(h, (0.5, 0.24), 0.13, PINK)


def bear(h: HeadInk, coat: Coat) -> None:
    for x, r in ((0.66, 0.32), (-0.68, 0.36)):
        h.part(coat.main, ellipse(x, -0.7, r * h.face.ear))
        h.fill(mix(coat.dark, PINK, 0.3), ellipse(x, -0.68, 0.55 * r))
    h.part(coat.main, ellipse(0, 0, 1.05, 0.92))
    h.part(coat.light, ellipse(0.5, 0.36, 0.52, 0.42))
    eyes(h, coat, (-0.08, -0.14), (0.66, -0.18), 0.16)
    snout(h, (0.62, 0.2), 0.24)


HEADS: dict[str, Callable[[HeadInk, Coat], None]] = {
    "beagle": beagle,
    "corgi": corgi,
    "golden retriever": golden,
    "fox": fox,
    "rabbit": rabbit,
    "cat": cat,
    "bear": bear,
}

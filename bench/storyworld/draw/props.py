"""Props next to the animal: bold, at least a seventh of the picture, in percent of the picture around (0, 0).

Things on the ground have it at y = 0; things in the air are drawn around their middle.
"""

from __future__ import annotations

from collections.abc import Callable

from .shapes import Ink, blob, ellipse, mix, polygon, rect, taper

WHITE = (255, 255, 255)
IN_THE_AIR = ("butterfly", "kite", "balloon")


def ball(ink: Ink) -> None:
    ink.part((232, 74, 82), ellipse(0, -9, 9))
    ink.fill((250, 214, 92), blob((-8.6, -11), (0, -13.5), (8.6, -11), (8.8, -7), (0, -9.5), (-8.8, -7)))
    ink.fill(WHITE, ellipse(-3.2, -14, 2.4, 1.5, -30))


def butterfly(ink: Ink) -> None:
    ink.part((190, 112, 222), ellipse(-6, -4, 6.4, 5.4, 35), ellipse(6, -4, 6.4, 5.4, -35))
    ink.part((246, 148, 190), ellipse(-4.6, 4.6, 4.6, 4.0, -30), ellipse(4.6, 4.6, 4.6, 4.0, 30))
    ink.fill((255, 226, 160), ellipse(-6.6, -4.6, 2.4), ellipse(6.6, -4.6, 2.4))
    ink.fill(ink.line_colour, taper([(0, -5.5), (0, 7)], [1.5, 1.0]), ellipse(0, -7, 1.7))
    ink.fill(
        ink.line_colour,
        taper([(0, -7), (-1.5, -10.5), (-4, -12)], [0.5] * 3),
        taper([(0, -7), (1.5, -10.5), (4, -12)], [0.5] * 3),
    )


def kite(ink: Ink) -> None:
    ink.fill(ink.line_colour, taper([(0, 10), (5, 15), (-5, 19), (1, 26)], [0.55] * 3))
    for x, y in ((1.4, 15.2), (-0.4, 20.2)):
        ink.part(
            (90, 176, 232),
            polygon((x - 3.4, y - 2), (x, y), (x - 3.4, y + 2)),
            polygon((x + 3.4, y - 2), (x, y), (x + 3.4, y + 2)),
        )
    ink.part((252, 200, 70), polygon((0, -13), (9, -2), (0, 11), (-9, -2)))
    ink.fill((238, 104, 84), polygon((0, -13), (9, -2), (0, -2)), polygon((0, 11), (-9, -2), (0, -2)))


def balloon(ink: Ink) -> None:
    ink.fill(ink.line_colour, taper([(0, 11), (4, 18), (-4, 23), (1, 32)], [0.55] * 3))
    ink.part((92, 142, 238), polygon((-2.2, 12.5), (2.2, 12.5), (0, 8.5)), ellipse(0, -1, 9, 10.6))
    ink.fill(mix((92, 142, 238), WHITE, 0.75), ellipse(-3.4, -5.4, 1.9, 3.2, 25))


def apple(ink: Ink) -> None:
    ink.part((118, 82, 62), taper([(0, -13), (1, -16), (3.4, -18.4)], [0.9, 0.9, 0.9]))
    ink.part((112, 186, 92), blob((1.5, -15.5), (5, -19), (9.5, -18), (6, -14.8)))
    ink.part((226, 66, 62), ellipse(-3.2, -8, 5.6, 7.6), ellipse(3.2, -8, 5.6, 7.6))
    ink.fill((250, 160, 146), ellipse(-4.8, -11, 1.5, 2.6, 20))


def basket(ink: Ink) -> None:
    handle = taper([(-8.5, -10), (-8, -25), (8, -25), (8.5, -10)], [1.1, 1.1, 1.1])
    ink.part((176, 122, 74), handle)
    ink.part((248, 216, 120), ellipse(-4, -11, 4.4), ellipse(4.4, -11, 4.4))
    ink.part((206, 150, 92), polygon((-11, -11), (11, -11), (8.5, 0), (-8.5, 0)))
    ink.part((226, 174, 112), taper([(-10.5, -11), (10.5, -11)], [1.7, 1.7]))
    ink.fill((166, 112, 68), rect(-9.4, -6.8, 9.4, -5.2), *(rect(x - 0.5, -9, x + 0.5, -0.4) for x in (-5, 0, 5)))


def flower(ink: Ink) -> None:
    ink.part(
        (96, 168, 88),
        taper([(0, 0), (0.8, -8), (0, -15)], [1.1, 1.1, 1.1]),
        blob((0, -2), (-7.5, -6.5), (-6.5, -2)),
        blob((0.5, -4), (7.5, -9), (7, -4)),
    )
    spots = [(0.0, -6.0), (5.7, -1.9), (3.5, 4.9), (-3.5, 4.9), (-5.7, -1.9)]
    ink.part((246, 126, 160), *(ellipse(x, -18 + y, 4.3) for x, y in spots))
    ink.part((255, 218, 98), ellipse(0, -18, 3.6))


def log(ink: Ink) -> None:
    ink.part((150, 106, 76), taper([(-9, -6), (8, -6)], [5.6, 5.6]))
    ink.fill((122, 84, 62), taper([(-5, -3.4), (4, -3.4)], [0.6, 0.6]), taper([(-10, -8), (-1, -8)], [0.6, 0.6]))
    ink.part((236, 202, 154), ellipse(9, -6, 4.0, 5.6))
    ink.fill((190, 142, 96), ellipse(9, -6, 2.5, 3.7))
    ink.fill((236, 202, 154), ellipse(9, -6, 1.5, 2.4))
    ink.part((132, 188, 104), blob((-6, -11), (-3, -15.5), (0.5, -15), (-1, -11)))


PROP_INKS: dict[str, Callable[[Ink], None]] = {
    "ball": ball,
    "butterfly": butterfly,
    "kite": kite,
    "balloon": balloon,
    "apple": apple,
    "basket": basket,
    "flower": flower,
    "log": log,
}

"""Marks that tell the action in grayscale: motion lines, Zzz, sound arcs, circular arrows, a look-up mark."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .shapes import Ink, Shape, ellipse, moved, polygon, taper

PAPER = (255, 252, 240)


def arc(x: float, y: float, r: float, start: float, end: float, width: float) -> list[Shape]:
    """A round stroke of a circle from `start` to `end` degrees (clockwise from the right), in short pieces."""
    count = max(2, int(abs(end - start) / 50) + 1)
    cuts = np.deg2rad(np.linspace(start, end, count + 1))
    shapes = []
    for a, b in pairwise(cuts.tolist()):
        points = [(x + r * math.cos(t), y + r * math.sin(t)) for t in (a, (a + b) / 2, b)]
        shapes.append(taper(points, [width] * 3))
    return shapes


def run_lines(ink: Ink, head: complex) -> None:
    for y, x, long in ((-31, -26, 13), (-22, -31, 13), (-12, -35, 9)):
        ink.part(PAPER, taper([(x, y), (x - long, y)], [1.4, 1.0]))
    ink.part(PAPER, ellipse(-27, -2, 3.6, 2.8), ellipse(-32, -2.6, 4.2, 3.4), ellipse(-37.5, -1.6, 2.8, 2.2))


def letters(ink: Ink, head: complex) -> None:
    spots = ((10.0, -17.5, 4.4), (19.0, -27.0, 5.6), (29.5, -38.0, 7.0))
    for dx, dy, k in spots:
        z = [
            taper([(-k, -k), (k, -k)], [0.26 * k] * 2),
            taper([(k, -k), (-k, k)], [0.26 * k] * 2),
            taper([(-k, k), (k, k)], [0.26 * k] * 2),
        ]
        if ink.flip < 0:  # letters stay readable when the animal is mirrored
            z = [_mirrored(s) for s in z]
        ink.part(PAPER, *(moved(s, head + complex(dx - 6, dy), 0, 0.62) for s in z))


def _mirrored(shape: Shape) -> Shape:
    return lambda grow: -shape(grow).conj()


def exclaim(ink: Ink, head: complex) -> None:
    x, y = head.real + 20, head.imag - 17.5
    ink.part((255, 214, 84), taper([(x + 3.2, y - 9), (x + 0.6, y)], [2.6, 1.3]), ellipse(x - 0.8, y + 5.2, 2.0))


def sound(ink: Ink, head: complex) -> None:
    x, y = head.real + 17, head.imag
    for r in (6.0, 11.2):
        ink.part(PAPER, *arc(x, y, r, -44, 34, 1.25))


def circle_arrows(ink: Ink, head: complex) -> None:
    cy, r = -28.5, 30.0
    for start in (-15.0, 165.0):
        end = start + 75
        a = np.deg2rad(end)
        tip = complex(r * np.cos(a), cy + r * np.sin(a))
        point = polygon((-3.0, -5.2), (7.0, 0), (-3.0, 5.2))
        ink.part(PAPER, *arc(0, cy, r, start, end, 1.5), moved(point, tip, end + 95))


def nothing(ink: Ink, head: complex) -> None:
    """Sitting and jumping need no mark."""


def sniff_marks(ink: Ink, head: complex) -> None:
    for dx, dy in ((17, -2), (21, 5)):
        x, y = head.real + dx, head.imag + dy
        ink.part(PAPER, taper([(x, y), (x + 2.4, y - 2.0), (x + 5.4, y)], [0.9] * 3))


EFFECTS: dict[str, Callable[[Ink, complex], None]] = {
    "sit": nothing,
    "run": run_lines,
    "jump": nothing,
    "sleep": letters,
    "sniff": sniff_marks,
    "look up": exclaim,
    "spin": circle_arrows,
    "bark": sound,
}

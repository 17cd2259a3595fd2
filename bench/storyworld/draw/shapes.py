"""Smooth shapes as points in the complex plane (x + iy, y down), and the ink that puts them on a picture.

A shape is a function from `grow` to a closed outline: growing it by the line width and filling it below the
real one draws an even contour at the price of one more polygon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

Shape = Callable[[float], np.ndarray]
Colour = tuple[int, int, int]

_CIRCLE = np.exp(2j * np.pi * np.arange(30) / 30)
_CAP = np.exp(1j * np.pi * (np.arange(7) / 6 - 0.5))
_STEPS = np.linspace(0, 1, 9)
_CATMULL = np.linspace(0, 1, 6, endpoint=False)


def turn(degrees: float) -> complex:
    """Unit complex number that rotates clockwise on the screen (y points down)."""
    return complex(np.exp(1j * np.pi * degrees / 180))


def ellipse(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0) -> Shape:
    """Ellipse around (x, y) with half axes rx, ry, rotated clockwise by `angle` degrees."""
    ry = rx if ry is None else ry
    centre, spin = complex(x, y), turn(angle)
    return lambda grow: centre + ((rx + grow) * _CIRCLE.real + 1j * (ry + grow) * _CIRCLE.imag) * spin


def polygon(*points: tuple[float, float]) -> Shape:
    """Straight-edged polygon; growing moves every point away from the centre."""
    z = np.array([complex(*p) for p in points])
    away = (z - z.mean()) / np.abs(z - z.mean())
    return lambda grow: z + 1.4 * grow * away


def rect(x0: float, y0: float, x1: float, y1: float) -> Shape:
    """Axis-parallel rectangle."""
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _path(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """A line through two points, an arc through three, a cubic Bezier curve with four control points."""
    p = [complex(*q) for q in points]
    t = _STEPS
    if len(p) == 2:
        return np.array(p)
    if len(p) == 3:
        middle = 2 * p[1] - (p[0] + p[2]) / 2
        return p[0] * (1 - t) ** 2 + 2 * middle * t * (1 - t) + p[2] * t**2
    return p[0] * (1 - t) ** 3 + 3 * p[1] * t * (1 - t) ** 2 + 3 * p[2] * t**2 * (1 - t) + p[3] * t**3


def taper(points: Sequence[tuple[float, float]], radii: Sequence[float]) -> Shape:
    """Rounded stroke along `points` (two to four) whose radius runs through `radii`."""
    z = _path(points)
    r = np.interp(np.linspace(0, 1, len(z)), np.linspace(0, 1, len(radii)), radii)
    along = np.gradient(z)
    along = along / np.abs(along)

    def outline(grow: float) -> np.ndarray:
        side = 1j * along * (r + grow)
        head = z[-1] + _CAP * along[-1] * (r[-1] + grow)
        tail = z[0] - _CAP * along[0] * (r[0] + grow)
        return np.concatenate([z - side, head, (z + side)[::-1], tail])

    return outline


def blob(*points: tuple[float, float]) -> Shape:
    """Closed Catmull-Rom curve through `points`."""
    p = np.array([complex(*q) for q in points])
    a, b, c, d = np.roll(p, 1), p, np.roll(p, -1), np.roll(p, -2)
    t = _CATMULL[:, None]
    z = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    z = z.T.ravel()
    along = np.roll(z, -1) - np.roll(z, 1)
    area = float(np.sum(z.real * np.roll(z, -1).imag - z.imag * np.roll(z, -1).real))
    away = -1j * np.sign(area) * along / np.maximum(np.abs(along), 1e-9)
    return lambda grow: z + grow * away


def moved(shape: Shape, to: complex, angle: float = 0.0, scale: float = 1.0) -> Shape:
    """`shape` scaled, rotated about its origin, then shifted by `to`."""
    factor = scale * turn(angle)
    return lambda grow: to + factor * shape(grow / scale)


class Ink:
    """Collects shapes in a local frame and paints them in order.

    Args:
        scale: pixels a local unit.
        origin: pixel position of the local (0, 0).
        flip: -1 mirrors left and right.
        line: contour width in local units; line_colour its colour.
    """

    def __init__(
        self,
        scale: float,
        origin: complex = 0j,
        flip: int = 1,
        line: float = 0.9,
        line_colour: Colour = (66, 46, 54),
    ) -> None:
        self.scale, self.origin, self.flip = scale, origin, flip
        self.line, self.line_colour = line, line_colour
        self._marks: list[tuple[Shape, Colour, float]] = []

    def fill(self, colour: Colour, *shapes: Shape) -> None:
        """Add shapes without a contour."""
        self._marks.extend((shape, colour, 0.0) for shape in shapes)

    def part(self, colour: Colour, *shapes: Shape) -> None:
        """Add shapes of one colour with a contour around their union."""
        self._marks.extend((shape, self.line_colour, self.line) for shape in shapes)
        self.fill(colour, *shapes)

    def paint(self, image: Image.Image, rim: float = 0.0, rim_colour: Colour = (255, 255, 255)) -> None:
        """Draw everything; `rim` > 0 first lays a pale border of that width around the contours."""
        draw = ImageDraw.Draw(image)
        if rim:
            for shape, _, grow in self._marks:
                if grow:
                    draw.polygon(self._pixels(shape(grow + rim)), fill=rim_colour)
        for shape, colour, grow in self._marks:
            draw.polygon(self._pixels(shape(grow)), fill=colour)

    def _pixels(self, z: np.ndarray) -> list[float]:
        z = self.origin + self.scale * (z if self.flip > 0 else -z.conj())
        return z.astype(np.complex128).view(np.float64).tolist()


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Colour `share` of the way from a to b."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]

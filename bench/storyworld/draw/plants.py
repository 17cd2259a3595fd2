"""Plants and hills that several places share, in percent of the picture."""

from __future__ import annotations

import numpy as np

from .shapes import Colour, Shape, blob, ellipse, mix, polygon, rect, taper
from .sky import Stage


def hill(s: Stage, top: float, swing: float, waves: float, floor: float = 100.0) -> Shape:
    """A wavy ridge filled down to `floor`."""
    shift = s.uniform(0, 6.3)
    xs = np.linspace(-2, 102, 28)
    ys = top + swing * np.sin(xs / 100 * waves * 2 * np.pi + shift)
    return polygon((-2, floor), *zip(xs.tolist(), ys.tolist(), strict=True), (102, floor))


def bloom(s: Stage, x: float, y: float, r: float, colour: Colour, stem: float = 0.0) -> None:
    """A flower of five petals."""
    if stem:
        s.fill((82, 150, 78), taper([(x, y), (x, y + stem)], [0.5, 0.5]))
    s.fill(
        colour,
        *(ellipse(x + 0.72 * r * np.cos(a), y + 0.72 * r * np.sin(a), 0.62 * r) for a in np.arange(5) * 1.2566),
    )
    s.fill((255, 226, 120), ellipse(x, y, 0.45 * r))


def round_tree(s: Stage, x: float, base: float, tall: float, leaf: Colour) -> None:
    """A trunk under a cloud of leaves."""
    s.fill((138, 100, 78), taper([(x, base), (x, base - 0.5 * tall)], [1.7, 1.3]))
    r, y = 0.3 * tall, base - 0.68 * tall
    s.fill(
        leaf,
        ellipse(x, y, 1.15 * r, r),
        ellipse(x - 0.7 * r, y + 0.35 * r, 0.7 * r),
        ellipse(x + 0.7 * r, y + 0.3 * r, 0.7 * r),
    )
    s.fill(mix(leaf, (255, 255, 220), 0.25), ellipse(x - 0.3 * r, y - 0.35 * r, 0.5 * r, 0.36 * r))


def fir(s: Stage, x: float, base: float, tall: float, snowy: bool) -> None:
    """Three tiers of a fir tree."""
    w = 0.3 * tall
    s.fill((118, 88, 76), rect(x - 1.2, base - 0.14 * tall, x + 1.2, base))
    for k, tier in enumerate((0.1, 0.36, 0.6)):
        y0, wide, high = base - tier * tall, w * (1 - 0.24 * k), 0.4 * tall
        s.fill((84, 138, 118), polygon((x - wide, y0), (x + wide, y0), (x, y0 - high)))
        if snowy:
            cap = 0.55
            s.fill(
                (246, 250, 255),
                polygon(
                    (x - cap * wide, y0 - (1 - cap) * high),
                    (x + cap * wide, y0 - (1 - cap) * high),
                    (x, y0 - high),
                ),
            )


def palm(s: Stage, x: float, lean: int) -> None:
    """A leaning palm tree with two coconuts."""
    tall = s.uniform(38, 46)
    top = (x + lean * 5, 74 - tall)
    s.fill((164, 118, 82), taper([(x, 75), (x + lean * 1, 74 - 0.5 * tall), top], [2.1, 1.7, 1.3]))
    for dx, dy in ((-15, 3), (15, 3), (-11, -6), (11, -6), (-10, 11), (10, 11)):
        tip = (top[0] + dx, top[1] + dy)
        s.fill((84, 160, 96), taper([top, (top[0] + 0.55 * dx, top[1] + 0.55 * dy - 3.5), tip], [1.2, 2.0, 0.3]))
    s.fill((128, 86, 62), ellipse(top[0] - 1.4, top[1] + 1.8, 1.7), ellipse(top[0] + 1.6, top[1] + 1.8, 1.7))


def cactus(s: Stage, x: float, base: float, tall: float) -> None:
    """A two-armed cactus in bloom."""
    green = (92, 150, 102)
    s.fill(green, taper([(x, base), (x, base - tall)], [3.0, 2.8]))
    for side, up in ((-1, 0.35), (1, 0.5)):
        y = base - up * tall
        s.fill(
            green,
            taper([(x, y), (x + side * 7, y)], [1.7, 1.7]),
            taper([(x + side * 7, y), (x + side * 7, y - 8)], [1.8, 1.6]),
        )
    s.fill((130, 184, 128), taper([(x - 1, base - 2), (x - 1, base - tall)], [0.5, 0.5]))
    s.fill(
        (246, 130, 150),
        blob(
            (x - 1.6, base - tall - 3),
            (x + 1.6, base - tall - 3),
            (x + 1, base - tall - 6),
            (x - 1, base - tall - 6),
        ),
    )

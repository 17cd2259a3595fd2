"""The eight places. Each reads by its structure alone: fence, hills, trunks, water, firs, lamp, palm, dunes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .plants import bloom, cactus, fir, hill, palm, round_tree
from .shapes import Colour, ellipse, polygon, rect, taper
from .sky import Stage, clouds, sun_or_moon

PETALS: tuple[Colour, ...] = (
    (238, 96, 112),
    (250, 196, 72),
    (214, 122, 210),
    (250, 246, 240),
    (255, 148, 92),
)


def garden(s: Stage) -> None:
    sun_or_moon(s)
    clouds(s, 2)
    s.fill((128, 192, 116), *(ellipse(x, 55, s.uniform(9, 14), s.uniform(8, 15)) for x in s.spread(6)))
    top = s.uniform(41, 45)
    s.fill((232, 226, 222), rect(-1, top + 6, 101, top + 9), rect(-1, top + 16, 101, top + 19))
    step = 100 / int(s.rng.integers(8, 11))
    for i in range(-1, 12):
        x = (i + 0.5) * step
        s.fill(
            (255, 252, 246),
            polygon((x - 3.2, 66), (x - 3.2, top), (x, top - 4.5), (x + 3.2, top), (x + 3.2, 66)),
        )
    s.fill((150, 106, 82), hill(s, 66.5, 0.8, 2, 74))
    s.fill((126, 190, 100), hill(s, 71.5, 0.8, 1))
    for x in s.spread(9):
        bloom(s, x, s.uniform(62, 66), s.uniform(2.6, 3.4), PETALS[int(s.rng.integers(5))], 6)


def meadow(s: Stage) -> None:
    sun_or_moon(s)
    clouds(s, 3, 10, 26)
    s.fill((162, 212, 150), hill(s, s.uniform(44, 48), 5, s.uniform(0.9, 1.3)))
    s.fill((146, 206, 116), hill(s, s.uniform(52, 56), 5, s.uniform(0.7, 1.1)))
    s.fill((170, 218, 106), hill(s, s.uniform(63, 67), 3, s.uniform(0.5, 0.9)))
    for _ in range(16):
        y = s.uniform(66, 97)
        bloom(s, s.uniform(2, 98), y, 1.3 + (y - 60) * 0.03, PETALS[int(s.rng.integers(5))])


def forest(s: Stage) -> None:
    sun_or_moon(s, (255, 240, 170))
    s.fill((150, 186, 148), *(ellipse(x, 22, 15, s.uniform(16, 24)) for x in s.spread(5)))
    s.fill((150, 132, 110), *(rect(x - 1.6, 20, x + 1.6, 62) for x in s.spread(7)))
    s.fill((116, 160, 98), hill(s, 60, 1.2, 2))
    for x in s.spread(int(s.rng.integers(4, 6)), -4, 104):
        w = s.uniform(3.2, 4.6)
        base = s.uniform(65, 70)
        s.fill(
            (124, 92, 74),
            polygon(
                (x - w - 2, base),
                (x - w, base - 8),
                (x - w, 0),
                (x + w, 0),
                (x + w, base - 8),
                (x + w + 2, base),
            ),
        )
        s.fill((150, 114, 90), rect(x - w, 0, x - 0.35 * w, base - 8))
    canopy = [ellipse(x, s.uniform(-2, 4), 14, s.uniform(14, 20)) for x in s.spread(7, -6, 106)]
    s.fill((86, 142, 88), *canopy)
    s.fill((108, 164, 100), *(ellipse(x, s.uniform(-4, 0), 10, 12) for x in s.spread(6)))
    for x in s.spread(7):
        y = s.uniform(66, 71)
        s.fill((92, 150, 86), *(taper([(x, y), (x + d, y - 6)], [1.2, 0.4]) for d in (-4, 0, 4)))


def lake(s: Stage) -> None:
    sun_or_moon(s)
    clouds(s, 2, 8, 18)
    for x in s.spread(3, -5, 105):
        tall, w = s.uniform(22, 34), s.uniform(20, 28)
        s.fill((150, 164, 196), polygon((x - w, 52), (x, 52 - tall), (x + w, 52)))
        c = 0.3
        peak = 52 - tall
        s.fill(
            (246, 248, 252),
            polygon(
                (x - c * w, peak + c * tall),
                (x - 0.1 * w, peak + 0.22 * tall),
                (x, peak + 0.36 * tall),
                (x + 0.12 * w, peak + 0.22 * tall),
                (x + c * w, peak + c * tall),
                (x, peak),
            ),
        )
    s.fill((98, 172, 214), rect(-1, 50, 101, 72))
    s.fill((128, 196, 228), rect(-1, 50, 101, 55))
    for _ in range(8):
        x, y = s.uniform(5, 95), s.uniform(55, 68)
        s.fill((206, 234, 246), taper([(x - 4, y), (x + 4, y)], [0.5, 0.5]))
    s.fill((150, 194, 112), hill(s, 71.5, 1.0, 1.3))
    for x in (*s.spread(3, 0, 22), *s.spread(3, 78, 100)):
        y = s.uniform(50, 57)
        s.fill(
            (96, 146, 88),
            taper([(x, 75), (x + 0.6, y)], [0.7, 0.5]),
            taper([(x, 75), (x + 3, y + 8)], [0.8, 0.3]),
        )
        s.fill((136, 92, 66), taper([(x + 0.6, y - 2), (x + 0.6, y + 3)], [1.3, 1.3]))


def snow(s: Stage) -> None:
    sun_or_moon(s, (255, 240, 190))
    s.fill((206, 220, 240), hill(s, s.uniform(47, 50), 4, 1.1))
    for x in s.spread(6, -4, 104):
        fir(s, x, s.uniform(58, 62), s.uniform(20, 27), True)
    s.fill((238, 244, 252), hill(s, 61, 2, 0.9))
    for x in (s.uniform(4, 18), s.uniform(82, 96)):
        fir(s, x, s.uniform(70, 73), s.uniform(36, 44), True)
    s.fill((248, 251, 255), hill(s, 71, 1.6, 0.7))
    flakes = [ellipse(s.uniform(0, 100), s.uniform(0, 68), s.uniform(0.8, 1.5)) for _ in range(34)]
    s.glow((255, 255, 255) if not s.night else (206, 214, 240), *flakes)


def park(s: Stage) -> None:
    sun_or_moon(s)
    for x in s.spread(8, -3, 103):
        w, top = s.uniform(5, 7.5), s.uniform(28, 44)
        s.fill((186, 192, 214), rect(x - w, top, x + w, 62))
        windows = [
            rect(x + dx - 0.9, y, x + dx + 0.9, y + 2.4) for dx in (-2.8, 2.2) for y in np.arange(top + 3, 52, 5.5)
        ]
        s.glow((255, 222, 140) if s.night else (216, 222, 236), *windows)
    for x in s.spread(4, -4, 104):
        round_tree(s, x, 63, s.uniform(20, 26), (122, 180, 112))
    s.fill((160, 206, 118), hill(s, 61, 0.8, 1.1))
    s.fill((232, 214, 184), hill(s, 73, 0.9, 0.8, 84))
    s.fill((150, 198, 110), hill(s, 83.5, 0.8, 0.9))
    left = bool(s.rng.integers(2))
    _lamp(s, s.uniform(6, 14) if left else s.uniform(86, 94))
    _bench(s, s.uniform(72, 82) if left else s.uniform(18, 28))


def _lamp(s: Stage, x: float) -> None:
    s.fill(
        (76, 82, 100),
        rect(x - 0.9, 32, x + 0.9, 74),
        rect(x - 2.4, 72, x + 2.4, 75),
        polygon((x - 4, 30), (x, 24.5), (x + 4, 30)),
    )
    if s.night:
        s.glow((128, 124, 140), ellipse(x, 33, 8.5))
    s.glow((255, 240, 170), polygon((x - 3.2, 30), (x + 3.2, 30), (x + 2.2, 37), (x - 2.2, 37)))


def _bench(s: Stage, x: float) -> None:
    s.fill((88, 80, 92), *(rect(x + d - 0.8, 62, x + d + 0.8, 74) for d in (-9, 9)))
    s.fill((186, 124, 84), *(rect(x - 12, y, x + 12, y + 2.6) for y in (56, 60, 66)))


def beach(s: Stage) -> None:
    sun_or_moon(s)
    clouds(s, 2, 12, 26)
    s.fill((58, 158, 206), rect(-1, 46, 101, 66))
    s.fill((96, 190, 218), rect(-1, 53, 101, 66))
    for _ in range(6):
        x, y = s.uniform(5, 95), s.uniform(49, 59)
        s.fill((214, 240, 248), taper([(x - 3.5, y), (x, y - 0.9), (x + 3.5, y)], [0.5, 0.6, 0.5]))
    s.fill((240, 250, 252), hill(s, 63.5, 1.1, 1.4))
    s.fill((250, 226, 170), hill(s, 66, 1.1, 1.2))
    left = bool(s.rng.integers(2))
    palm(s, s.uniform(5, 15) if left else s.uniform(85, 95), 1 if left else -1)
    _parasol(s, s.uniform(74, 86) if left else s.uniform(14, 26))


def _parasol(s: Stage, x: float) -> None:
    s.fill((250, 246, 240), rect(x - 0.7, 48, x + 0.7, 76))
    arc = np.pi * (1 + np.arange(13) / 12)
    dome = [(x + 14 * float(np.cos(a)), 51 + 11 * float(np.sin(a))) for a in arc]
    s.fill((238, 104, 96), polygon(*dome))
    for k in (2, 6, 10):
        s.fill((255, 244, 230), polygon((x, 40), *dome[k - 0 : k + 3]))


def desert(s: Stage) -> None:
    sun_or_moon(s, (255, 170, 92))
    for x in (s.uniform(8, 30), s.uniform(60, 92)):
        w, top = s.uniform(11, 17), s.uniform(31, 39)
        s.fill((214, 132, 96), polygon((x - w - 4, 64), (x - w, top), (x + w, top), (x + w + 4, 64)))
        s.fill(
            (230, 156, 114),
            polygon((x - w, top), (x + w, top), (x + w + 0.8, top + 5), (x - w - 0.8, top + 5)),
        )
        s.fill((196, 114, 84), rect(x - w - 1.8, top + 12, x + w + 1.8, top + 14.5))
    s.fill((244, 200, 132), hill(s, s.uniform(55, 58), 3.5, s.uniform(0.8, 1.2)))
    s.fill((236, 184, 114), hill(s, s.uniform(63, 66), 3, s.uniform(0.7, 1.0)))
    for x in (s.uniform(5, 16), s.uniform(84, 95)):
        cactus(s, x, s.uniform(70, 74), s.uniform(22, 32))
    s.fill((226, 168, 98), hill(s, 84, 1.5, 0.8))


PLACES: dict[str, Callable[[Stage], None]] = {
    "garden": garden,
    "meadow": meadow,
    "forest": forest,
    "lake": lake,
    "snow": snow,
    "park": park,
    "beach": beach,
    "desert": desert,
}

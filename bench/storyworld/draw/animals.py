"""Puts an animal together: trunk, legs, tail and head from its species' figure and its pose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..world.kinds import Individual
from ..world.motion import STILL, Motion
from .coats import Coat, coat_of
from .heads import HEADS, Face, HeadInk
from .moving import move_pose
from .owl import draw_owl
from .poses import POSES, Figure, Leg, Pose
from .shapes import Colour, Ink, Shape, ellipse, mix, moved, taper, turn

FIGURES = {
    "beagle": Figure(14.5, 27, 9.0, 12.0, 3.3),
    "corgi": Figure(14.5, 31, 9.8, 4.5, 3.7),
    "golden retriever": Figure(15.0, 30, 10.8, 14.0, 3.9),
    "fox": Figure(13.5, 26, 8.4, 12.0, 2.9),
    "rabbit": Figure(13.5, 19, 10.0, 6.0, 3.6),
    "cat": Figure(14.0, 25, 7.8, 11.0, 2.8),
    "bear": Figure(15.5, 28, 13.5, 7.0, 5.2),
}


class BodyInk:
    """Ink that turns the body about its middle (jump, spin) and lifts it off the ground."""

    def __init__(self, ink: Ink, pose: Pose, pivot: complex) -> None:
        self.ink, self.pose, self.pivot = ink, pose, pivot

    def _at(self, shapes: tuple[Shape, ...]) -> list[Shape]:
        if not (self.pose.turned or self.pose.lift):
            return list(shapes)
        shift = self.pivot - turn(self.pose.turned) * self.pivot - 1j * self.pose.lift
        return [moved(s, shift, self.pose.turned) for s in shapes]

    def fill(self, colour: Colour, *shapes: Shape) -> None:
        self.ink.fill(colour, *self._at(shapes))

    def part(self, colour: Colour, *shapes: Shape) -> None:
        self.ink.part(colour, *self._at(shapes))

    def place(self, x: float, y: float) -> complex:
        """Position in the picture of a point of the pose."""
        spin = turn(self.pose.turned)
        return self.pivot + spin * (complex(x, y) - self.pivot) - 1j * self.pose.lift


def draw_animal(
    ink: Ink, who: Individual, action: str, night: bool, motion: Motion = STILL, eye: float = 1.0
) -> complex:
    """Add the animal to `ink` at a moment of its motion; returns the centre of its head in the ink's units.

    `eye` scales the eyes.
    """
    coat = coat_of(who, night)
    size, leg, ear, body = who.build
    if who.animal == "owl":
        return draw_owl(ink, who.build, coat, action, motion)
    f = FIGURES[who.animal]
    f = Figure(f.head * size, f.length * size, f.body * size * body, f.leg * size * leg, f.thick * size)
    pose = move_pose(POSES[action](f), motion)
    b = BodyInk(ink, pose, complex(0, -(f.leg + f.body)) if action != "spin" else complex(0, -(0.95 * f.body + 16.5)))
    tail = Tail(b, pose, f, coat)
    TAILS[who.animal](tail)
    if pose.far:
        b.part(mix(coat.main, coat.dark, 0.45), *_limbs(pose.far, f.thick))
    b.part(coat.main, *pose.trunk, *_limbs(pose.near, f.thick))
    _markings(b, who.animal, coat, pose)
    _socks(b, who.animal, coat, pose.near, f.thick)
    head = b.place(*pose.head)
    face = Face(head, f.head, pose.tilt + pose.turned, ear, pose.asleep, pose.mouth, eye)
    HEADS[who.animal](HeadInk(ink, face), coat)
    return head


def _limbs(legs: list[Leg], thick: float) -> list[Shape]:
    limbs = [taper([hip, (x, y - 0.8 * thick)], [1.25 * thick, 0.95 * thick]) for hip, (x, y) in legs]
    return limbs + [_paw(leg, thick) for leg in legs]


def _paw(leg: Leg, thick: float) -> Shape:
    x, y = leg[1]
    return ellipse(x + 0.35 * thick, y - 0.75 * thick, 1.35 * thick, 0.85 * thick)


def _socks(b: BodyInk, animal: str, coat: Coat, legs: list[Leg], thick: float) -> None:
    if animal == "bear" or not legs:
        return
    colour = coat.dark if animal == "fox" else coat.light
    if animal in ("golden retriever", "rabbit", "cat"):
        colour = mix(coat.main, coat.light, 0.7)
    b.fill(colour, *(_paw(leg, thick) for leg in legs))


def _markings(b: BodyInk, animal: str, coat: Coat, pose: Pose) -> None:
    if animal == "beagle":
        b.fill(coat.dark, pose.patch)
    if animal == "cat":
        _stripes(b, coat, pose)
    if coat.trunk == "saddle":
        b.fill(coat.mark, lambda grow: pose.patch(grow + 0.6))
    if coat.trunk == "spots":
        _spots(b, coat, pose)
    if animal != "bear":
        b.fill(coat.light if animal != "golden retriever" else mix(coat.main, coat.light, 0.6), pose.belly)


def _spots(b: BodyInk, coat: Coat, pose: Pose) -> None:
    box = pose.patch(0.0)
    x, y = float(box.real.mean()), float(box.imag.mean())
    wide, tall = float(np.ptp(box.real)), float(np.ptp(box.imag))
    spots = ((-0.36, 0.1, 2.3), (0.06, -0.22, 2.6), (0.42, 0.24, 2.0), (0.0, 0.62, 1.9))
    b.fill(coat.mark, *(ellipse(x + dx * wide, y + dy * tall, size, 0.9 * size) for dx, dy, size in spots))


def _stripes(b: BodyInk, coat: Coat, pose: Pose) -> None:
    box = pose.patch(0.0)
    x, y = float(box.real.mean()), float(box.imag.mean())
    wide = float(box.real.max() - box.real.min())
    colour = mix(coat.main, coat.dark, 0.75)
    b.fill(
        colour,
        *(taper([(x + s * wide, y - 2.5), (x + s * wide - 0.6, y + 3)], [1.3, 0.6]) for s in (-0.3, 0.05, 0.4)),
    )


class Tail:
    """A tail's root and direction; `at` maps (along, across) to the body's frame."""

    def __init__(self, b: BodyInk, pose: Pose, figure: Figure, coat: Coat) -> None:
        self.b, self.pose, self.f, self.coat = b, pose, figure, coat
        self.along = -turn(pose.tail_angle)

    def at(self, along: float, across: float) -> tuple[float, float]:
        """`along` away from the body, `across` upwards."""
        z = complex(*self.pose.tail) + self.along * complex(along, across)
        return z.real, z.imag


def _beagle_tail(t: Tail) -> None:
    path = [t.at(-3, 0), t.at(6, 1), t.at(11, 8)]
    t.b.part(t.coat.main, taper(path, [2.4, 2.2, 1.6]))
    t.b.fill(t.coat.light, taper([t.at(9.6, 5.2), t.at(11, 8)], [1.9, 1.6]))


def _corgi_tail(t: Tail) -> None:
    t.b.part(t.coat.light, ellipse(*t.at(0.5, 0), 3.4, 2.8))


def _golden_tail(t: Tail) -> None:
    plume = [taper([t.at(-2, 0), t.at(9, -2), t.at(18, 5)], [3.0, 4.6, 1.6])]
    plume += [taper([t.at(a, -2), t.at(a + 3.5, -7.5 + 0.3 * a)], [3.2, 1.0]) for a in (5.0, 9.0, 13.0)]
    t.b.part(mix(t.coat.main, t.coat.dark, 0.25), *plume)


def _fox_tail(t: Tail) -> None:
    t.b.part(t.coat.main, taper([t.at(-3, 0), t.at(9, -2), t.at(21, 4)], [3.0, 8.5, 2.2]))
    t.b.fill(t.coat.light, taper([t.at(16.2, 1.0), t.at(21, 4)], [4.9, 2.2]))


def _rabbit_tail(t: Tail) -> None:
    t.b.part(t.coat.light, ellipse(*t.at(0, 0), 4.6), ellipse(*t.at(1.5, 2), 3.2))


def _cat_tail(t: Tail) -> None:
    path = [t.at(-3, 0), t.at(14, -6), t.at(10, 14), t.at(19, 17)]
    t.b.part(t.coat.main, taper(path, [1.9, 1.7, 1.6]))
    t.b.fill(mix(t.coat.main, t.coat.dark, 0.75), taper([t.at(16, 16.0), t.at(19, 17)], [1.6, 1.6]))


def _bear_tail(t: Tail) -> None:
    """A bear shows none."""


TAILS: dict[str, Callable[[Tail], None]] = {
    "beagle": _beagle_tail,
    "corgi": _corgi_tail,
    "golden retriever": _golden_tail,
    "fox": _fox_tail,
    "rabbit": _rabbit_tail,
    "cat": _cat_tail,
    "bear": _bear_tail,
}

"""The owl: an upright bird with round eyes, ear tufts, wings and a beak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..world.motion import STILL, Motion
from .coats import DARK_MARK, Coat
from .moving import SWING
from .shapes import Ink, Shape, blob, ellipse, mix, moved, polygon, taper, turn

BEAK = (246, 174, 62)
DARK = (48, 36, 46)
WHITE = (255, 255, 255)
MOUTH = (196, 72, 84)
IN_THE_AIR = 8.5  # above this lift the feet hang under the body; a leap stays there


@dataclass(frozen=True)
class OwlPose:
    """Lean of the body (degrees clockwise), wing angle (0 folded, 100 raised), head shift and tilt."""

    lean: float = 0.0
    wing: float = 0.0
    lift: float = 0.0
    head: tuple[float, float] = (1.5, -35.0)
    tilt: float = 0.0
    squash: float = 1.0
    asleep: bool = False
    beak: bool = False
    step: float = 0.0

    def at(self, motion: Motion) -> OwlPose:
        """The pose at a moment of its motion; what is a tail's wag beats open wings."""
        airborne = self.lift > IN_THE_AIR
        lift = max(IN_THE_AIR, self.lift + 0.35 * motion.rise) if airborne else self.lift + 0.6 * motion.rise
        return replace(
            self,
            lean=self.lean + motion.turn * (0.3 if airborne else 1.0),
            wing=self.wing + (2.0 * motion.wag if self.wing else 0.0),
            lift=lift,
            tilt=self.tilt + 1.2 * motion.nod,
            asleep=self.asleep or motion.blink,
            beak=self.beak and not motion.hush,
            step=self.step * (1 - SWING * motion.stride),
        )


OWL_POSES = {
    "sit": OwlPose(),
    "run": OwlPose(lean=24, wing=62, head=(4, -34), tilt=-8, step=9, lift=1.0),
    "jump": OwlPose(lean=-6, wing=128, lift=13, step=3),
    "sleep": OwlPose(head=(3.5, -21), squash=0.68, tilt=10, asleep=True),
    "sniff": OwlPose(lean=42, wing=66, head=(8, -35), tilt=14, step=2),
    "look up": OwlPose(head=(0, -36), tilt=-32, lean=-6),
    "spin": OwlPose(lean=145, lift=7, wing=30, squash=0.85, head=(1, -29)),
    "bark": OwlPose(wing=72, head=(2, -36), tilt=-12, beak=True),
}


def draw_owl(
    ink: Ink, build: tuple[float, float, float, float], coat: Coat, action: str, motion: Motion = STILL
) -> complex:
    """Add the owl to `ink` at a moment of its motion; returns the centre of its head."""
    size, leg, ear, body = build
    pose = OWL_POSES[action].at(motion)
    pivot = -18j if action == "spin" else -3j
    spin = turn(pose.lean)

    def place(z: complex) -> complex:
        return pivot + spin * (size * z - pivot) - 1j * pose.lift

    def at(*shapes: Shape) -> list[Shape]:
        return [moved(s, place(0j), pose.lean, size) for s in shapes]

    tall = 17.5 * pose.squash
    wide = 13.5 * body / pose.squash**0.4
    if action != "sleep":
        _feet(ink, pose, size, leg, place)
    ink.part(coat.dark, *at(polygon((-wide * 0.7, -9), (-wide * 0.95, 3.5), (-wide * 0.25, -2.5))))
    if pose.wing:
        ink.part(mix(coat.main, coat.dark, 0.5), *at(_wing(wide * 0.7, -tall - 5, -pose.wing, 1)))
    ink.part(coat.main, *at(ellipse(0, -tall - 1.5, wide, tall)))
    ink.fill(coat.light, *at(ellipse(2.5, -tall + 0.5, 0.7 * wide, 0.76 * tall)))
    marks = [(-2.0, -4), (4.5, -4), (1.2, 1), (7.5, 1), (-4.5, 1)]
    chest = [blob((x - 1.8, y), (x, y + 1.8), (x + 1.8, y), (x, y + 0.7)) for x, y in marks]
    ink.fill(mix(coat.main, coat.light, 0.25), *at(*(moved(c, complex(1, -tall + 2)) for c in chest)))
    if coat.trunk == "spots":
        spots = ((0.5, -6.5), (5.6, -2.0), (1.0, 3.5), (7.0, 5.0))
        ink.fill(DARK_MARK, *at(*(ellipse(x, y - tall + 2, 2.1) for x, y in spots)))
    wing = coat.mark if coat.trunk == "saddle" else mix(coat.main, coat.dark, 0.6)
    ink.part(wing, *at(_wing(-wide * 0.72, -tall - 6, pose.wing, -1)))
    head = place(complex(*pose.head))
    _head(ink, coat, pose, head, 13.5 * size, ear)
    return head


def _wing(x: float, y: float, angle: float, side: int) -> Shape:
    """A drop of feathers hanging from the shoulder, swung outwards by `angle`."""
    drop = blob((0, -4.5), (side * -3.6, 4), (side * -1, 15), (side * 2.5, 21), (side * 4.6, 12), (side * 4, 1))
    return moved(drop, complex(x, y), angle)


def _feet(ink: Ink, pose: OwlPose, size: float, leg: float, place: Callable[[complex], complex]) -> None:
    flying = pose.lift >= IN_THE_AIR
    for x, step in ((-5.0, -pose.step), (6.0, pose.step)):
        foot = complex(x + step, -3.2 - (2.0 if step < 0 else 0.0)) if not pose.lean else complex(x + step, -1.5)
        tip = place(foot) if flying or abs(pose.lean) > 90 else complex(size * foot.real, -1.4 + (foot.imag + 3.2))
        hip = place(complex(x, -7.0 * leg))
        ink.part(
            BEAK,
            taper([(hip.real, hip.imag), (tip.real, tip.imag)], [1.3, 1.3]),
            ellipse(tip.real + 0.8, tip.imag, 4.0 * size, 1.7 * size),
        )


def _head(ink: Ink, coat: Coat, pose: OwlPose, at: complex, radius: float, ear: float) -> None:
    angle = pose.tilt + (pose.lean if abs(pose.lean) > 90 else 0.3 * pose.lean)

    def on(*shapes: Shape) -> list[Shape]:
        return [moved(s, at, angle, radius) for s in shapes]

    tip = -1.22 * ear
    ink.part(
        coat.dark,
        *on(taper([(-0.6, -0.5), (-0.98, tip)], [0.3, 0.06]), taper([(0.72, -0.5), (1.04, tip)], [0.28, 0.06])),
    )
    ink.part(coat.main, *on(ellipse(0, 0, 1.1, 0.88)))
    near, far = (-0.3, 0.02, 0.52), (0.56, 0.02, 0.46)
    ink.fill(
        coat.dark,
        *on(
            taper([(-0.85, -0.62), (0.14, -0.2)], [0.08, 0.2]),
            taper([(1.0, -0.62), (0.14, -0.2)], [0.08, 0.2]),
        ),
    )
    for x, y, r in (near, far):
        disk = DARK_MARK if coat.face == "patch" and x < 0 else coat.light
        ink.fill(disk, *on(ellipse(x, y, r)))
        if pose.asleep:
            ink.fill(DARK, *on(taper([(x - 0.28, y), (x, y + 0.18), (x + 0.28, y)], [0.07, 0.08, 0.07])))
            continue
        ink.part((255, 214, 96), *on(ellipse(x, y, 0.7 * r)))
        ink.fill(DARK, *on(ellipse(x + 0.06, y, 0.47 * r)))
        ink.fill(WHITE, *on(ellipse(x + 0.15 * r + 0.05, y - 0.24 * r, 0.19 * r)))
    if pose.beak:
        ink.part(MOUTH, *on(ellipse(0.2, 0.56, 0.17, 0.24)))
    ink.part(BEAK, *on(blob((0.0, 0.2), (0.17, 0.12), (0.34, 0.2), (0.24, 0.56))))

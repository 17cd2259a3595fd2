"""Poses of the four-legged animals: where body, legs, head and tail go for every action.

Units are percent of the picture's height, the ground is y = 0, up is negative, the animal looks to the right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .shapes import Shape, ellipse, taper

Leg = tuple[tuple[float, float], tuple[float, float]]  # hip, foot


@dataclass(frozen=True)
class Figure:
    """Proportions of a species: head radius, body length and radius, leg length and thickness."""

    head: float
    length: float
    body: float
    leg: float
    thick: float


@dataclass
class Pose:
    """Everything the painter needs: shapes of the trunk, hip-to-foot pairs, the head's place and tilt (+ is down)."""

    trunk: list[Shape]
    patch: Shape
    belly: Shape
    head: tuple[float, float]
    tail: tuple[float, float]
    tail_angle: float = 0.0
    tilt: float = 0.0
    near: list[Leg] = field(default_factory=list)
    far: list[Leg] = field(default_factory=list)
    asleep: bool = False
    mouth: bool = False
    lift: float = 0.0
    turned: float = 0.0


def sit(f: Figure) -> Pose:
    """Upright on the haunches."""
    r, g = f.body, 0.5 * f.leg
    top = -(1.75 * r + g + 7)
    chest = (4.5, top + 0.35 * r)
    return Pose(
        trunk=[
            ellipse(-0.45 * r, -0.95 * r, 1.15 * r, 0.98 * r),
            taper([(-0.3 * r, -r), (2.5, top / 2 - 4), chest], [r, 0.92 * r, 0.72 * r]),
            taper([(0.1 * r, -0.2 * r), (0.75 * r + 2, -0.18 * r)], [0.22 * r, 0.22 * r]),
        ],
        patch=ellipse(-0.75 * r, -1.6 * r, 0.62 * r, 0.95 * r, 25),
        belly=taper([(0.4 * r + 4, top + 0.6 * r), (0.4 * r + 4, -0.9 * r)], [0.42 * r, 0.3 * r]),
        head=(6.0, top - 0.55 * f.head),
        tail=(-1.4 * r, -0.55 * r),
        tail_angle=8,
        near=[((5.5, top / 2), (7.0, 0.0))],
        far=[((9.0, top / 2), (11.5, -0.6))],
    )


def look_up(f: Figure) -> Pose:
    """Sitting with the nose in the air."""
    pose = sit(f)
    pose.tilt = -38.0
    pose.head = (pose.head[0] - 2.5, pose.head[1] - 0.5)
    return pose


def stand(f: Figure, rear: float = 0.0, front: float = 0.0, spread: float = 0.0) -> Pose:
    """On four legs; `rear` and `front` raise the ends of the trunk, `spread` sets the feet apart."""
    r, half = f.body, f.length / 2
    y0, y1 = -(f.leg + 0.95 * r + rear), -(f.leg + 1.05 * r + front)
    a, b = (-half + 0.4 * r, y0), (half - 0.4 * r, y1)
    back, fore = -half + 1.0, half - 2.0
    return Pose(
        trunk=[taper([a, b], [r, 0.96 * r]), taper([b, (half + 1, y1 - 0.6 * r)], [0.9 * r, 0.7 * r])],
        patch=ellipse(-0.12 * f.length, (y0 + y1) / 2 - 0.42 * r, 0.36 * f.length, 0.5 * r),
        belly=ellipse(half - 0.15 * r, y1 + 0.05 * r, 0.5 * r, 0.75 * r, 15),
        head=(half + 3.5, y1 - 0.75 * r - 0.5 * f.head),
        tail=(-half - 0.3 * r, y0 - 0.45 * r),
        tail_angle=35,
        near=[((back, y0 + 0.4 * r), (back - spread, 0.0)), ((fore, y1 + 0.4 * r), (fore + spread, 0.0))],
        far=[
            ((back + 5, y0 + 0.4 * r), (back + 6.5 - spread / 2, -0.8)),
            ((fore + 3, y1 + 0.4 * r), (fore + 6 + spread / 2, -0.8)),
        ],
    )


def bark(f: Figure) -> Pose:
    """Standing square, head high, mouth open."""
    pose = stand(f, front=2.5, spread=2.0)
    pose.tilt, pose.mouth, pose.tail_angle = -14.0, True, 50.0
    return pose


def sniff(f: Figure) -> Pose:
    """Nose to the ground, rear up."""
    pose = stand(f, rear=4.0, front=-0.35 * f.leg)
    half = f.length / 2
    pose.head = (half + 0.62 * f.head, -1.02 * f.head)
    pose.tilt, pose.tail_angle = 38.0, 60.0
    return pose


def run(f: Figure) -> Pose:
    """Full stretch, all feet thrown out."""
    pose = stand(f, rear=2.0, front=4.0)
    half, r = f.length / 2, f.body
    reach = f.leg + 4.0
    y = -(f.leg + 0.7 * r + 3)
    pose.near = [((-half + 3, y), (-half - reach, -2.0)), ((half - 4, y), (half + reach - 2, -4.0))]
    pose.far = [((-half + 6, y), (-half - reach + 7, -0.5)), ((half - 6, y), (half + reach - 10, -0.5))]
    pose.head = (pose.head[0] + 2.5, pose.head[1] + 2.5)
    pose.tail_angle = 12.0
    pose.lift = 1.5
    return pose


def jump(f: Figure) -> Pose:
    """In the air, nose up, feet tucked."""
    pose = stand(f)
    half, y = f.length / 2, -(f.leg + 0.6 * f.body)
    tuck = 0.45 * f.leg + 0.35 * f.body + 3.5
    pose.near = [
        ((-half + 3, y), (-half - 0.5 * tuck, y + tuck)),
        ((half - 3, y), (half + 0.9 * tuck, y + 0.45 * tuck)),
    ]
    pose.far = [
        ((-half + 7, y), (-half + 5, y + 1.1 * tuck)),
        ((half - 5, y), (half + 0.45 * tuck, y + 0.9 * tuck)),
    ]
    pose.head = (pose.head[0] + 0.5, pose.head[1] + 2.0)
    pose.lift, pose.turned, pose.tail_angle = 15.0, -16.0, 25.0
    return pose


def sleep(f: Figure) -> Pose:
    """Lying flat, head on the ground, eyes shut."""
    r, half = f.body, f.length / 2
    return Pose(
        trunk=[
            ellipse(-0.25 * half, -0.92 * r, half + 0.42 * r, 0.95 * r),
            taper([(0.2 * half, -0.25 * r), (half + 4, -0.22 * r)], [0.26 * r, 0.24 * r]),
        ],
        patch=ellipse(-0.3 * half, -1.35 * r, 0.62 * half, 0.45 * r),
        belly=ellipse(half - 0.3 * r, -0.6 * r, 0.4 * r, 0.5 * r),
        head=(half + 0.28 * f.head, -0.86 * f.head),
        tail=(-half - 0.45 * r, -0.5 * r),
        tail_angle=-4,
        tilt=9,
        asleep=True,
    )


def spin(f: Figure) -> Pose:
    """Rolled into a ball, head over heels."""
    r = 0.95 * f.body + 4.5
    y = -(r + 12)
    return Pose(
        trunk=[ellipse(0, y, r, r)],
        patch=ellipse(-0.45 * r, y - 0.2 * r, 0.4 * r, 0.62 * r),
        belly=ellipse(0.35 * r, y + 0.2 * r, 0.45 * r, 0.55 * r),
        head=(0.62 * r, y - 0.62 * r),
        tail=(-0.8 * r, y + 0.35 * r),
        tail_angle=-25,
        tilt=42,
        lift=6.0,
        near=[
            ((0.5 * r, y + 0.5 * r), (0.95 * r, y + 1.02 * r)),
            ((-0.2 * r, y + 0.7 * r), (0.1 * r, y + 1.3 * r)),
        ],
        far=[],
        turned=118.0,
    )


POSES = {
    "sit": sit,
    "run": run,
    "jump": jump,
    "sleep": sleep,
    "sniff": sniff,
    "look up": look_up,
    "spin": spin,
    "bark": bark,
}

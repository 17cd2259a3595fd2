"""Poses in motion: an action's pose changed by a moment of it."""

from __future__ import annotations

from ..world.motion import Motion
from .poses import Leg, Pose

SWING = 1.3  # of a stride: feet go from where they are posed to a little past the hips' other side


def move_pose(pose: Pose, motion: Motion) -> Pose:
    """The four-legged ``pose`` at that moment, changed in place."""
    pose.near = [_step(leg, motion.stride, 1) for leg in pose.near]
    pose.far = [_step(leg, motion.stride, -1) for leg in pose.far]
    pose.tail_angle += motion.wag
    pose.tilt += motion.nod
    pose.lift += motion.rise
    pose.turned += motion.turn
    pose.asleep |= motion.blink
    pose.mouth &= not motion.hush
    return pose


def _step(leg: Leg, stride: float, side: int) -> Leg:
    if not stride:
        return leg
    (hip, top), (foot, ground) = leg
    return (hip, top), (hip + (foot - hip) * (1 - SWING * stride) + 2.5 * side * stride, ground)

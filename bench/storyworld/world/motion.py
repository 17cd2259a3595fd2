"""Motion of an action: what a moment adds to the still pose of its action, as plain numbers.

Every term is 0 at step 0, so that a clip begins with the very picture that a story would show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Motion:
    """A moment of movement; all zeros are the pose itself.

    Args:
        stride: of the legs, from 0 (as posed) to 1 (the other end of the gait).
        wag: degrees by which the tail (an owl's open wings) is raised.
        nod: degrees by which the head is lowered.
        rise: percent of the picture by which the body is lifted.
        turn: degrees by which the body is turned clockwise.
        drift: percent of the picture by which the marks next to the head (Zzz, arcs) have risen.
        blink: the eyes are shut.
        hush: the mouth is shut.
        wind: percent of the picture by which the clouds have gone to the right.
    """

    stride: float = 0.0
    wag: float = 0.0
    nod: float = 0.0
    rise: float = 0.0
    turn: float = 0.0
    drift: float = 0.0
    blink: bool = False
    hush: bool = False
    wind: float = 0.0


STILL = Motion()


def _there_and_back(angle: float) -> float:
    """0 at angle 0, 1 at half a turn, 0 again at a whole one."""
    return (1.0 - math.cos(angle)) / 2.0


def _sit(angle: float) -> Motion:
    return Motion(wag=24 * math.sin(angle), nod=7 * math.sin(angle / 2))


def _run(angle: float) -> Motion:
    stride = _there_and_back(angle)
    return Motion(stride=stride, wag=12 * math.sin(angle), nod=4 * math.sin(angle), rise=2.5 * stride)


def _jump(angle: float) -> Motion:
    """From the top of the leap to the ground and up again."""
    low = _there_and_back(angle / 2)
    return Motion(stride=0.6 * low, wag=14 * math.sin(angle), nod=5 * low, rise=-12 * low, turn=14 * low)


def _sleep(angle: float) -> Motion:
    breath = math.sin(angle / 2)
    return Motion(wag=8 * breath, nod=4 * breath, drift=2.5 * breath)


def _sniff(angle: float) -> Motion:
    return Motion(stride=0.5 * _there_and_back(angle / 2), wag=24 * math.sin(angle), nod=8 * math.sin(angle))


def _look_up(angle: float) -> Motion:
    return Motion(wag=20 * math.sin(angle), nod=6 * math.sin(angle / 2), drift=1.2 * math.sin(angle))


def _spin(angle: float) -> Motion:
    """Rolls to and fro about the pose: an animal upside down is hard to tell, for the judge too."""
    return Motion(wag=10 * math.sin(angle), rise=1.5 * math.sin(angle), turn=22 * math.sin(angle / 2))


def _bark(angle: float) -> Motion:
    loud = math.cos(angle)
    return Motion(wag=18 * math.sin(angle), nod=5 * (1 - loud), drift=1.5 * math.sin(angle), hush=loud < -0.3)


MOTIONS: dict[str, Callable[[float], Motion]] = {
    "sit": _sit,
    "run": _run,
    "jump": _jump,
    "sleep": _sleep,
    "sniff": _sniff,
    "look up": _look_up,
    "spin": _spin,
    "bark": _bark,
}
# How far an animal goes within a clip, as a share of `Scene.x`; the others stay where they are.
TRAVEL = {"run": 0.95, "sniff": 0.4}

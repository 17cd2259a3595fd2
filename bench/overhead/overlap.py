"""Share of a run in which launches overlap, read off its timeline. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from ...engine.outputs import Ran
from ...engine.scheduler.policy import UNITS, Unit

ARM_DM, DM_DM, ARM_ARM = "arm_dm", "dm_dm", "arm_arm"


def overlap(ran: Sequence[Ran]) -> dict[str, float]:
    """Shares of the time from the first start to the last end: the autoregressive model overlaps with the diffusion
    model, or else launches of one of them overlap. Memory calls are not launches.

    One slot draws from 0 to 2 s, the other from 0 to 1 s and corrects from 1 to 4 s: arm_arm 0.25, arm_dm 0.25.
    """
    found = dict.fromkeys((ARM_DM, DM_DM, ARM_ARM), 0.0)
    launches = [one for one in ran if one.slot is not None]
    edges = [(one.start, 1, UNITS[one.phase]) for one in launches]
    edges += [(one.end, -1, UNITS[one.phase]) for one in launches]
    running: dict[Unit, int] = {"arm": 0, "dm": 0}
    last = 0.0
    for at, change, unit in sorted(edges):
        if (kind := _kind(running)) is not None:
            found[kind] += at - last
        running[unit] += change
        last = at
    whole = max((one.end for one in ran), default=0.0) - min((one.start for one in ran), default=0.0)
    return {kind: seconds / whole if whole else 0.0 for kind, seconds in found.items()}


def _kind(running: dict[Unit, int]) -> str | None:
    if running["arm"] and running["dm"]:
        return ARM_DM
    if running["dm"] > 1:
        return DM_DM
    return ARM_ARM if running["arm"] > 1 else None

"""Floors of a video: the needs of a frame of its only clip. Those of stories are in ``bench/overhead/bounds.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

from ...engine.engine import Engine
from ...engine.outputs import Phase
from ..overhead.bounds import CORRECTOR
from ..overhead.floors import Need, Rates, floor, measure_rates
from ..overhead.variants import Variant
from .systems import System, counted

COUNTED = 2  # frames of a video that is counted: the first, and one like all later ones


class ClipFloors(NamedTuple):
    """``needs`` of a frame by phase, on average over a clip."""

    rates: Rates
    needs: Mapping[Phase, Need]

    @classmethod
    def of(cls, engine: Engine, system: System, options: Mapping[str, Any]) -> ClipFloors:
        """Counted while the plain models, no plans, draw a short clip."""
        plain = copy(engine)
        plain.models = engine.copies.loaded
        runs = counted(plain, system._replace(frames=COUNTED), options)
        return cls(measure_rates(engine), {phase: of_a_frame(phase, runs[phase], system.frames) for phase in runs})

    def seconds_a_frame(self, variant: Variant) -> float:
        """Below which a way cannot come."""
        ran = [need for phase, need in self.needs.items() if variant.correction or phase not in CORRECTOR]
        return floor(ran, self.rates, variant.config.slots > 1)


def of_a_frame(phase: Phase, runs: Sequence[Any], frames: int) -> Need:
    """Mean needs of a frame of a clip of ``frames``, from runs for ``COUNTED`` of them: the ARM draws the first
    in its own way and all others alike; what comes after it takes them together."""
    if phase in (Phase.PREFILL, Phase.SAMPLE):
        first, later = runs[0], runs[-1]
        return Need(*((a + (frames - 1) * b) // frames for a, b in zip(first, later, strict=True)))
    (whole,) = runs
    return Need(whole.flops // COUNTED, whole.bytes // frames)

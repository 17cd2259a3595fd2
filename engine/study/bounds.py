"""Floors of a point's variants (``engine/floors.py``), each recomputed for its concurrency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..floors import Need, Rates, count, floor, measure_rates
from ..story import Phase, StoryOptions
from .run import options_of
from .sweeps import Point
from .variants import Variant

if TYPE_CHECKING:
    from ..engine import Engine

CORRECTOR = (Phase.CORRECT, Phase.ENCODE)


@dataclass
class Floors:
    """Of one engine's plain models."""

    engine: Engine
    rates: Rates
    counted: dict[tuple[Any, ...], Mapping[Phase, Need]] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine) -> Floors:
        """With the device's rates, measured now."""
        return cls(engine, measure_rates(engine))

    def seconds_a_frame(self, point: Point, variant: Variant, frames: Sequence[int]) -> float | None:
        """Below which the variant cannot come on this device, of stories of so many ``frames``: phases beside each
        other where it has several slots, else one after another. None of a video, whose clips are not counted."""
        if point.chunk_frames is not None:
            return None
        n, options = point.concurrency, options_of(point, variant).resolved(self.engine.defaults)
        beside, needs = variant.how.slots > 1, self.needs(options, n)
        plain = {phase: need for phase, need in needs.items() if phase not in CORRECTOR}
        made = [options.corrects(index) for length in frames for index in range(length)]
        share = sum(made) / len(made)
        whole, least = (floor(launches, self.rates, beside) for launches in (needs, plain))
        return (share * whole + (1 - share) * least) / n

    def needs(self, options: StoryOptions, stories: int) -> Mapping[Phase, Need]:
        """Launches of so many stories."""
        corrected = replace(options, correct_first=None, correct_every=1)
        asked = (corrected.correction, corrected.feed_back, corrected.num_inference_steps, corrected.strength)
        key = (*asked, stories)
        if key not in self.counted:
            self.counted[key] = count(self.engine, corrected, stories, self.rates.cache_bytes)
        return self.counted[key]

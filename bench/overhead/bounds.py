"""Floors of a point's variants (``bench/overhead/floors.py``), each recomputed for its concurrency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...engine.options import StoryOptions
from ...engine.outputs import Phase
from .floors import Need, Needs, Rates, count, floor, measure_rates
from .run import options_of
from .sweeps import Point
from .variants import Variant

if TYPE_CHECKING:
    from ...engine.engine import Engine

CORRECTOR = (Phase.SDEDIT, Phase.VQ_ENCODE)


@dataclass
class Floors:
    """Bounds of one engine's plain models."""

    engine: Engine
    rates: Rates
    counted: dict[tuple[Any, ...], Sequence[Needs]] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine) -> Floors:
        """With the device's rates, measured now."""
        return cls(engine, measure_rates(engine))

    def seconds_a_frame(self, point: Point, variant: Variant, frames: Sequence[int]) -> float | None:
        """Lower bound of the variant's time on this device, for stories of these numbers of ``frames``: phases overlap
        each other where it has several slots, else one after another. None of a video, whose clips are not counted."""
        if point.chunk_frames is not None:
            return None
        n, options = point.concurrency, options_of(point, variant).resolved(self.engine.defaults)
        launches = (need for length in frames for need in self.launches(options, n, length))
        return floor(launches, self.rates, variant.config.slots > 1) / (n * sum(frames))

    def launches(self, options: StoryOptions, stories: int, frames: int) -> Iterator[Need]:
        """Needs of that number of concurrent stories of ``frames`` frames: correction where ``options`` correct, and
        its codes' way back into the ARM with the next sentence."""
        plain = self.needs(options.replace(correction=False), stories)
        corrected = self.needs(options.replace(correct_first=None, correct_every=1), stories)
        for index in range(frames):
            kind = min(index, 1)  # the first frame has nothing before it; the later ones are alike
            read = corrected if index and options.corrects(index - 1) else plain
            yield read[kind][Phase.PREFILL]
            yield from (need for phase, need in plain[kind].items() if phase is not Phase.PREFILL)
            if options.corrects(index):
                yield from (need for phase, need in corrected[kind].items() if phase in CORRECTOR)

    def needs(self, options: StoryOptions, stories: int) -> Sequence[Needs]:
        """Needs of a first and of a later frame of that number of stories; the plain ARM's do not depend on the
        correction."""
        used = options.correction
        key = ((used.feed_back, used.num_inference_steps, used.strength) if used.enabled else None, stories)
        if key not in self.counted:
            self.counted[key] = count(self.engine, options, stories, self.rates.cache_bytes)
        return self.counted[key]

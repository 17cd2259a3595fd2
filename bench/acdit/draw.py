"""Pictures or clips of an ACDiT of random weights, timed phase by phase."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ...engine.acdit.pipeline import ACDiTPipeline
from ...engine.acdit.request import BlockDone, ClassRequest
from ...engine.outputs import Phase
from ..overhead.floors import Rates
from .needs import Counter

LABEL = 0  # any


class Drawn(NamedTuple):
    """``seconds`` of the whole and ``processor_seconds``, those of all threads; ``blocks`` are the seconds of each
    block's phases, ``frames`` pictures."""

    seconds: float
    processor_seconds: float
    blocks: list[Mapping[Phase, float]]
    frames: int

    @property
    def phases(self) -> dict[Phase, float]:
        """Seconds by phase."""
        total: dict[Phase, float] = defaultdict(float)
        for block in self.blocks:
            for phase, seconds in block.items():
                total[phase] += seconds
        return dict(total)


def draw_one(pipeline: ACDiTPipeline, steps: int, on_block: Callable[[], None] = lambda: None) -> Drawn:
    """One request, phase after phase."""
    blocks, frames, begun, worked = [], 0, time.perf_counter(), time.process_time()
    for block in pipeline.stream(ClassRequest(LABEL), steps=steps):
        on_block()
        blocks.append(block.seconds)
        frames += len(block.frames)
    return Drawn(time.perf_counter() - begun, time.process_time() - worked, blocks, frames)


def draw_many(pipeline: ACDiTPipeline, count: int, steps: int) -> Drawn:
    """``count`` requests side by side; a launch's seconds are counted for each of its requests alike."""
    requests = [ClassRequest(LABEL, seed, str(seed)) for seed in range(count)]
    blocks, frames, begun, worked = [], 0, time.perf_counter(), time.process_time()
    for event in pipeline.generate_many(requests, steps=steps, concurrency=count):
        if not isinstance(event, BlockDone):
            raise event.error
        blocks.append(event.seconds)
        frames += len(event.frames)
    return Drawn(time.perf_counter() - begun, time.process_time() - worked, blocks, frames)


class Floor(NamedTuple):
    """Operations and bytes of a phase, and the seconds below which the machine cannot do its launches."""

    flops: int
    bytes: int
    seconds: float


def floors(pipeline: ACDiTPipeline, steps: int, requests: int, rates: Rates) -> dict[Phase, Floor]:
    """By phase, of all blocks of ``requests`` that come in step."""
    guidance = pipeline.settings(steps)["guidance_scale"]
    sizes = (pipeline.config, pipeline.vae.config, pipeline.model.dtype, steps, guidance)
    found: dict[Phase, Floor] = {}
    for block in Counter(*sizes, requests=requests, cache_bytes=rates.cache_bytes).blocks():
        for phase, need in block.items():
            before = found.get(phase, Floor(0, 0, 0.0))
            added = Floor(need.flops, need.bytes, need.seconds(rates))
            found[phase] = Floor(*(a + b for a, b in zip(before, added, strict=True)))  # type: ignore[arg-type]
    return found

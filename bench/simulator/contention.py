"""Measure how much launches slow each other down: one slot repeats a launch while the others run theirs without
pause."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from statistics import median
from threading import Barrier, Event
from typing import Any

from ...engine.outputs import Phase
from ...engine.scheduler.policy import Unit
from ...engine.scheduler.slot_phases import SlotPhases
from ...engine.scheduler.story_state import StoryState
from .cost_model import UNIT_NAMES
from .rehearsal import Rehearsal, whole

Launch = Callable[[], Any]


def contention(rehearsal: Rehearsal, repeats: int) -> dict[tuple[Unit, Unit], dict[int, float]]:
    """``CostModel.contention`` of each model with each, at every batch; empty for a single slot."""
    others = len(rehearsal.phases) - 1
    found: dict[tuple[Unit, Unit], dict[int, float]] = {}
    if not others:
        return found
    slots = range(len(rehearsal.phases))
    for size in rehearsal.batches:
        launches = {unit: [repeated(rehearsal, slot, unit, size) for slot in slots] for unit in UNIT_NAMES}
        alone = {unit: measured(rehearsal, [launches[unit][0]], repeats) for unit in UNIT_NAMES}
        for unit, other in product(UNIT_NAMES, UNIT_NAMES):
            together = measured(rehearsal, [launches[unit][0], *launches[other][1:]], repeats)
            found.setdefault((unit, other), {})[size] = 1.0 + max(0.0, together / alone[unit] - 1.0) / others
    return found


def measured(rehearsal: Rehearsal, launches: Sequence[Launch], repeats: int) -> float:
    """Seconds of the first launch, on the first slot, while the others go on and on, on theirs."""
    begin, enough, times = Barrier(len(launches)), Event(), list[float]()

    def measure() -> None:
        try:
            begin.wait()
            for _ in range(repeats):
                began = time.perf_counter()
                launches[0]()
                times.append(time.perf_counter() - began)
        finally:
            enough.set()

    def disturb(launch: Launch) -> None:
        begin.wait()
        while not enough.is_set():
            launch()

    executor = rehearsal.run.executor
    executor.submit(0, None, measure)
    for slot, launch in enumerate(launches[1:], 1):
        executor.submit(slot, None, partial(disturb, launch))
    rehearsal.wait()
    return median(times)


def repeated(rehearsal: Rehearsal, slot: int, unit: Unit, size: int) -> Launch:
    """A launch of ``size`` stories, or as many as the phase takes, that a slot can repeat at will: a frame's draw with
    its prefill, or its correction (where nothing is corrected, its decoding). It waits for the device, as the slot
    does."""
    phases, runner = rehearsal.phases[slot], rehearsal.run.executor.slots[slot]
    if unit == "arm":
        return partial(runner.run, partial(draw, phases, rehearsal.works(min(size, rehearsal.limit(Phase.SAMPLE)))))
    phase = Phase.SDEDIT if rehearsal.run.options.corrects(0) else Phase.VQ_DECODE
    works = rehearsal.drafted(min(size, rehearsal.limit(phase)), slot)
    return partial(runner.run, lambda: phases.run(phase, works))


def draw(phases: SlotPhases, works: Sequence[StoryState]) -> None:
    """A frame is drawn and forgotten."""
    whole(phases.run, Phase.PREFILL, works)
    whole(phases.run, Phase.SAMPLE, works)
    for work in works:
        work.begin_again()

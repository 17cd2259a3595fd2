"""Measure a cost model: the phases of a few stories, alone and with the other slots at work.

The launches are those of the pipelined loop, on its slots. For every phase and batch the median over several stories is
taken of each of the first frames, and the last of these frames represents all later ones.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, cycle, islice
from statistics import fmean, median
from typing import TYPE_CHECKING

from ...engine.memory.none import NoMemory
from ...engine.options import StoryOptions
from ...engine.outputs import Phase
from ...engine.request import StoryRequest
from ...engine.scheduler.events import StoryFailed
from ...engine.scheduler.executor import Slot
from ...engine.scheduler.loop import PipelinedLoop
from ...engine.scheduler.policy import SchedulerConfig
from ...engine.scheduler.slot_phases import SlotPhases
from ...engine.scheduler.story_state import StoryState
from .contention import contention
from .cost_model import CostModel
from .memory_calls import by_rules
from .rehearsal import Rehearsal, RunPhase, whole
from .stories import BUILT_IN, SEED

if TYPE_CHECKING:
    from ...engine.engine import Engine

LOOP_STORIES, LOOP_FRAMES = 16, 8  # of the run that measures the loop


def calibrate(
    engine: Engine,
    options: StoryOptions,
    config: SchedulerConfig | None = None,
    *,
    stories: Sequence[Sequence[str]] | None = None,
    repeats: int = 3,
) -> CostModel:
    """Cost model of launches with these options, at every batch that ``config`` allows (None: what suits the device).

    ``stories`` are drawn (None: those of ``stories.py``); times depend a little on their length. So that a prediction
    is one, give none that is to be measured; their seeds are ``SEED``, ``SEED`` + 1, ... Every phase runs ``repeats``
    times with other stories each time, after a time that is not counted, in which plans are compiled. Sentences are
    rewritten by rules, whichever memory ``options`` name: a language model would be asked, and paid, for every repeat
    (``memory_calls.py`` times it). ``ValueError`` for what ``Engine.generate_many`` refuses.
    """
    if repeats < 1:
        raise ValueError(f"repeats {repeats} is too small; choose 1 or more")
    run = engine.generate_many([], options=by_rules(options), pipelining=config).run
    rehearsal = Rehearsal(run, [tuple(story) for story in stories or BUILT_IN], SEED)
    with rehearsal.closing():
        warm_up(rehearsal)
        seconds, memory_s = launches(rehearsal, repeats)
        counted = passes(rehearsal, repeats)
        slower = contention(rehearsal, repeats)
        (drafted,) = rehearsal.drafted(1, slot=0)
    return CostModel(seconds, counted, slower, memory_s, loop_seconds(rehearsal, drafted))


def warm_up(rehearsal: Rehearsal) -> None:
    """Every slot sees every shape, all slots at once."""

    def through(run: RunPhase) -> None:
        for count in rehearsal.batches:
            rehearsal.frame_phases(rehearsal.works(count), run)

    for slot, phases in enumerate(rehearsal.phases):
        rehearsal.run.executor.submit(slot, None, partial(through, phases.run))
    rehearsal.wait()


def launches(rehearsal: Rehearsal, repeats: int) -> tuple[dict[Phase, dict[int, float]], float]:
    """Seconds by phase and batch, on the first slot while the others rest; and those of a memory call."""
    samples: dict[tuple[Phase, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    calls: list[float] = []
    phases = rehearsal.phases[0]

    def run(phase: Phase, works: Sequence[StoryState]) -> list[StoryState]:
        spent = 0.0

        def timed(phase: Phase, works: Sequence[StoryState]) -> list[StoryState]:
            nonlocal spent
            done = rehearsal.on_slot(0, lambda: phases.run(phase, works))
            spent += done.end - done.start
            left: list[StoryState] = done.result
            return left

        whole(timed, phase, works)
        samples[phase, len(works)][works[0].index].append(spent)
        return []

    for repeat in range(repeats):
        for count in rehearsal.batches:
            calls += rehearsal.frame_phases(rehearsal.works(count, skip=repeat * count), run)
    found: dict[Phase, dict[int, float]] = defaultdict(dict)
    for (phase, count), frames in samples.items():
        found[phase][count] = rehearsal.over_a_story({index: median(times) for index, times in frames.items()})
    return dict(found), median(calls)


def passes(rehearsal: Rehearsal, repeats: int) -> dict[int, float]:
    """Passes that a frame's draw takes, by batch: counted one by one, with nothing corrected between frames."""
    first = rehearsal.phases[0]
    stepping = SlotPhases(first.models, first.options, replace(first.config, max_passes_per_launch=1))
    samples: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))

    def run(phase: Phase, works: Sequence[StoryState]) -> list[StoryState]:
        launched = rehearsal.on_slot(0, lambda: whole(stepping.run, phase, works)).result
        if phase is Phase.SAMPLE:
            samples[len(works)][works[0].index].append(launched)
        return []

    for repeat in range(repeats):
        for count in rehearsal.batches:
            rehearsal.frame_phases(rehearsal.works(count, skip=repeat * count), run, corrected=False)
    return {
        count: rehearsal.over_a_story({index: fmean(taken) for index, taken in frames.items()})
        for count, frames in samples.items()
    }


def loop_seconds(rehearsal: Rehearsal, drafted: StoryState) -> float:
    """Time that the loop spends on each job: it runs with phases that do nothing."""
    lent, phases = rehearsal.run, rehearsal.phases[0]
    slots = [(Slot(phases.device, slot.threads), Still(phases, drafted)) for slot in lent.executor.slots]
    sentences = tuple(islice(cycle(chain.from_iterable(rehearsal.stories)), LOOP_FRAMES))
    requests = (StoryRequest(f"{number}", sentences, number) for number in range(LOOP_STORIES))
    still = PipelinedLoop(slots, lent.options, lent.config, NoMemory, requests)
    began = time.perf_counter()
    for event in still.events():
        if isinstance(event, StoryFailed):
            raise event.error
    return (time.perf_counter() - began) / len(still.ran)


class Still(SlotPhases):
    """One frame, handed out again and again, at once."""

    def __init__(self, phases: SlotPhases, drafted: StoryState) -> None:
        self.models, self.options, self.device, self.drafted = phases.models, phases.options, phases.device, drafted

    def run(self, phase: Phase, works: Sequence[StoryState]) -> list[StoryState]:
        """Nothing is computed."""
        for work in works:
            work.draft, work.draft_codes = self.drafted.draft, self.drafted.draft_codes
            work.shown, work.codes = work.draft, work.draft_codes
        return []

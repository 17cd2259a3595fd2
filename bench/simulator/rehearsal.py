"""Stories that are led through their phases by hand, on the slots of a run that has not begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from statistics import fmean

from ...engine.outputs import Phase
from ...engine.pipeline.phases import rewrite
from ...engine.request import StoryRequest
from ...engine.scheduler.executor import Done, Run
from ...engine.scheduler.loop import PipelinedLoop
from ...engine.scheduler.policy import batch
from ...engine.scheduler.scheduler import frame_phases
from ...engine.scheduler.story_state import StoryState

FRAMES = 2  # of a story: shapes and first guesses of the second frame are those of all later ones
RunPhase = Callable[[Phase, Sequence[StoryState]], list[StoryState]]  # as Phases.run


class Rehearsal:
    """``run`` lends slots, phases and options; ``stories`` are what is tried on them, with seeds from ``seed`` on."""

    def __init__(self, run: PipelinedLoop, stories: Sequence[tuple[str, ...]], seed: int) -> None:
        self.run, self.stories, self.seed, self.phases = run, stories, seed, run.phases
        self.length = fmean(len(story) for story in stories)
        self.frames = min(FRAMES, *(len(story) for story in stories))

    @contextmanager
    def closing(self) -> Iterator[None]:
        """The slots' threads end with the block."""
        try:
            yield
        finally:
            self.run.executor.close()

    @property
    def batches(self) -> list[int]:
        """The numbers of stories that launches may have: powers of two."""
        most = max(self.limit(phase) for phase in (Phase.SAMPLE, Phase.SDEDIT))
        return [1 << power for power in range(most.bit_length())]

    def limit(self, phase: Phase) -> int:
        """The most stories that a launch of ``phase`` takes."""
        config = self.run.config
        return batch(config.stories, phase, config.stories, config)

    def works(self, count: int, skip: int = 0) -> list[StoryState]:
        """Fresh stories, ``skip`` after the first."""
        chosen = islice(enumerate(cycle(self.stories), self.seed), skip, skip + count)
        requests = [StoryRequest(f"{seed}", story, seed) for seed, story in chosen]
        arm = self.phases[0].models.arm
        return [
            StoryState.of(request, self.run.load_memory(), arm.new_sequence(request.sentences)) for request in requests
        ]

    def frame_phases(self, works: Sequence[StoryState], run: RunPhase, corrected: bool | None = None) -> list[float]:
        """Draw the first frames of ``works`` by launches that ``run`` runs; returns the seconds of each memory call.
        ``corrected`` None is as the options say."""
        options, calls = self.run.options, []
        for index in range(self.frames):
            for work in works:
                began = time.perf_counter()
                work.rewrites[index] = rewrite(work.memory, work.request.sentences, index)
                calls.append(time.perf_counter() - began)
            corrects = options.corrects(index) if corrected is None else corrected
            for phase in frame_phases(
                corrects, options.correction.feed_back, index + 1 >= self.length, self.run.config.merge_replace
            ):
                most = self.limit(phase)
                for first in range(0, len(works), most):
                    whole(run, phase, works[first : first + most])
            for work in works:
                work.next_frame()
        return calls

    def over_a_story(self, values: Mapping[int, float]) -> float:
        """The mean over a story of what was found frame by frame; the last frame represents all later ones.

        Stories of 5 frames, {0: 1.0, 1: 2.0} found: (1 + 4 * 2) / 5.
        """
        weights = dict.fromkeys(values, 1.0)
        if self.frames - 1 in weights:
            weights[self.frames - 1] = max(1.0, self.length - self.frames + 1)
        return sum(values[index] * weights[index] for index in values) / sum(weights.values())

    def drafted(self, count: int, slot: int) -> list[StoryState]:
        """Stories whose first frame is drawn and may be corrected."""
        works, run = self.works(count), self.phases[slot].run
        for work in works:
            work.rewrites[0] = rewrite(work.memory, work.request.sentences, 0)
        self.on_slot(
            slot, lambda: [whole(run, phase, works) for phase in (Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE)]
        )
        return works

    def on_slot(self, slot: int, work: Run) -> Done:
        """Run ``work`` on a slot's thread and wait for it."""
        self.run.executor.submit(slot, None, work)
        (done,) = self.wait()
        return done

    def wait(self) -> list[Done]:
        """For all that was submitted; an error is raised."""
        executor = self.run.executor
        done = [executor.next() for _ in range(executor.pending)]
        for one in done:
            if one.error is not None:
                raise one.error
        return done


def whole(run: RunPhase, phase: Phase, works: Sequence[StoryState]) -> int:
    """Launches of ``phase`` until it is done with all ``works`` (a draw has quanta); returns how many."""
    left, launched = list(works), 0
    while left:
        left, launched = run(phase, left), launched + 1
    return launched

"""Random settings of the scheduler, and stories for it to schedule."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.scheduler.scheduler import frame_phases


def scheduler_configs(
    slots: int, stories: int, waiting: int, batch: int, quanta: st.SearchStrategy[int | None]
) -> st.SearchStrategy[SchedulerConfig]:
    """Every field at random: up to that number of slots, stories, waiting ones and stories in a launch; one of
    ``quanta``."""
    return st.builds(
        SchedulerConfig,
        slots=st.integers(1, slots),
        stories=st.integers(1, stories),
        waiting=st.integers(0, waiting),
        draw_batch=st.integers(1, batch),
        correct_batch=st.integers(1, batch),
        prompt_lookahead=st.integers(0, 3),
        calls=st.integers(1, 5),
        max_passes_per_launch=quanta,
        split_across_slots=st.booleans(),
        merge_replace=st.booleans(),
    )


CONFIGS = scheduler_configs(slots=4, stories=9, waiting=4, batch=6, quanta=st.none())


@dataclass(frozen=True)
class Plot:
    """A story of the test: its frames, those that are there already, which are corrected, and where it always fails."""

    frames: int
    done: int
    correct_every: int
    correct_first: int
    feed_back: bool
    breaks: tuple[int, int] | None  # frame, place among its phases

    def phases(self, merge: bool) -> list[tuple[Phase, ...]]:
        corrected = [i < self.correct_first and i % self.correct_every == 0 for i in range(self.frames)]
        return [frame_phases(yes, self.feed_back, i + 1 == self.frames, merge) for i, yes in enumerate(corrected)]


PLOTS = st.builds(
    lambda frames, done, breaks, **rest: Plot(frames, min(done, frames - 1), breaks=breaks, **rest),
    frames=st.integers(1, 6),
    done=st.sampled_from([0, 0, 0, 1, 3]),
    correct_every=st.integers(1, 3),
    correct_first=st.sampled_from([0, 2, 9]),
    feed_back=st.booleans(),
    breaks=st.one_of(st.none(), st.none(), st.none(), st.tuples(st.integers(0, 5), st.integers(0, 5))),
)

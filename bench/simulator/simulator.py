"""The loop of ``pipelined.py`` in virtual time: how long would these stories take, with which delays? No torch.

The scheduler and its policy are the real ones; only the slots are not (``virtual_time.py``). So it costs milliseconds
to try a policy, and a plan for sizes beyond one machine:

    costs = CostModel.from_dict(json.loads(path.read_text()))
    plan = simulate(costs, [6] * 10_000, phase_schedule(options, config), config, memory_s=0.3, machines=64)
    plan.frames_per_second, plan.latency(0.99)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TypeVar

from ...engine.outputs import Phase, Ran
from ...engine.scheduler.policy import UNITS, SchedulerConfig
from ...engine.scheduler.scheduler import Launch, ScheduledStory, Scheduler, State
from .cost_model import CostModel
from .virtual_time import Finished, VirtualTime

Walks = Callable[[int], Callable[[int], Sequence[Phase]]]
Noted = TypeVar("Noted")


@dataclass(frozen=True)
class Simulated:
    """A run that was not run. Seconds; ``latencies``, ``waited`` and ``ends`` have one a frame, in the order of ends,
    in which ``ran`` is as well.

    A frame's latency is the time since the frame before it, or since its story was taken in flight; ``waited`` is how
    long its story waited for its prompt. In ``ran``, machine m (from 0) has slots m * slots to
    (m + 1) * slots - 1.
    """

    seconds: float
    latencies: Sequence[float]
    waited: Sequence[float]
    ends: Sequence[float]
    ran: Sequence[Ran]

    @property
    def first_frame_s(self) -> float:
        """When the first of all frames was there; 0 of none."""
        return self.ends[0] if self.ends else 0.0

    @property
    def frames(self) -> int:
        """Number of frames that were drawn."""
        return len(self.latencies)

    @property
    def frames_per_second(self) -> float:
        """Throughput from the first story's beginning to the last one's end."""
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def exposed_memory_s(self) -> float:
        """Time that all stories together waited for their prompts."""
        return sum(self.waited)

    def latency(self, share: float) -> float:
        """The least latency that this share of the frames (0.5: P50, 1: the maximum) does not exceed; 0 of none."""
        return ranked(self.latencies, share)


def ranked(values: Sequence[float], share: float) -> float:
    """The least of ``values`` that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def simulate(
    costs: CostModel,
    frames_of_stories: Iterable[int],
    walks: Walks,
    config: SchedulerConfig,
    *,
    memory_s: float | None = None,
    machines: int = 1,
) -> Simulated:
    """Stories of these numbers of frames, drawn as ``config`` says; ``walks(frames)(index)`` are a frame's phases
    (``phase_schedule``).

    ``memory_s`` is one memory call (None: the cost model's). Each of several ``machines`` has its own loop; a story
    goes to the one with the fewest frames before it. ``ValueError`` for a phase that was not measured.
    """
    if machines < 1:
        raise ValueError(f"machines {machines} is too small; choose 1 or more")
    memory = costs.memory_s if memory_s is None else memory_s
    if not 0.0 <= memory < float("inf"):
        raise ValueError(f"memory_s {memory} is out of range; choose 0 or more seconds")
    shares = shared_out(frames_of_stories, machines)
    first = {tuple(count for _, count in share): share for share in reversed(shares)}  # of machines that do the same
    runs = {lengths: _Run(costs, walks, config, memory).over(share) for lengths, share in first.items()}
    moved = []
    for machine, share in enumerate(shares):
        lengths = tuple(count for _, count in share)
        names = {old: new for (old, _), (new, _) in zip(first[lengths], share, strict=True)}
        moved.append(_moved(runs[lengths], names, machine * config.slots))
    return moved[0] if machines == 1 else _together(moved)


def shared_out(frames_of_stories: Iterable[int], machines: int) -> list[list[tuple[str, int]]]:
    """Names and numbers of frames for each machine: one story after another goes where the fewest frames lie."""
    shares: list[list[tuple[str, int]]] = [[] for _ in range(machines)]
    loads = [(0, machine) for machine in range(machines)]  # a heap
    for number, frames in enumerate(frames_of_stories, 1):
        if frames < 1:
            raise ValueError(f"story {number} has {frames} frames; give each one or more")
        load, machine = loads[0]
        shares[machine].append((f"{number:06d}", frames))
        heapq.heapreplace(loads, (load + frames, machine))
    return shares


@dataclass
class _Story:
    """State of a story in the loop; times of its present frame. ``began`` is when the frame before it was shown, or
    when the story was taken in flight (None: not yet)."""

    task: ScheduledStory
    began: float | None = None
    stall_start: float | None = None
    waited: float = 0.0
    passes_left: float = 0.0


@dataclass
class _Run:
    """One machine, turn by turn as ``PipelinedLoop.events``."""

    costs: CostModel
    walks: Walks
    config: SchedulerConfig
    memory_s: float
    latencies: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # of frames
    waited: list[float] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler: Scheduler[ScheduledStory] = Scheduler(self.config)
        self.time = VirtualTime(self.costs)
        self.stories: dict[ScheduledStory, _Story] = {}

    def over(self, stories: Iterable[tuple[str, int]]) -> Simulated:
        """Draw them all -> what came of it."""
        waiting = iter(stories)
        while True:
            self._let_in(waiting)
            self._ask()
            self._fill()
            if not self.time.pending:
                break
            finished = self.time.next()
            if isinstance(finished.what, ScheduledStory):
                self._answered(finished.what, finished)
            else:
                self._launched(finished.what, finished)
        assert not self.stories, "a story was left over"
        return Simulated(self.time.now, self.latencies, self.waited, self.ends, self.ran)

    def _let_in(self, waiting: Iterator[tuple[str, int]]) -> None:
        while self.scheduler.room and (story := next(waiting, None)) is not None:
            name, frames = story
            task = ScheduledStory(name, frames, self.walks(frames))
            self.stories[task] = _Story(task)
            self.scheduler.add(task)

    def _ask(self) -> None:
        for task in self.scheduler.calls():
            self.time.call(task, self.memory_s)

    def _fill(self) -> None:
        for task, story in self.stories.items():
            if story.began is None and task.state is not State.WAITING:
                story.began = self.time.now
        for launch in self.scheduler.schedule():
            stories = [self.stories[task] for task in launch.stories]
            self.time.submit(
                launch.slot, launch, UNITS[launch.phase], len(launch.stories), self._seconds(launch, stories)
            )
        for task, story in self.stories.items():
            if task.prompts_ready <= task.index and story.stall_start is None and self.scheduler.waits_for_memory(task):
                story.stall_start = self.time.now

    def _seconds(self, launch: Launch[ScheduledStory], stories: Sequence[_Story]) -> float:
        """Time of a launch alone. A draw runs at most that number of passes, or as many as the slowest story
        needs."""
        if launch.phase is not Phase.SAMPLE or self.config.max_passes_per_launch is None:
            return self.costs.launch_seconds(launch.phase, len(stories))
        for story in stories:
            story.passes_left = story.passes_left or self.costs.passes_a_frame()
        passes = min(self.config.max_passes_per_launch, max(story.passes_left for story in stories))
        for story in stories:
            story.passes_left = max(0.0, story.passes_left - passes)
        return self.costs.launch_seconds(Phase.SAMPLE, len(stories), passes)

    def _answered(self, task: ScheduledStory, finished: Finished) -> None:
        self._note(None, Phase.MEMORY, (task,), finished)
        story, index = self.stories[task], task.prompts_ready
        self.scheduler.complete_call(task)
        if index == task.index and story.stall_start is not None:
            story.waited = max(0.0, finished.end - story.stall_start)  # it may have come before it was missed
            story.stall_start = None

    def _launched(self, launch: Launch[ScheduledStory], finished: Finished) -> None:
        self._note(launch.slot, launch.phase, launch.stories, finished)
        again = [task for task in launch.stories if self.stories[task].passes_left > 0]
        made = self.scheduler.complete(launch, again)
        self._fill()
        for task in made:
            self._show(self.stories[task])
            if self.scheduler.shown(task):
                del self.stories[task]

    def _show(self, story: _Story) -> None:
        assert story.began is not None, "a frame that no launch made"
        now = self.time.now
        self.latencies.append(now - story.began)
        self.waited.append(story.waited)
        self.ends.append(now)
        story.began, story.waited = now, 0.0

    def _note(self, slot: int | None, phase: Phase, tasks: Sequence[ScheduledStory], finished: Finished) -> None:
        self.ran.append(Ran(slot, phase, tuple(task.name for task in tasks), finished.start, finished.end))


def _moved(run: Simulated, names: Mapping[str, str], slots: int) -> Simulated:
    """The same on another machine, whose first slot is number ``slots``, with other stories of equal lengths."""
    ran = [
        one._replace(slot=None if one.slot is None else one.slot + slots, stories=tuple(names[n] for n in one.stories))
        for one in run.ran
    ]
    return replace(run, ran=ran)


def _together(runs: Sequence[Simulated]) -> Simulated:
    """Machines that run concurrently."""
    return Simulated(
        max(run.seconds for run in runs),
        merged((run.ends, run.latencies) for run in runs),
        merged((run.ends, run.waited) for run in runs),
        merged((run.ends, run.ends) for run in runs),
        merged(([ran.end for ran in run.ran], run.ran) for run in runs),
    )


def merged(rows: Iterable[tuple[Sequence[float], Sequence[Noted]]]) -> list[Noted]:
    """Rows of (moments, values) as one row of values by their moments: ([1, 4], "ad"), ([2, 3], "bc") is a b c d."""
    noted = (zip(moments, values, strict=True) for moments, values in rows)
    return [value for _, value in heapq.merge(*noted, key=lambda pair: pair[0])]

"""The loop of ``pipelined.py`` in virtual time: how long would these stories take, with which delays? No torch.

The scheduler and its policy are the real ones; only the slots are not (``virtual_time.py``). So it costs milliseconds
to try a policy, and a plan for sizes beyond one machine:

    costs = CostModel.from_dict(json.loads(path.read_text()))
    plan = simulate(costs, [6] * 10_000, walks_of(options, how), how, memory_s=0.3, machines=64)
    plan.frames_per_second, plan.latency(0.99)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil

from ..policy import UNITS, Pipelining
from ..scheduler import Launch, Scheduler, Task
from ..story import Phase
from ..timeline import Ran
from .cost_model import CostModel
from .virtual_time import Finished, VirtualTime

Walks = Callable[[int], Callable[[int], Sequence[Phase]]]


@dataclass(frozen=True)
class Simulated:
    """A run that was not run. Seconds; ``latencies`` and ``waited`` have one a frame, in the order of their ends.

    A frame's latency is the time since the frame before it, or since its story was begun; ``waited`` is how long its
    story stood still for want of its prompt. In ``ran``, machine m (from 0) has slots m * slots to (m + 1) * slots - 1.
    """

    seconds: float
    first_frame_s: float
    latencies: Sequence[float]
    waited: Sequence[float]
    ran: Sequence[Ran]

    @property
    def frames(self) -> int:
        """How many were drawn."""
        return len(self.latencies)

    @property
    def frames_per_second(self) -> float:
        """Throughput from the first story's beginning to the last one's end."""
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def exposed_memory_s(self) -> float:
        """How long stories stood still for their prompts, all together."""
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
    how: Pipelining,
    *,
    memory_s: float | None = None,
    machines: int = 1,
) -> Simulated:
    """Stories of so many frames each, drawn as ``how`` says; ``walks(frames)(index)`` are a frame's phases
    (``walks_of``).

    ``memory_s`` is one memory call (None: the cost model's). Of several ``machines`` each has its own loop; a story
    goes to the one with the fewest frames before it. ``ValueError`` for a phase that was not measured.
    """
    if machines < 1:
        raise ValueError(f"machines {machines} is too small; choose 1 or more")
    memory = costs.memory_s if memory_s is None else memory_s
    if not 0.0 <= memory < float("inf"):
        raise ValueError(f"memory_s {memory} is out of range; choose 0 or more seconds")
    runs = []
    for machine, share in enumerate(shared_out(frames_of_stories, machines)):
        run = _Run(costs, walks, how, memory, machine * how.slots)
        run.over(share)
        runs.append(run)
    if len(runs) == 1:
        return runs[0].simulated()
    return _together([run.simulated() for run in runs])


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
    """What the loop knows of a story under way; times of its present frame."""

    task: Task
    began: float | None = None
    stood: float | None = None
    waited: float = 0.0
    passes_left: float = 0.0


@dataclass
class _Run:
    """One machine, turn by turn as ``Pipelined.events``."""

    costs: CostModel
    walks: Walks
    how: Pipelining
    memory_s: float
    first_slot: int = 0
    latencies: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # of frames
    waited: list[float] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler, self.time = Scheduler(self.how), VirtualTime(self.costs)
        self.stories: dict[Task, _Story] = {}

    def over(self, stories: Iterable[tuple[str, int]]) -> None:
        """Draw them all."""
        waiting = iter(stories)
        while True:
            self._let_in(waiting)
            self._ask()
            self._fill()
            if not self.time.pending:
                break
            finished = self.time.next()
            if isinstance(finished.what, Task):
                self._told(finished.what, finished)
            else:
                self._launched(finished.what, finished)
        assert not self.stories, "a story was left behind"

    def simulated(self) -> Simulated:
        """What came of it."""
        first = self.ends[0] if self.ends else 0.0
        return Simulated(self.time.now, first, self.latencies, self.waited, self.ran)

    def _let_in(self, waiting: Iterator[tuple[str, int]]) -> None:
        while self.scheduler.room and (story := next(waiting, None)) is not None:
            name, frames = story
            task = Task(name, frames, self.walks(frames))
            self.stories[task] = _Story(task)
            self.scheduler.add(task)

    def _ask(self) -> None:
        for task in self.scheduler.calls():
            self.time.call(task, self.memory_s)

    def _fill(self) -> None:
        for launch in self.scheduler.schedule():
            stories = [self.stories[task] for task in launch.tasks]
            for story in stories:
                story.began = self.time.now if story.began is None else story.began
            self.time.submit(launch.slot, launch, UNITS[launch.phase], self._seconds(launch, stories))
        for task, story in self.stories.items():
            if task.told <= task.index and story.stood is None and self.scheduler.waits_for_memory(task):
                story.stood = self.time.now
                story.began = self.time.now if story.began is None else story.began

    def _seconds(self, launch: Launch, stories: Sequence[_Story]) -> float:
        """How long a launch takes alone. A draw runs a quantum of passes, or as many as the slowest story needs."""
        if launch.phase is not Phase.DRAW or self.how.quantum is None:
            return self.costs.launch_seconds(launch.phase, len(stories))
        for story in stories:
            story.passes_left = story.passes_left or self.costs.passes_a_frame()
        passes = min(self.how.quantum, max(story.passes_left for story in stories))
        for story in stories:
            story.passes_left = max(0.0, story.passes_left - passes)
        return self.costs.launch_seconds(Phase.DRAW, len(stories), passes)

    def _told(self, task: Task, finished: Finished) -> None:
        self._note(None, Phase.MEMORY, (task,), finished)
        story, index = self.stories[task], task.told
        self.scheduler.tell(task)
        if index == task.index and story.stood is not None:
            story.waited, story.stood = finished.end - story.stood, None

    def _launched(self, launch: Launch, finished: Finished) -> None:
        self._note(self.first_slot + launch.slot, launch.phase, launch.tasks, finished)
        again = [task for task in launch.tasks if self.stories[task].passes_left > 0]
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

    def _note(self, slot: int | None, phase: Phase, tasks: Sequence[Task], finished: Finished) -> None:
        self.ran.append(Ran(slot, phase, tuple(task.name for task in tasks), finished.start, finished.end))


def _together(runs: Sequence[Simulated]) -> Simulated:
    """Machines beside one another."""
    drawn = [run for run in runs if run.frames]
    return Simulated(
        max((run.seconds for run in runs), default=0.0),
        min((run.first_frame_s for run in drawn), default=0.0),
        list(chain.from_iterable(run.latencies for run in runs)),
        list(chain.from_iterable(run.waited for run in runs)),
        list(chain.from_iterable(run.ran for run in runs)),
    )

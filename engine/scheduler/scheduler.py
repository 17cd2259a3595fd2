"""Which stories run which phase on which slot. Decisions only: no torch, no threads, no clock.

The life of a frame, phase by phase (``walk``):

    prefill -> draw (again and again, a quantum of passes each) -> decode [-> correct [-> encode [-> replace]]] -> shown

Memory calls stand outside the slots: they run ahead by ``run_ahead`` frames, and a frame waits for its own where its
prompt is needed. A story is in one place at a time:

    waiting    added, not begun; its sentences may be rewritten
    ready      for the phase it stands at, unless it waits for its prompt
    running    in a launch
    finished   with a frame, which is to be shown before the story goes on: it must be on disk by then
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ..options import StoryOptions
from ..outputs import Phase
from .policy import SchedulerConfig, choose


class State(Enum):
    """Where a story is; see above."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"
    GONE = "gone"


@dataclass(eq=False)
class Task:
    """A story's place in the schedule. ``walks(index)`` are the phases of frame ``index``; frames before ``index`` are
    there already."""

    name: str
    frames: int
    walks: Callable[[int], Sequence[Phase]]
    index: int = 0
    place: int = 0
    state: State = State.WAITING
    asking: bool = False
    told: int = 0  # frames whose prompt is there
    refused: bool = False  # the next prompt will not come
    alone: bool = False  # a launch with others failed
    passed_over: int = 0
    dropped: bool = False
    arrived: int = field(default=0)  # when it became ready, as a count of events

    def __post_init__(self) -> None:
        self.told = max(self.told, self.index)

    @property
    def phase(self) -> Phase:
        """The phase that it stands at."""
        return self.walks(self.index)[self.place]

    @property
    def stuck(self) -> bool:
        """Has it come to the frame whose prompt will not come?"""
        return self.refused and self.told <= self.index


class Launch(NamedTuple):
    """Work for a slot: one phase of some stories, side by side."""

    slot: int
    phase: Phase
    tasks: tuple[Task, ...]


def frame_phases(corrected: bool, feed_back: bool, last: bool, merge_replace: bool) -> tuple[Phase, ...]:
    """The phases of a frame. Corrected codes enter with the next sentence (``merge_replace``) or by themselves; nobody
    reads those of the last frame."""
    phases = [Phase.PREFILL, Phase.DRAW, Phase.DECODE]
    if corrected:
        phases.append(Phase.CORRECT)
        if feed_back:
            phases.append(Phase.ENCODE)
            if not merge_replace and not last:
                phases.append(Phase.REPLACE)
    return tuple(phases)


def phase_schedule(options: StoryOptions, how: SchedulerConfig) -> Callable[[int], Callable[[int], Sequence[Phase]]]:
    """By a story's number of frames, what ``Task.walks`` is for it."""

    def of(frames: int) -> Callable[[int], Sequence[Phase]]:
        merge = how.merge_replace
        made = [frame_phases(options.corrects(i), options.feed_back, i + 1 == frames, merge) for i in range(frames)]
        return made.__getitem__

    return of


class Scheduler:
    """Tasks, slots and what is under way. Every method is a decision or the news that something happened."""

    def __init__(self, how: SchedulerConfig) -> None:
        self.how = how
        self.tasks: list[Task] = []
        self.running: dict[int, Launch] = {}  # by slot
        self.asking = 0  # calls under way, those of dropped stories among them
        self.max_batch: dict[Phase, int] = {}  # of phases that ran out of memory
        self._events = 0

    @property
    def room(self) -> bool:
        """May another story be added? The queue is bounded: whoever feeds it waits."""
        return len(self.tasks) < self.how.stories + self.how.waiting

    @property
    def in_flight(self) -> int:
        """Stories that were begun."""
        return sum(task.state is not State.WAITING for task in self.tasks)

    def add(self, task: Task) -> None:
        """A story comes in."""
        assert self.room, "the queue is full"
        self.tasks.append(task)
        self._begin()

    def calls(self) -> list[Task]:
        """Stories whose next sentence (number ``told``) is to be rewritten now; those that were begun come first."""
        free = self.how.calls - self.asking
        wanting = [task for task in self.tasks if self._wants_a_call(task)]
        asked = sorted(wanting, key=lambda task: (task.told - task.index, task.state is State.WAITING))[: max(0, free)]
        for task in asked:
            task.asking = True
        self.asking += len(asked)
        return asked

    def tell(self, task: Task) -> None:
        """The rewrite that a story asked for is there."""
        assert task.asking, "nobody asked"
        task.asking, task.told = False, task.told + 1
        self.asking -= 1

    def refuse(self, task: Task) -> None:
        """The rewrite that a story asked for failed. The frames before it are made; there it is ``stuck``."""
        assert task.asking, "nobody asked"
        task.asking, task.refused = False, True
        self.asking -= 1

    def schedule(self) -> list[Launch]:
        """What the free slots run now. One slot that does not run ahead runs phases one after another, and the memory
        calls of all stories are such a phase: those in step stay in step, and are batched."""
        if self.asking and self.how.slots == 1 and self.how.run_ahead == 0:
            return []
        launches = []
        for slot in range(self.how.slots):
            if slot not in self.running and (launch := self._launch(slot)) is not None:
                self.running[slot] = launch
                launches.append(launch)
        return launches

    def complete(self, launch: Launch, again: Collection[Task] = ()) -> list[Task]:
        """A launch is done; ``again`` are drawn on. Returns the stories that finished a frame by it."""
        self._free(launch)
        finished = []
        for task in launch.tasks:
            if task not in again:
                task.place += 1
            if task.place == len(task.walks(task.index)):
                task.state = State.FINISHED
                finished.append(task)
            else:
                self._ready(task)
        self._let_go(launch.tasks)
        return [task for task in finished if not task.dropped]

    def fail(self, launch: Launch, out_of_memory: bool = False) -> list[Task]:
        """A launch failed. Its stories begin the frame again, each alone; one that was alone is returned: it failed.

        Where memory ran out, no later launch of the phase takes more than half as many stories, and these begin again
        without being alone.
        """
        self._free(launch)
        shrinks = out_of_memory and len(launch.tasks) > 1
        if shrinks:
            self.max_batch[launch.phase] = min(
                len(launch.tasks) // 2, self.max_batch.get(launch.phase, len(self.tasks))
            )
        if len(launch.tasks) == 1 and launch.tasks[0].alone:
            (task,) = launch.tasks
            self._leave(task)
            return [] if task.dropped else [task]
        for task in launch.tasks:
            task.alone, task.place = not shrinks, 0
            self._ready(task)
        self._let_go(launch.tasks)
        return []

    def shown(self, task: Task) -> bool:
        """A finished frame is where it belongs: the story goes on. Is it over?"""
        assert task.state is State.FINISHED, f"{task.name} has no frame to show"
        task.index, task.place, task.alone = task.index + 1, 0, False
        if task.index == task.frames:
            self._leave(task)
            return True
        self._ready(task)
        return False

    def drop(self, task: Task) -> None:
        """Forget a story: at once, or when the launch that it is in comes back; it holds its place until then."""
        task.dropped = True
        if task.state is not State.RUNNING:
            self._leave(task)

    def waits_for_memory(self, task: Task) -> bool:
        """Does it stand where its prompt is needed, and is the prompt not there?"""
        return task.state is State.READY and task.told <= task.index and task.place >= self._gate(task)

    def _launch(self, slot: int) -> Launch | None:
        ready = [task for task in self.tasks if task.state is State.READY and not self.waits_for_memory(task)]
        ready.sort(key=lambda task: task.arrived)
        phases = [launch.phase for launch in self.running.values()]
        if (choice := choose(ready, phases, self.in_flight, self.how, self.max_batch)) is None:
            return None
        able = [task for task in ready if task.phase == choice.phase and task.alone == choice.alone]
        chosen = tuple(able[: choice.size])
        for task in ready:
            task.passed_over += 1
        for task in chosen:
            task.state, task.passed_over = State.RUNNING, 0
        return Launch(slot, choice.phase, chosen)

    def _gate(self, task: Task) -> int:
        """The place in the walk at which the prompt is needed: where it corrects, else where the frame ends."""
        phases = task.walks(task.index)
        if self.how.run_ahead == 0:
            return 0
        return phases.index(Phase.CORRECT) if Phase.CORRECT in phases else len(phases) - 1

    def _wants_a_call(self, task: Task) -> bool:
        if task.asking or task.refused or task.dropped or task.told >= task.frames or task.state is State.GONE:
            return False
        if self.how.run_ahead == 0:
            return task.state is State.READY and task.place == 0 and task.told <= task.index
        return task.told <= task.index + self.how.run_ahead

    def _begin(self) -> None:
        for task in self.tasks:
            if task.state is State.WAITING and self.in_flight < self.how.stories:
                self._ready(task)

    def _ready(self, task: Task) -> None:
        self._events += 1
        task.state, task.arrived = State.READY, self._events

    def _let_go(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task.dropped:
                self._leave(task)

    def _free(self, launch: Launch) -> None:
        assert self.running.get(launch.slot) is launch, f"slot {launch.slot} does not run that"
        del self.running[launch.slot]

    def _leave(self, task: Task) -> None:
        task.state = State.GONE
        if task in self.tasks:
            self.tasks.remove(task)
        self._begin()

"""Many stories at once: the loop of ``pipeline.py`` with memory, ARM and diffusion model beside one another.

A turn of the loop: let stories in, ask for rewrites, fill the free slots, show what is finished, wait for the next
thing that is done. ``SerialPipeline`` is the same with everything one after another, and gives the same stories.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial

from ..memory import Memory
from ..options import StoryOptions
from ..outputs import Phase, Ran
from ..pipeline.serial import restore_memory, stored_codes
from ..request import StoryRequest
from ..utils.out_of_memory import is_out_of_memory
from ..utils.to_one_line import one_line
from .events import AlreadyComplete, Cancelled, Event, FrameDone, StoryFailed
from .executor import Done, Executor, Slot
from .phases import Phases
from .policy import SchedulerConfig
from .scheduler import Launch, Scheduler, State, Task, phase_schedule
from .story_state import Work, finish, span

LOG = logging.getLogger(__name__)
TOGETHER = "%s of %d stories failed together and is done again for each alone: %s"
TOO_LARGE = "%s of %d stories ran out of memory and is done again; from now on it takes at most %d: %s"
KEPT = 1 << 14  # of what ran, the last: a run over any number of stories takes no more memory


class PipelinedLoop:
    """Stories from ``requests``, which are drawn lazily: when there is room for one."""

    def __init__(
        self,
        slots: Sequence[tuple[Slot, Phases]],
        options: StoryOptions,
        how: SchedulerConfig,
        load_memory: Callable[[], Memory],
        requests: Iterable[StoryRequest],
    ) -> None:
        """``options`` are resolved, one pair of ``slots`` for each of ``how.slots``."""
        assert len(slots) == how.slots, f"{len(slots)} slots for {how.slots}"
        self.options, self.how, self.load_memory, self.requests = options, how, load_memory, iter(requests)
        self.phases, self.walks = [phases for _, phases in slots], phase_schedule(options, how)
        self.scheduler, self.executor = Scheduler(how), Executor([slot for slot, _ in slots])
        self.works: dict[Task, Work] = {}
        self.ran: deque[Ran] = deque(maxlen=KEPT)
        self.origin = time.perf_counter()
        self._cancelled: set[str] = set()
        self._broken: Exception | None = None  # why no more stories come
        self._origins: dict[Task, float] = {}  # the first thing that is done for a story: its spans count from there
        self._began: dict[Task, float] = {}  # the last frame was shown, or the story came in flight
        self._stood: dict[Task, float] = {}  # since when it waits for its prompt
        self._waited: dict[Task, float] = {}  # for the prompt of this frame
        self._refusals: dict[Task, Exception] = {}  # why a story's next prompt will not come
        self._errors: dict[Task, Exception] = {}  # why a story is to end

    def cancel(self, name: str) -> None:
        """Drop a story at its next step; it ends as ``StoryFailed`` with ``Cancelled``."""
        self._cancelled.add(name)

    def events(self) -> Generator[Event, None, None]:
        """Frames as they are finished, and stories that failed. A story goes on when the event after its frame is asked
        for, so whoever writes frames to disk has written them by then; the other stories go on meanwhile."""
        try:
            while True:
                yield from self._drop_cancelled()  # which makes room: what is let in then keeps the loop going
                yield from self._let_in()
                if not self.works:  # calls for stories that have gone may still be under way
                    break
                self._ask()
                self._fill()
                yield from self._take(self.executor.next())
        finally:
            self.executor.close()
        if self._broken is not None:
            raise self._broken

    def _let_in(self) -> Iterator[Event]:
        """Take requests while there is room; one that cannot be drawn fails alone."""
        while self.scheduler.room:
            try:
                request = next(self.requests, None)
            except Exception as error:  # of whoever makes them: raised when the stories that are here are finished
                self.requests, self._broken = iter(()), error
                return
            if request is None:
                return
            try:
                if request.id in self._cancelled:
                    raise cancelled(request.id)
                work = self._work(request)
            except Exception as error:
                yield StoryFailed(request, error)
                continue
            if work.index == len(request.sentences):
                yield AlreadyComplete(request)
                continue
            task = Task(request.id, len(request.sentences), self.walks(len(request.sentences)), work.index)
            self.works[task] = work
            self.scheduler.add(task)

    def _work(self, request: StoryRequest) -> Work:
        arm, device = self.phases[0].models.arm, self.phases[0].device
        work = Work(request, self.load_memory(), arm.new_sequence(request.sentences), len(request.done))
        restore_memory(work.memory, request.sentences, request.done)
        if request.done:
            codes = stored_codes(request.done, arm.stream).to(device)
            work.seat.restore(request.sentences[: work.index], list(codes.unbind(0)))
        return work

    def _drop_cancelled(self) -> Iterator[Event]:
        for task in [task for task in self.works if task.name in self._cancelled and task not in self._errors]:
            yield from self._drop(task, cancelled(task.name))

    def _drop(self, task: Task, error: Exception) -> Iterator[Event]:
        """End a story now, or when the launch that it is in comes back."""
        self._errors[task] = error
        self.scheduler.drop(task)
        if task.state is State.GONE:
            yield self._end(task)

    def _drop_stuck(self, task: Task) -> Iterator[Event]:
        if task.stuck:
            yield from self._drop(task, self._refusals[task])

    def _ask(self) -> None:
        for task in self.scheduler.calls():
            work, index = self.works[task], task.told
            self._origins.setdefault(task, time.perf_counter())
            self.executor.call(task, partial(work.rewrite, index))

    def _fill(self) -> None:
        now = time.perf_counter()
        for task in self.works:
            if task.state is not State.WAITING:
                self._began.setdefault(task, now)  # in flight: that it waits for a slot counts
        for launch in self.scheduler.schedule():
            works = [self.works[task] for task in launch.tasks]
            phases = self.phases[launch.slot]
            for task in launch.tasks:
                self._origins.setdefault(task, time.perf_counter())
            self.executor.submit(launch.slot, launch, partial(phases.run, launch.phase, works))
        for task in self.works:
            if self.scheduler.waits_for_memory(task):
                self._stood.setdefault(task, now)

    def _take(self, done: Done) -> Iterator[Event]:
        if isinstance(done.what, Task):
            yield from self._told(done.what, done)
        else:
            yield from self._launched(done.what, done)

    def _told(self, task: Task, done: Done) -> Iterator[Event]:
        """A rewrite came back; if it failed, the story ends where it needs it."""
        self._note(None, Phase.MEMORY, (task,), done)
        index = task.told
        if done.error is None:
            self.scheduler.tell(task)
        else:
            self.scheduler.refuse(task)
        if task not in self.works or task in self._errors:
            return
        if done.error is not None:
            self._refusals[task] = done.error
            yield from self._drop_stuck(task)
            return
        work = self.works[task]
        work.rewrites[index] = done.result
        work.calls[index] = span(Phase.MEMORY, done.start, done.end, self._origins[task])
        if index == task.index and task in self._stood:
            self._waited[task] = max(0.0, done.end - self._stood.pop(task))  # it may have come before it was missed

    def _launched(self, launch: Launch, done: Done) -> Iterator[Event]:
        """A launch came back: its stories go on, or begin the frame again, or have failed."""
        self._note(launch.slot, launch.phase, launch.tasks, done)
        if done.error is not None:
            for task in self.scheduler.fail(launch, is_out_of_memory(done.error)):
                self._errors[task] = done.error
            if len(launch.tasks) > 1:
                self._warn(launch, done.error)
            for task in launch.tasks:
                self.works[task].begin_again()
        else:
            for task in launch.tasks:
                self.works[task].spans.append(span(launch.phase, done.start, done.end, self._origins[task]))
            again = {id(work) for work in done.result}
            finished = self.scheduler.complete(launch, [t for t in launch.tasks if id(self.works[t]) in again])
            self._fill()  # the others go on while these are shown
            for task in finished:
                try:
                    event = self._show(task)
                except Exception as error:
                    yield from self._drop(task, error)
                    continue
                yield event
                if self.scheduler.shown(task):
                    self._forget(task)
                else:
                    yield from self._drop_stuck(task)
        for task in launch.tasks:
            if task in self._errors and task.state is State.GONE:
                yield self._end(task)

    def _warn(self, launch: Launch, error: Exception) -> None:
        phase, count, message = launch.phase, len(launch.tasks), one_line(str(error))
        if is_out_of_memory(error):
            LOG.warning(TOO_LARGE, phase, count, self.scheduler.max_batch[phase], message)
        else:
            LOG.warning(TOGETHER, phase, count, message)

    def _show(self, task: Task) -> FrameDone:
        work, now = self.works[task], time.perf_counter()
        finish([work], self.options.corrects(work.index))
        assert work.frame is not None
        latency, waited = now - self._began[task], self._waited.pop(task, 0.0)
        event = FrameDone(work.request, work.frame, latency * 1e3, waited * 1e3)
        self._began[task] = now
        work.next_frame()
        return event

    def _end(self, task: Task) -> StoryFailed:
        event = StoryFailed(self.works[task].request, self._errors[task])
        self.works[task].begin_again()
        self._forget(task)
        return event

    def _forget(self, task: Task) -> None:
        del self.works[task]
        for notes in (self._origins, self._began, self._stood, self._waited, self._refusals, self._errors):
            notes.pop(task, None)  # type: ignore[attr-defined]

    def _note(self, slot: int | None, phase: Phase, tasks: Sequence[Task], done: Done) -> None:
        names = tuple(task.name for task in tasks)
        self.ran.append(Ran(slot, phase, names, done.start - self.origin, done.end - self.origin))


def cancelled(name: str) -> Cancelled:
    """Why a story ends that nobody wants any more."""
    return Cancelled(f"story {name!r} was cancelled")

"""Loops over the blocks of many requests: one after another, or side by side by the scheduler of stories."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial

from ..scheduler.executor import Done, Executor, Slot
from ..scheduler.policy import SchedulerConfig
from ..scheduler.scheduler import Launch, Scheduler, State
from ..utils.out_of_memory import is_out_of_memory
from ..utils.to_one_line import one_line
from .phases import BlockPhases, DrawnRequest
from .request import BlockDone, ClassRequest, Event, RequestFailed

LOG = logging.getLogger(__name__)
TOGETHER = "%s of %d requests failed together and is done again: %s"


def in_turn(phases: BlockPhases, request: ClassRequest) -> Iterator[BlockDone]:
    """The blocks of one request, one phase after another: the reference for the other loop."""
    drawn = phases.begin(request)
    while drawn.index < drawn.frames:
        for phase in phases.phases_of(drawn.index):
            begun = time.perf_counter()
            phases.run(phase, [drawn])
            drawn.seconds[phase] = time.perf_counter() - begun
        yield drawn.shown()
        drawn.index += 1
    drawn.blocks.cache.release()


class BlockLoop:
    """Blocks of ``requests``, which are drawn lazily: when there is room for one."""

    def __init__(
        self, slots: Sequence[Slot], phases: BlockPhases, config: SchedulerConfig, requests: Iterable[ClassRequest]
    ) -> None:
        assert len(slots) == config.slots, f"{len(slots)} slots for {config.slots}"
        self.phases, self.requests = phases, iter(requests)
        self.scheduler: Scheduler[DrawnRequest] = Scheduler(config)
        self.executor = Executor(slots)

    def events(self) -> Generator[Event, None, None]:
        """Blocks as they are finished, and requests that failed. A request goes on when the event after its block is
        asked for, so that the block can be on disk by then; the others go on meanwhile."""
        try:
            while True:
                yield from self._let_in()
                if not self.scheduler.stories:
                    break
                self._fill()
                yield from self._take(self.executor.next())
        finally:
            self.executor.close()

    def _let_in(self) -> Iterator[Event]:
        while self.scheduler.room and (request := next(self.requests, None)) is not None:
            try:
                drawn = self.phases.begin(request)
            except Exception as error:
                yield RequestFailed(request, error)
                continue
            if drawn.index < drawn.frames:
                self.scheduler.add(drawn)

    def _fill(self) -> None:
        for launch in self.scheduler.schedule():
            self.executor.submit(launch.slot, launch, partial(self.phases.run, launch.phase, launch.stories))

    def _take(self, done: Done) -> Iterator[Event]:
        launch: Launch[DrawnRequest] = done.what
        if done.error is not None:
            yield from self._again(launch, done.error)
            return
        for drawn in launch.stories:
            drawn.seconds[launch.phase] = done.end - done.start
        finished = self.scheduler.complete(launch)
        self._fill()  # the others go on while these are shown
        for drawn in finished:
            yield drawn.shown()
            if self.scheduler.shown(drawn):
                drawn.blocks.cache.release()

    def _again(self, launch: Launch[DrawnRequest], error: Exception) -> Iterator[Event]:
        """A launch failed: its requests begin their blocks again, each alone; one that was alone has failed."""
        self.scheduler.fail(launch, is_out_of_memory(error))
        if len(launch.stories) > 1:
            LOG.warning(TOGETHER, launch.phase, len(launch.stories), one_line(str(error)))
        for drawn in launch.stories:
            drawn.begin_again()
            if drawn.state is State.GONE:
                drawn.blocks.cache.release()
                yield RequestFailed(drawn.request, error)

"""The worker's main thread: beats, leases, claims; it never waits for the engine."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from ...utils.to_one_line import one_line
from ..settings import Settings
from ..store.claims import Claims
from ..store.database import Database
from ..store.workers import BLOCKED, LOADING, READY, Workers
from .desk import Executor
from .drawing import Drawing

if TYPE_CHECKING:
    from ...engine import Engine

LOG = logging.getLogger("acdc.serve.worker")
TICK_S = 0.05
LOOK_S = 0.25  # between two looks for jobs that were cancelled, and for waiting ones in a store that was not written
DRAIN_S = 20.0  # for the frames under way, when the worker stops
MISTAKE, FAILED = 2, 1  # exit codes: the settings cannot be met; the engine has failed


class WorkerProcess:
    """One engine and its beats, under the id ``name``."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        load: Callable[[Settings], Engine],
        executors: Mapping[str, Executor],
    ) -> None:
        self.settings, self.name = settings, name
        self.database = Database(settings.database_url)
        self.claims = Claims(self.database, name, settings.lease, settings.max_attempts)
        self.workers, self.wake, self.stopping = Workers(self.database), Event(), Event()
        self.drawing = Drawing(settings, self.claims, load, executors, self.wake)
        self._beaten, self._beaten_as, self._looked = 0.0, "", 0.0
        self._written: int | None = None  # as the store was at the last look for jobs

    def stop(self, *_: Any) -> None:
        """Finish the frames under way, then end; the second call ends at once. For signal handlers, too."""
        if self.stopping.is_set():
            raise SystemExit(FAILED)
        self.stopping.set()
        self.wake.set()

    def run(self) -> int:
        """Draw until it is stopped -> the exit code. Jobs that are not over go back to the queue."""
        self.drawing.start()
        try:
            while self.drawing.is_alive() and not self.stopping.is_set():
                self._tick()
                self.wake.wait(TICK_S)
                self.wake.clear()
            self._drain()
        finally:
            self._leave()
        if (error := self.drawing.error) is None:
            return 0
        if isinstance(error, ValueError) and not self.drawing.ready.is_set():
            print(f"acdc: {one_line(str(error))}", file=sys.stderr, flush=True)
            return MISTAKE
        LOG.error("the engine has failed: %s: %s", type(error).__name__, one_line(str(error)))
        return FAILED

    def _tick(self) -> None:
        """A store that fails is tried again at the next tick."""
        try:
            now = time.time()
            if now - self._beaten > self.settings.lease / 3 or self._state() != self._beaten_as:
                self._beat()
                self._beaten = now
            if not self.drawing.ready.is_set():
                return
            if due := now - self._looked > LOOK_S:
                self._look()
                self._looked = now
            if self._was_written() or due:
                self._claim()
        except SQLAlchemyError as error:
            LOG.warning("the store failed: %s", type(getattr(error, "orig", None) or error).__name__)

    def _look(self) -> None:
        if self.drawing.busy:
            self.drawing.drop(self._jobs() - self.claims.own())
        if lost := self.drawing.given_up():
            self.claims.give_up(lost)

    def _was_written(self) -> bool:
        """Was the store written since the last call? Also True where only a query can tell."""
        before, self._written = self._written, self.database.written()
        return self._written is None or self._written != before

    def _beat(self) -> None:
        state = self._state()
        self.workers.beat(self.name, state, self.drawing.progress, self.drawing.info)
        self.claims.renew()
        self._beaten_as = state

    def _state(self) -> str:
        if self.drawing.recorder.persist.blocked:
            return BLOCKED
        return READY if self.drawing.ready.is_set() else LOADING

    def _claim(self) -> None:
        """Take jobs while there is room. One that has ended workers runs alone until its next frame."""
        drawing = self.drawing
        while (
            drawing.alone is None and drawing.busy < drawing.capacity and not self._suspect() and self.claims.waiting()
        ):
            job = self.claims.claim(suspects=drawing.busy == 0)
            if job is None:
                return
            drawing.put(job)

    def _suspect(self) -> bool:
        return any(work.suspect for work in list(self.drawing.stories.values()))

    def _jobs(self) -> set[str]:
        alone = self.drawing.alone
        return {*list(self.drawing.stories), *(() if alone is None else (alone.job.id,))}

    def _drain(self) -> None:
        self.drawing.recorder.persist.stopped = True
        self.drawing.drain()
        self.drawing.join(DRAIN_S)

    def _leave(self) -> None:
        try:
            self.workers.bury(self.name, blame=self.drawing.error is not None)
        except SQLAlchemyError as error:
            LOG.warning("the store failed at the end: %s", type(error).__name__)


def run_worker(
    settings: Settings,
    name: str,
    load: Callable[[Settings], Engine],
    executors: Mapping[str, Executor],
    *,
    until_closed: bool = False,
) -> int:
    """Run a worker in this process's main thread -> its exit code. SIGTERM and SIGINT stop it; ``until_closed``: so
    does the end of standard input, when the server that has started it is gone."""
    worker = WorkerProcess(settings, name, load, executors)
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    if until_closed:
        Thread(target=_watch, args=(worker,), daemon=True).start()
    return worker.run()


def _watch(worker: WorkerProcess) -> None:
    sys.stdin.read()
    if not worker.stopping.is_set():
        worker.stop()

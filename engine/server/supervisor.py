"""Keeps worker processes running: starts them, ends one that hangs, starts it again with growing pauses."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from .settings import Settings
from .store.workers import LOADING, Worker, Workers
from .worker.process import DRAIN_S, MISTAKE

LOG = logging.getLogger("acdc.serve")
COMMAND = (sys.executable, "-m", "acdc.engine.server.worker")
CHECK_S = 0.2
BEATS_S = 1.0  # between two looks at a worker's beats
PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # before a worker starts again, by the times that it died while loading
LOAD_S = 3600.0  # for reading weights and building plans
GRACE_S = DRAIN_S + 5


class Supervisor(Thread):
    """Watches one worker. ``on_restart`` is called at each restart, ``on_mistake`` if the settings cannot be met."""

    def __init__(
        self,
        settings: Settings,
        workers: Workers,
        on_restart: Callable[[], None],
        on_mistake: Callable[[], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.settings, self.workers, self.command = settings, workers, command
        self.on_restart, self.on_mistake = on_restart, on_mistake
        self.process: subprocess.Popen[str] | None = None
        self.worker = ""
        self._ending = Event()

    def run(self) -> None:
        """Until :meth:`stop`."""
        deaths = 0  # one after another, before the model was loaded: a story that kills workers fails by its attempts
        while not self._ending.is_set():
            code, was_ready = self._live()
            if self._ending.is_set():
                return
            if code == MISTAKE:
                self.on_mistake()
                return
            deaths = 0 if was_ready else deaths + 1
            pause = PAUSES_S[min(deaths, len(PAUSES_S) - 1)]
            LOG.warning("a worker has ended with code %s; it starts again in %g s", code, pause)
            self.on_restart()
            self._ending.wait(pause)

    def stop(self) -> None:
        """Let the worker finish the frames under way; it is killed where that takes too long."""
        self._ending.set()
        process = self.process
        if process is not None:
            _close(process)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.join()
        self._bury()

    def _live(self) -> tuple[int, bool]:
        """One life of the worker -> its exit code, and whether its model was loaded."""
        self.worker = uuid.uuid4().hex
        self.process = subprocess.Popen([*self.command, self.worker], stdin=subprocess.PIPE, text=True)
        begun = looked = time.time()
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(" ".join(self.settings.to_json().splitlines()) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended already
            pass
        while self.process.poll() is None and not self._ending.wait(CHECK_S):
            if time.time() - looked > BEATS_S:
                looked = time.time()
                if reason := self._hangs(begun):
                    LOG.error("a worker is ended: %s", reason)
                    self.process.kill()
        if self._ending.is_set():
            return self.process.wait(), True
        _close(self.process)
        worker = self._read()
        self._bury()
        return self.process.returncode, worker is not None and worker.state != LOADING

    def _hangs(self, begun: float) -> str:
        """Why the worker is to be ended, or nothing."""
        worker = self._read()
        beat, progress = (worker.beat, worker.progress) if worker else (begun, begun)
        if time.time() - beat > self.settings.lease:
            return f"it was silent for {self.settings.lease:g} s"
        loading = worker is None or worker.state == LOADING
        limit = max(LOAD_S, self.settings.hang_timeout) if loading else self.settings.hang_timeout
        if time.time() - progress > limit:
            return f"its engine has finished nothing for {limit:g} s"
        return ""

    def _read(self) -> Worker | None:
        try:
            return self.workers.get(self.worker)
        except SQLAlchemyError:
            return None

    def _bury(self) -> None:
        """Hand the dead worker's jobs back to the queue; where that fails now, their leases run out."""
        try:
            self.workers.bury(self.worker, blame=True)
        except SQLAlchemyError as error:
            LOG.warning("the store failed: %s", type(error).__name__)


def _close(process: subprocess.Popen[str]) -> None:
    try:
        if process.stdin is not None:
            process.stdin.close()
    except BrokenPipeError:
        pass

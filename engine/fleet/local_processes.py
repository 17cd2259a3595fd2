"""Engines in processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection

from ..utils.malloc import keep_freed_memory
from .host import EngineHost
from .leases import EngineDied
from .recipe import Recipe

GRACE_S = 5.0  # for a process that is killed to be gone


class LocalProcesses:
    """Each engine is a process that loads ``recipe``; engine i sees the GPUs of ``gpus[i]`` where that is given."""

    def __init__(self, recipe: Recipe, gpus: Sequence[Sequence[str]] | None = None) -> None:
        self._recipe, self._gpus = recipe, gpus

    def start(self, number: int) -> LocalProcess:
        visible = None if self._gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self._gpus[number])}
        return LocalProcess(self._recipe, number, visible or {})

    def close(self) -> None:
        """Nothing is shared."""


class LocalProcess:
    """One process, at the other end of a pair of sockets. A thread sends and receives: a process that is stopped in the
    middle of a message delays no other engine."""

    def __init__(self, recipe: Recipe, number: int, environment: Mapping[str, str]) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        name = f"acdc-engine-{number + 1}"
        self._process = context.Process(target=_serve, args=(theirs, recipe, dict(environment)), name=name, daemon=True)
        with _without_interrupts():
            self._process.start()
        theirs.close()  # so that the end of the process ends the connection
        self._thread = ThreadPoolExecutor(1, name)

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    def exchange(self, message: bytes) -> Future[bytes]:
        return self._thread.submit(self._exchange, message)

    def end(self, hangs: bool = False) -> None:
        self._process.kill()
        self._process.join(GRACE_S)
        with suppress(RuntimeError):  # it was ended before
            self._thread.submit(self._connection.close)  # after the exchange that is under way
        self._thread.shutdown(wait=False)

    def _exchange(self, message: bytes) -> bytes:
        try:
            self._connection.send_bytes(message)
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            self._process.join(GRACE_S)
            raise EngineDied(_manner(self._process.exitcode)) from None


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C goes to a terminal's whole group of processes; one that is started here ignores it from its first
    instruction on, since the driver ends it."""
    resource_tracker.ensure_running()  # its start, which a process's start would cause, unblocks the signal
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


def _manner(code: int | None) -> str:
    if code is None:
        return "its connection is closed"
    return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"


def _serve(connection: Connection, recipe: Recipe, environment: Mapping[str, str]) -> None:
    """The process: answers until the driver is gone, and leaves at once, whatever its threads are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    keep_freed_memory()
    host = EngineHost(recipe)
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(host.exchange(connection.recv_bytes()))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)

"""Slots: where launches run. A slot is a thread with its own models, plans and, on a GPU, its own stream.

A launch is over when its thread says so: on a GPU the thread waits for the stream's event, outside of Python's lock, so
that the other slots' host work goes on at the same time. On a CPU the threads of torch are divided among the slots; a
slot that has them all works on the thread that waits, because OpenMP does not keep a second team of as many threads
awake, and each small operation would wait for it to wake.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch

Run = Callable[[], Any]


class Done(NamedTuple):
    """Something that was submitted came back. ``start`` and ``end`` are ``time.perf_counter`` seconds; exactly one of
    ``result`` and ``error`` counts."""

    what: Any
    start: float
    end: float
    result: Any = None
    error: Exception | None = None


class Posted(NamedTuple):
    """Something came from another thread that nobody had submitted; without ``what`` there is news elsewhere."""

    what: Any = None


@dataclass
class Slot:
    """One thread, on ``device``, with ``threads`` of torch's."""

    device: torch.device
    threads: int

    def __post_init__(self) -> None:
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        if self.stream is not None:  # weights may still be on their way
            self.stream.wait_stream(torch.cuda.default_stream(self.device))
        self.pool = ThreadPoolExecutor(1, "acdc-slot", torch.set_num_threads, (self.threads,))

    def run(self, work: Run) -> Any:
        """On the slot's thread: ``work``, until the device is done with it."""
        if self.stream is None:
            return work()
        with torch.cuda.stream(self.stream):
            try:
                return work()
            finally:  # also where it failed: what it has launched reads tensors that are released now
                self.stream.record_event().synchronize()


class Executor:
    """The slots, and threads for calls that wait for somebody else. What is done is asked for one by one."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots, self.threads = list(slots), torch.get_num_threads()
        self.done: SimpleQueue[Done | Posted | BaseException] = SimpleQueue()
        self.pending = 0
        self._woken = False  # a wake-up is in the queue: any number of them are one
        self._held: deque[tuple[Any, Run]] = deque()  # for the thread that waits
        self._inline = len(self.slots) == 1 and self.slots[0].stream is None

    def submit(self, slot: int, what: Any, work: Run) -> None:
        """Run ``work`` on a slot; ``what`` comes back with it."""
        chosen = self.slots[slot]
        if self._inline:
            self._held.append((what, work))
            self.pending += 1
            return
        self._send(chosen.pool, what, lambda: chosen.run(work))

    def call(self, what: Any, work: Run) -> None:
        """Run ``work`` concurrently with the slots, with as many of torch's threads as one of them.

        On a thread that nobody waits for in the end: a language model may take minutes to answer, or never do.
        """
        threads = self.slots[0].threads

        def called() -> None:
            torch.set_num_threads(threads)
            self._timed(what, work)

        Thread(target=called, name="acdc-memory", daemon=True).start()
        self.pending += 1

    def post(self, what: Any) -> None:
        """Let :meth:`wait` return ``Posted(what)`` in its turn. From any thread, and from within a launch."""
        self.done.put(Posted(what))

    def wake(self) -> None:
        """Let :meth:`wait` return ``Posted()``, now or at its next call. From any thread."""
        if not self._woken:
            self._woken = True
            self.done.put(Posted())

    def next(self) -> Done:
        """Block until the next job finishes; at least one must be pending. What is posted is passed over. Re-raises
        KeyboardInterrupt and SystemExit."""
        while isinstance(done := self.wait(), Posted):
            pass
        return done

    def wait(self, idle: bool = False) -> Done | Posted:
        """As :meth:`next`, or until something is posted; ``idle``: nothing need be pending."""
        assert self.pending or idle, "nothing is under way"
        if self._held and self.done.empty():
            self._timed(*self._held.popleft())
        done = self.done.get()
        if isinstance(done, Posted):
            if done.what is None:
                self._woken = False  # before the reader looks: what comes from now on wakes it again
            return done
        self.pending -= 1
        if isinstance(done, BaseException):
            raise done
        return done

    def close(self) -> None:
        """Wait for what the slots run, drop what has not begun, and give the threads back. Calls are abandoned."""
        for slot in self.slots:
            slot.pool.shutdown(wait=False, cancel_futures=True)
        for slot in self.slots:
            slot.pool.shutdown(wait=True)
        torch.set_num_threads(self.threads)  # what a slot set would be the default of new threads

    def _send(self, pool: ThreadPoolExecutor, what: Any, work: Run) -> None:
        pool.submit(self._timed, what, work)
        self.pending += 1

    def _timed(self, what: Any, work: Run) -> None:
        start = time.perf_counter()
        try:
            result = work()
            done: Done | BaseException = Done(what, start, time.perf_counter(), result)
        except Exception as error:
            done = Done(what, start, time.perf_counter(), error=error)
        except BaseException as error:  # the interpreter's own: the thread that waits raises it
            done = error
        self.done.put(done)

"""Third-party compilers run in a child process: what kills it there does not kill this one.

The child (builder_child.py) is started at the first job, serves one job after another, and ends when it is idle or its
parent is gone. A job is the name of a function with JSON arguments; what it makes lies on disk.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from typing import IO, Any, NamedTuple

START_SECONDS = 60.0
# The interpreter's path is the parent's, wherever that has it from.
COMMAND = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main()"
KILLERS = (signal.SIGTERM, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)  # somebody else's


class PlanRefused(ValueError):
    """A plan cannot be built here. ``lasting`` is False where another try may end well: memory or disk ran out, or
    somebody ended the child."""

    def __init__(self, reason: str, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


class _Child(NamedTuple):
    process: subprocess.Popen[str]
    answers: Queue[str | None]  # None: there will be no more
    errors: IO[bytes]


class Builder:
    """Runs jobs in one child process, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._close: Callable[[], None] | None = None

    def run(self, function: str, arguments: dict[str, Any], seconds: float) -> int:
        """Call ``function`` ("package.module:name") in the child; returns the most memory that it took, in bytes.

        Raises :class:`PlanRefused` where the function raises, the child dies, or ``seconds`` have passed; its text
        goes on after the name of what was built, such as "died of SIGFPE".
        """
        with self._lock:
            try:
                while "idle" in (
                    answer := self._ask({"function": function, "arguments": arguments, "seconds": seconds}, seconds)
                ):
                    self.close()
            except BaseException:
                self.close()
                raise
        if "error" in answer:
            raise PlanRefused(f"ended with {answer['error']}")
        return int(answer["peak_bytes"])

    def close(self) -> None:
        """End the child, whatever it does; the next job starts another."""
        if self._close is not None:
            self._close()
        self._child = self._close = None

    def _ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        if self._child is None:
            self._child = _start()
            self._close = weakref.finalize(self, _end, self._child)
            if "ready" not in _next(self._child, START_SECONDS, lasting=False):
                raise PlanRefused("the process that builds it did not start")
        assert self._child.process.stdin is not None
        with suppress(OSError):  # it ended meanwhile; what it said last is still there
            print(json.dumps(job), file=self._child.process.stdin, flush=True)
        return _next(self._child, seconds, lasting=True)


def _start() -> _Child:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child is
    command = [sys.executable, "-c", COMMAND.format(f"{__package__}.builder_child"), json.dumps(sys.path)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the parent's
        )  # fmt: skip
    except (OSError, TypeError) as error:  # TypeError: an embedded interpreter has no executable
        raise PlanRefused(f"cannot be built: no process can be started ({error})") from None
    child = _Child(process, Queue(), errors)
    threading.Thread(target=_read, args=(child,), daemon=True).start()
    return child


def _read(child: _Child) -> None:
    assert child.process.stdout is not None
    with child.process.stdout as answers:
        for line in answers:
            child.answers.put(line)
    child.answers.put(None)


def _next(child: _Child, seconds: float, lasting: bool) -> dict[str, Any]:
    """The child's next answer. ``lasting`` says whether a death would be the job's doing."""
    try:
        line = child.answers.get(timeout=seconds)
    except Empty:
        raise PlanRefused(f"was not done after {seconds:.0f} s", lasting) from None
    if line is None:
        status = child.process.wait()
        raise PlanRefused(f"{_death(status)}{_last_words(child.errors)}", lasting and -status not in KILLERS)
    answer: dict[str, Any] = json.loads(line)
    return answer


def _death(status: int) -> str:
    if status >= 0:
        return f"ended its process with status {status}"
    try:
        return f"died of {signal.Signals(-status).name}"
    except ValueError:
        return f"died of signal {-status}"


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read()[-10_000:].decode("utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f" ({said[-1][:200]})" if said else ""


def _end(child: _Child) -> None:
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)  # a compiler may have started others
    child.process.kill()
    child.process.wait()
    child.errors.close()
    with suppress(OSError):
        child.process.stdin.close()  # type: ignore[union-attr]

"""The process in which third-party compilers run (see builder.py): one line of JSON in, one out. Without torch.

in     {"function": "acdc.compile.openvino_ir:compile_ir", "arguments": {...}, "seconds": 600}
out    {"ready": true} at first; {"peak_bytes": 123} or {"error": "..."} for a job; {"idle": true} before it ends
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import Empty, Queue
from typing import Any, TextIO

PROCESS = Path("/proc/self")
IDLE_SECONDS = 30.0
LATE_SECONDS = 2  # after the time of a job, which the parent keeps if it is there


def serve(jobs: TextIO, answers: TextIO, idle: float = IDLE_SECONDS) -> None:
    """Answer one job after another until none comes for ``idle`` seconds."""
    waiting: Queue[str] = Queue()
    threading.Thread(target=_read, args=(jobs, waiting), daemon=True).start()
    _say(answers, {"ready": True})
    while True:
        try:
            job = json.loads(waiting.get(timeout=idle))
        except Empty:
            return _say(answers, {"idle": True})
        _say(answers, _answer(job))


def _read(jobs: TextIO, waiting: Queue[str]) -> None:
    for line in jobs:
        waiting.put(line)
    os._exit(0)  # the parent is gone, and what is being built here will not be read


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    module, _, name = job["function"].partition(":")
    _reset_peak()
    _end_in(math.ceil(job["seconds"]) + LATE_SECONDS)
    try:
        function: Callable[..., None] = getattr(import_module(module), name)
        function(**job["arguments"])
    except Exception as error:  # whatever a library raises
        said = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {said[-1]}"}
    finally:
        _end_in(0)
    return {"peak_bytes": _peak()}


def _end_in(seconds: int) -> None:
    """By the kernel, which a compiler that hangs with Python's lock does not stop as it stops `_read`; 0: never."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


def _reset_peak() -> None:
    with suppress(OSError):  # proc(5), clear_refs 5; without it the peak is that of all jobs
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """The largest resident set, in bytes; 0 where the system does not say."""
    with suppress(OSError):
        for line in (PROCESS / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Answers go where standard output went; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)

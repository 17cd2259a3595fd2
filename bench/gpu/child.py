"""A command in a process of its own, that ends: by itself, at a time, or because it gives no sign of life."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

POLL_S = 0.2
DUMP_S = 3.0  # for Python to write where it hangs
GONE_S = 10.0  # a process that hangs in a driver may never go
CUT = "cut"


class Ended(NamedTuple):
    """``status`` as ``subprocess`` has it, negative for a signal; ``stopped``: why we ended it, "cut" at its time."""

    status: int
    stopped: str
    seconds: float


def run(command: Sequence[str], log: Path, signs: Sequence[Path], until: float, silent_s: float, cwd: Path) -> Ended:
    """Run it until ``until`` (``time.monotonic``). Its output goes to the end of ``log``; a change of that file or of
    one of ``signs`` is a sign of life, and after ``silent_s`` without one it is made to tell where it hangs and killed.

    Its process group goes with it, also where this is interrupted.
    """
    began = time.monotonic()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    with log.open("ab") as file:
        file.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {' '.join(command)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, cwd=cwd, process_group=0
        )
    stopped, last, seen = "", began, _changed((log, *signs))
    try:
        while process.poll() is None and not stopped:
            time.sleep(POLL_S)
            now, changed = time.monotonic(), _changed((log, *signs))
            if changed != seen:
                last, seen = now, changed
            if now >= until:
                stopped = CUT
            elif now - last >= silent_s:
                stopped = f"hung: no sign of life for {silent_s:.0f} s"
                os.kill(process.pid, signal.SIGABRT)  # faulthandler writes every thread's stack
                _wait(process, DUMP_S)
    finally:
        _kill(process)
    status = -signal.SIGKILL if process.returncode is None else process.returncode
    return Ended(status, stopped, time.monotonic() - began)


def described(ended: Ended, log: Path) -> str:
    """Why it failed, in one line."""
    if ended.stopped:
        return ended.stopped
    if ended.status < 0:
        return f"killed by {signal.Signals(-ended.status).name}"
    return last_line(log) or f"exit status {ended.status}"


def last_line(log: Path) -> str:
    """The last line of its output that says something."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said and not said[-1].startswith("--- ") else ""


def _changed(files: Sequence[Path]) -> list[int]:
    return [file.stat().st_mtime_ns if file.exists() else 0 for file in files]


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The whole group: compilers and test workers, too, also those of a leader that has ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _wait(process, GONE_S)

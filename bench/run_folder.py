"""A folder in which one command runs others, and goes on at its next call: locked meanwhile, ended as a whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..engine.utils.atomic import make_directory


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make ``folder`` and lock it. ``ValueError`` if it cannot be used, or another run holds it."""
    make_directory(folder)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        held = lock.acquire()
    except Timeout:
        raise ValueError(f"{str(folder)!r} is in use by another run") from None
    with held, _ended_by_sigterm():
        yield


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, so that the processes that it started end with it."""

    def end(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""An engine's process as the driver sees it, whichever way it was started."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol


class EngineProcess(Protocol):
    """One engine. Its driver has at most one exchange under way with it."""

    def exchange(self, message: bytes) -> Future[bytes]:
        """Send orders; the future gets the answer, or ``EngineDied``. Returns at once, whatever the process does."""
        ...

    def end(self, hangs: bool = False) -> None:
        """End the process and free what it used; one that ``hangs`` may not even hear of it. May be called again."""
        ...


class Engines(Protocol):
    """Starts engines: on this machine (``local_processes.py``) or on many (``ray_engines.py``)."""

    def start(self, number: int) -> EngineProcess:
        """Start engine ``number`` (from 0), for the first time or again. Returns before it is loaded."""
        ...

    def close(self) -> None:
        """Free what all engines share."""
        ...

"""When an engine of a fleet is ended or started again, and when a story is given up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """A story is given up after the ``deaths`` of engines at one and the same frame of it, the last time alone.

    An engine is ended that answers nothing for ``silent_s`` seconds, brings no launch to its end for ``stall_s`` though
    it has stories, or is not loaded after ``start_s``. One that ends before its first frame starts again after
    ``pause_s``, then twice that, and so on up to ``longest_pause_s``; after ``starts`` such ends in a row it is left
    out. ``answer_s`` is how long an engine waits for an event before it answers without one.
    """

    deaths: int = 3
    silent_s: float = 120.0
    stall_s: float = 600.0
    start_s: float = 1800.0
    pause_s: float = 1.0
    longest_pause_s: float = 60.0
    starts: int = 5
    answer_s: float = 1.0

    def __post_init__(self) -> None:
        """``ValueError`` (one line) for impossible numbers."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} {value} of a fleet is too small; choose more than 0")

    def pause(self, crashes: int) -> float:
        """Seconds before an engine starts again after ``crashes`` ends in a row without a frame."""
        return min(self.pause_s * 2 ** (crashes - 1), self.longest_pause_s) if crashes else 0.0

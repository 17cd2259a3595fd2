"""One request and what became of it, as its sender saw it. No client, no service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """One request to send: the ``sentences`` of a story, or the one sentence of a picture, with its ``seed``."""

    number: int
    sentences: tuple[str, ...]
    seed: int


class RequestFailed(Exception):
    """The service refused a request or ended it early; the message is one line."""


@dataclass
class Outcome:
    """Times are seconds since the load began, None for what did not happen.

    ``due`` is when the request had to be sent and ``sent`` when it was: later where --max-concurrency held it back.
    ``first_partial`` is the first unfinished picture's arrival (a draft or an estimate), ``frames`` that of every
    finished one, ``ended`` that of the last byte. ``deliveries`` are the seconds from each frame's end in the engine
    to its arrival, by the clocks of both machines. ``queue_wait_s`` is how long it waited for the engine, and
    ``stages_ms`` has the milliseconds of every stage, one mapping a frame; a service that does not say leaves them out.
    """

    number: int
    due: float
    sent: float | None = None
    first_partial: float | None = None
    frames: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)
    ended: float | None = None
    queue_wait_s: float | None = None
    stages_ms: list[Mapping[str, float]] = field(default_factory=list)
    error: str | None = None

    @property
    def succeeded(self) -> bool:
        """Did it end, without an error?"""
        return self.error is None and self.ended is not None

    def frame_latencies(self) -> list[float]:
        """Seconds of every frame since the one before it; the first one's since the request was sent."""
        if self.sent is None:
            return []
        return [now - before for before, now in zip([self.sent, *self.frames], self.frames, strict=False)]

    def record(self) -> dict[str, Any]:
        """Everything about it, ready for JSON."""
        return asdict(self)

"""When each phase ran. The serial loop waits for the device at every phase's edges; plans do not use this clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..outputs import Phase, Span


class Clock:
    """Collects the spans of one story, in milliseconds since the clock was made."""

    def __init__(
        self, device: torch.device | str = "cpu", on_phase: Callable[[int, Phase], None] | None = None
    ) -> None:
        """``on_phase(frame index, phase)`` is called as a phase begins; it is how a progress bar listens."""
        self._device = torch.device(device)
        self._on_phase = on_phase
        self._origin = time.perf_counter()
        self._spans: list[Span] = []

    @contextmanager
    def __call__(self, index: int, phase: Phase) -> Iterator[None]:
        """Time the block as ``phase`` of frame ``index``."""
        if self._on_phase is not None:
            self._on_phase(index, phase)
        begun = self._now()
        yield
        self._spans.append(Span(phase, (begun - self._origin) * 1e3, (self._now() - begun) * 1e3))

    def take(self) -> tuple[Span, ...]:
        """The spans since the last call."""
        taken, self._spans = tuple(self._spans), []
        return taken

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

"""What ran when: the record of a run over many stories, measured or simulated. No torch."""

from __future__ import annotations

from typing import NamedTuple

from .story import Phase


class Ran(NamedTuple):
    """In seconds since the loop began: a launch on a slot, or a memory call (slot None)."""

    slot: int | None
    phase: Phase
    stories: tuple[str, ...]
    start: float
    end: float

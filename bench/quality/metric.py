"""A metric: a definition over rows that a network gives, and the figure that comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .network import Looker, Network
from .sets.story_set import StorySet, Text
from .statistics import Interval


@dataclass(frozen=True)
class Figure:
    """One metric of one set of stories.

    ``value`` is None where no story could be measured, as ``remarks`` then say. ``stories`` and ``frames`` are how many
    took part, ``by_story`` the value of each, ``by_frame`` the curve over the place in the story, ``controls`` the same
    measure of frames whose answer is known.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    stories: int = 0
    frames: int = 0
    by_story: Mapping[str, float] = field(default_factory=dict)
    by_frame: Sequence[float] = ()
    controls: Mapping[str, float | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def interval(self) -> Interval | None:
        """The value with its interval."""
        return None if self.value is None else Interval(self.value, self.low, self.high)


@dataclass(frozen=True)
class Context:
    """Shared inputs of metrics: ``looker`` gives rows, ``reference`` are stories to compare with, ``text`` chooses the
    prompts that pictures are compared with."""

    looker: Looker
    reference: StorySet | None = None
    text: Text = "sentence"


class Metric(Protocol):
    """``name`` as ``--metrics`` takes it; ``definition`` is one line for the table of results."""

    @property
    def name(self) -> str: ...

    @property
    def definition(self) -> str: ...

    @property
    def needs_reference(self) -> bool:
        """Is it a distance from a reference set?"""
        ...

    @property
    def needs_equal_n(self) -> bool:
        """Do its values depend on the number of frames, so that sets of other numbers do not compare?"""
        ...

    @property
    def networks(self) -> Sequence[Network]:
        """The networks that it looks through; each says which files it wants."""
        ...

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """The figure of a set. ``ValueError`` (one line) where weights do not fit or a number is not finite."""
        ...


def nothing(metric: str, why: str) -> Figure:
    """The figure of a set that a metric cannot measure."""
    return Figure(metric, None, remarks=(why,))

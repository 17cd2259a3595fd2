"""A metric: a definition over rows that a network gives, and the figure that comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .extractor import Extractor
from .items import FrameItem
from .network import Network
from .sets.story_set import Story, StorySet, Text

Row = TypeVar("Row", bound=np.generic)


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


@dataclass(frozen=True)
class Context:
    """Shared inputs of metrics: ``extractor`` gives rows, ``reference`` are stories to compare with, ``text`` chooses
    the prompts that pictures are compared with."""

    extractor: Extractor
    reference: StorySet | None = None
    text: Text = "sentence"

    def frame_rows(self, network: Network, stories: Sequence[Story]) -> list[NDArray[np.float32]]:
        """The rows of each story's frames, ``[F, D]``."""
        items = [FrameItem(picture) for story in stories for picture in story.pictures]
        return by_story(self.extractor.rows(network, items), stories)


def by_story(values: NDArray[Row], stories: Sequence[Story]) -> list[NDArray[Row]]:
    """One value a frame, story after story, as one array a story."""
    return np.split(values, np.cumsum([len(story.pictures) for story in stories])[:-1])


@dataclass(frozen=True)
class Metric(ABC):
    """``name`` as ``--metrics`` takes it; ``definition`` is one line for the table of results; ``network`` gives the
    rows that the definition is over."""

    name: str
    definition: str
    network: Network

    @property
    def networks(self) -> Sequence[Network]:
        """Every network whose files the metric wants."""
        return (self.network,)

    @property
    def needs_reference(self) -> bool:
        """Is it a distance from a reference set?"""
        return False

    @property
    def needs_equal_n(self) -> bool:
        """Do its values depend on the number of frames, so that sets of other numbers do not compare?"""
        return False

    @abstractmethod
    def measure(self, stories: StorySet, context: Context) -> Figure:
        """The figure of a set. ``ValueError`` (one line) where weights do not fit or a number is not finite."""

    def nothing(self, why: str) -> Figure:
        """The figure of a set that the metric cannot measure."""
        return Figure(self.name, None, remarks=(why,))

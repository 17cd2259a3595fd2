"""Metrics that are means of a score a frame or a clip: CLIP-sim, ImageReward, and four of VBench's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..metric import Context, Figure, nothing
from ..network import ClipItem, FrameItem, Network, PairItem, TextItem
from ..sets.story_set import Story, StorySet
from ..statistics import mean_interval
from .consistency import cosines, curve

Array = NDArray[np.float64]
NO_TEXT = "no story has a text for each frame; give prompts.txt"
SMALL = 128  # pixels a side, below which clips are enlarged


@dataclass(frozen=True)
class ClipSim:
    """100 x the cosine of a frame's embedding and its text's; mean over frames, then stories. It is not cut at 0."""

    name: str
    definition: str
    images: Network
    texts: Network
    needs_reference: bool = False
    needs_equal_n: bool = False

    @property
    def networks(self) -> Sequence[Network]:
        """As :class:`..metric.Metric`."""
        return (self.images, self.texts)

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`; the control pairs each frame with another story's text."""
        chosen, left_out = with_texts(stories, context)
        if not chosen:
            return nothing(self.name, NO_TEXT)
        frames = context.looker.rows(self.images, [FrameItem(p) for story in chosen for p in story.pictures])
        texts = [text for story in chosen for text in story.texts(context.text)]
        rows = context.looker.rows(self.texts, [TextItem(text) for text in texts])
        ends = np.cumsum([len(story.pictures) for story in chosen])[:-1]
        values = np.split(100 * cosines(frames, rows), ends)
        others = np.roll(rows, len(chosen[0].pictures), axis=0) if len(chosen) > 1 else None
        control = None if others is None else float(100 * cosines(frames, others).mean())
        return over_frames(self.name, chosen, values, left_out, controls={"shuffled": control})


@dataclass(frozen=True)
class Rewards:
    """Mean reward of frames for their texts, over frames, then over stories."""

    name: str
    definition: str
    network: Network
    needs_reference: bool = False
    needs_equal_n: bool = False

    @property
    def networks(self) -> Sequence[Network]:
        """As :class:`..metric.Metric`."""
        return (self.network,)

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`."""
        chosen, left_out = with_texts(stories, context)
        if not chosen:
            return nothing(self.name, NO_TEXT)
        pairs = [
            PairItem(picture, text)
            for story in chosen
            for picture, text in zip(story.pictures, story.texts(context.text), strict=True)
        ]
        rows = context.looker.rows(self.network, pairs)[:, 0].astype(np.float64)
        values = np.split(rows, np.cumsum([len(story.pictures) for story in chosen])[:-1])
        return over_frames(self.name, chosen, values, left_out)


@dataclass(frozen=True)
class FrameScores:
    """Mean of ``score`` of a frame's row, over frames, then over stories."""

    name: str
    definition: str
    network: Network
    score: Callable[[Array], Array]  # rows [N, D] -> [N]
    needs_reference: bool = False
    needs_equal_n: bool = False

    @property
    def networks(self) -> Sequence[Network]:
        """As :class:`..metric.Metric`."""
        return (self.network,)

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`."""
        rows = context.looker.rows(self.network, [FrameItem(picture) for picture in stories.pictures])
        ends = np.cumsum([len(story.pictures) for story in stories.stories])[:-1]
        return over_frames(self.name, stories.stories, np.split(self.score(rows.astype(np.float64)), ends))


@dataclass(frozen=True)
class ClipScores:
    """Mean over clips of the first number of a clip's row. A clip has frames of one size, three or more."""

    name: str
    definition: str
    network: Network
    columns: Sequence[str] = field(default=())  # names of the row's other numbers
    notice: str = ""  # terms of the weights, printed with the figure
    needs_reference: bool = False
    needs_equal_n: bool = False

    @property
    def networks(self) -> Sequence[Network]:
        """As :class:`..metric.Metric`."""
        return (self.network,)

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`; stories that are not clips are left out."""
        chosen = [story for story in stories.stories if is_clip(story)]
        left_out = len(stories.stories) - len(chosen)
        remarks = [f"{left_out} stories have less than three frames of one size"] if left_out else []
        if not chosen:
            return nothing(self.name, remarks[0])
        rows = context.looker.rows(self.network, [ClipItem(story.pictures, story.fps) for story in chosen])
        values = rows[:, 0].astype(np.float64)
        over = mean_interval(values)
        small = sum(min(story.pictures[0].size) < SMALL for story in chosen)
        remarks += [f"{small} clips are enlarged to {SMALL} pixels a side"] if small else []
        remarks += [self.notice] if self.notice else []
        return Figure(
            self.name,
            over.value,
            over.low,
            over.high,
            stories=len(chosen),
            frames=sum(len(story.pictures) for story in chosen),
            by_story={story.name: float(value) for story, value in zip(chosen, values, strict=True)},
            details={name: rows[:, place].tolist() for place, name in enumerate(self.columns, 1)},
            remarks=tuple(remarks),
        )


def is_clip(story: Story) -> bool:
    """Has it three frames or more, of one size?"""
    return len(story.pictures) > 2 and len({picture.size for picture in story.pictures}) == 1


def with_texts(stories: StorySet, context: Context) -> tuple[list[Story], list[str]]:
    """Stories that have a text for each frame, and a remark on the others."""
    chosen = [one for one in stories.stories if len(one.texts(context.text)) == len(one.pictures)]
    missing = len(stories.stories) - len(chosen)
    return chosen, [f"{missing} stories have no text for each frame"] if missing else []


def over_frames(
    name: str,
    stories: Sequence[Story],
    values: Sequence[Array],
    remarks: Sequence[str] = (),
    controls: dict[str, float | None] | None = None,
) -> Figure:
    """The mean over frames of each story, then over stories."""
    means = np.array([one.mean() for one in values])
    over = mean_interval(means)
    return Figure(
        name,
        over.value,
        over.low,
        over.high,
        stories=len(stories),
        frames=sum(map(len, values)),
        by_story={story.name: float(mean) for story, mean in zip(stories, means, strict=True)},
        by_frame=curve(values),
        controls=controls or {},
        remarks=tuple(remarks),
    )

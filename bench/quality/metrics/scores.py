"""Metrics that are means of a score a frame or a clip: CLIP-sim, ImageReward, and four of VBench's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cosines import cosines
from ..items import ClipItem, PairItem, TextItem
from ..metric import Context, Figure, Metric, by_story
from ..network import Network
from ..sets.story_set import Story, StorySet
from ..statistics import mean_interval
from .consistency import curve

Array = NDArray[np.float64]
NO_TEXT = "no story has a text for each frame; give prompts.txt"
SMALL = 128  # pixels a side, below which clips are enlarged


@dataclass(frozen=True)
class ClipSim(Metric):
    """100 x the cosine of a frame's embedding and its text's; mean over frames, then stories. It is not cut at 0.

    ``network`` embeds frames, ``texts`` texts.
    """

    texts: Network

    @property
    def networks(self) -> Sequence[Network]:
        """Both."""
        return (self.network, self.texts)

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`; the control compares each frame with a text of the next story."""
        chosen, left_out = with_texts(stories, context)
        if not chosen:
            return self.nothing(NO_TEXT)
        texts = [TextItem(text) for story in chosen for text in story.texts(context.text)]
        rows = by_story(context.extractor.rows(self.texts, texts), chosen)
        frames = context.frame_rows(self.network, chosen)
        control = None
        if len(chosen) > 1:
            others = (
                np.resize(other, (len(own), other.shape[1]))
                for own, other in zip(rows, [*rows[1:], rows[0]], strict=True)
            )
            control = float(np.mean([value.mean() for value in similarities(frames, others)]))
        return over_frames(self.name, chosen, similarities(frames, rows), left_out, {"shuffled": control})


@dataclass(frozen=True)
class FrameScores(Metric):
    """Mean of the network's score of a frame, over ``scale``: over frames, then over stories."""

    scale: float = 1.0

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`."""
        rows = context.frame_rows(self.network, stories.stories)
        return over_frames(self.name, stories.stories, [one[:, 0].astype(np.float64) / self.scale for one in rows])


@dataclass(frozen=True)
class PairScores(Metric):
    """Mean of the network's score of a frame for its text, over frames, then over stories."""

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`."""
        chosen, left_out = with_texts(stories, context)
        if not chosen:
            return self.nothing(NO_TEXT)
        pairs = [
            PairItem(picture, text)
            for story in chosen
            for picture, text in zip(story.pictures, story.texts(context.text), strict=True)
        ]
        rows = context.extractor.rows(self.network, pairs)[:, 0].astype(np.float64)
        return over_frames(self.name, chosen, by_story(rows, chosen), left_out)


@dataclass(frozen=True)
class ClipScores(Metric):
    """Mean over clips of the first number of a clip's row. A clip has frames of one size, three or more.

    ``columns`` are names of the row's other numbers, ``notice`` the terms of the weights, printed with the figure.
    """

    columns: Sequence[str] = ()
    notice: str = ""

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`; stories that are not clips are left out."""
        chosen = [story for story in stories.stories if is_clip(story)]
        left_out = len(stories.stories) - len(chosen)
        remarks = [f"{left_out} stories have less than three frames of one size"] if left_out else []
        if not chosen:
            return self.nothing(remarks[0])
        rows = context.extractor.rows(self.network, [ClipItem(story.pictures, story.fps) for story in chosen])
        values = rows[:, 0].astype(np.float64)
        small = sum(min(story.pictures[0].size) < SMALL for story in chosen)
        remarks += [f"{small} clips are enlarged to {SMALL} pixels a side"] if small else []
        remarks += [self.notice] if self.notice else []
        return Figure(
            self.name,
            *mean_interval(values),
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


def similarities(frames: Iterable[ArrayLike], texts: Iterable[ArrayLike]) -> list[Array]:
    """100 x the cosine of each frame and its text, story by story."""
    return [100 * cosines(*both) for both in zip(frames, texts, strict=True)]


def over_frames(
    name: str,
    stories: Sequence[Story],
    values: Sequence[Array],
    remarks: Sequence[str] = (),
    controls: Mapping[str, float | None] | None = None,
) -> Figure:
    """The mean over frames of each story, then over stories."""
    means = np.array([one.mean() for one in values])
    return Figure(
        name,
        *mean_interval(means),
        stories=len(stories),
        frames=sum(map(len, values)),
        by_story={story.name: float(mean) for story, mean in zip(stories, means, strict=True)},
        by_frame=curve(values),
        controls=controls or {},
        remarks=tuple(remarks),
    )

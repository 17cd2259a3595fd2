"""Frame consistency: how alike neighbouring frames of a story are, with the controls without which it says little.

Blurred and repeated frames score higher than good ones, so three figures come with it: frames that repeat the first one
(the upper end), each frame followed by one of another story (what any two pictures of this kind have in common), and
the reference's own stories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cosines import cosines
from ..metric import Context, Figure, Metric
from ..sets.story_set import Story, StorySet
from ..statistics import mean_interval

Array = NDArray[np.float64]
Pairs = Callable[[Array], Array]  # rows of a story [F, D] -> a value for each pair [F - 1]


def consecutive(rows: Array) -> Array:
    """Cosine of each frame with the next (the paper's frame consistency; its mean over pairs is the story's)."""
    return cosines(rows[:-1], rows[1:])


def next_and_first(rows: Array) -> Array:
    """VBench's subject and background consistency (arXiv 2311.17982): half the cosine with the frame before and half
    that with the first frame, each at least 0."""
    before, first = cosines(rows[1:], rows[:-1]), cosines(rows[1:], rows[:1])
    return (np.maximum(before, 0) + np.maximum(first, 0)) / 2


@dataclass(frozen=True)
class Consistency(Metric):
    """Mean of ``pairs`` over a story's frames. Over stories it is the mean of stories, or, with ``over_pairs``, that of
    all pairs, as VBench has it."""

    pairs: Pairs = consecutive
    over_pairs: bool = False

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`; stories of one frame have no pairs and are left out."""
        longer = [story for story in stories.stories if len(story.pictures) > 1]
        if not longer:
            return self.nothing("no story of two or more frames")
        rows = self._rows(longer, context)
        values = [self.pairs(one) for one in rows]
        means = np.array([value.mean() for value in values])
        counts = np.array([len(value) for value in values])
        over = mean_interval(means, counts if self.over_pairs else None)
        left_out = len(stories.stories) - len(longer)
        return Figure(
            self.name,
            *over,
            stories=len(longer),
            frames=int(counts.sum()) + len(longer),
            by_story={story.name: float(mean) for story, mean in zip(longer, means, strict=True)},
            by_frame=curve(values),
            controls={
                "same frame": self._mean([np.repeat(one[:1], len(one), axis=0) for one in rows]),
                "shuffled": self._mean(shuffled(rows)) if len(rows) > 1 else None,
                "true pairs": self._true_pairs(context),
            },
            remarks=tuple(_remarks(len(longer), left_out)),
        )

    def _rows(self, stories: Sequence[Story], context: Context) -> list[Array]:
        return [rows.astype(np.float64) for rows in context.frame_rows(self.network, stories)]

    def _mean(self, rows: Sequence[Array]) -> float:
        values = [self.pairs(one) for one in rows]
        return float(np.concatenate(values).mean() if self.over_pairs else np.mean([v.mean() for v in values]))

    def _true_pairs(self, context: Context) -> float | None:
        """The same measure of the reference's stories; None where it has none."""
        stories = [] if context.reference is None else context.reference.stories
        several = [story for story in stories if len(story.pictures) > 1]
        return self._mean(self._rows(several, context)) if several else None


def _remarks(stories: int, left_out: int) -> list[str]:
    said = [f"{left_out} stories of one frame have no pairs"] if left_out else []
    alone = "one story: it has no interval, and no other story to be shuffled with"
    return [*said, alone] if stories == 1 else said


def shuffled(rows: Sequence[Array]) -> list[Array]:
    """Stories of which each frame comes from another story than the one before it: frame i of story s is frame i of
    story s + i, around."""
    shortest = min(len(one) for one in rows)
    return [
        np.stack([rows[(story + place) % len(rows)][place] for place in range(shortest)]) for story in range(len(rows))
    ]


def curve(values: Sequence[Array]) -> list[float]:
    """Mean over the stories that are that long, place by place."""
    longest = max(len(one) for one in values)
    return [float(np.mean([one[place] for one in values if len(one) > place])) for place in range(longest)]

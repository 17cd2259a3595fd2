"""Distances of a set of frames from a reference set: FID, KID and CMMD, each with its numbers of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..frechet import frechet_distance, moments, moments_distance
from ..kernel_distance import cubic, gaussian, grouped, kernel_sums
from ..metric import Context, Figure, Metric
from ..network import weights_of
from ..sets.story_set import StorySet
from ..statistics import Interval, spread_interval
from ..statistics_file import Statistics

Array = NDArray[np.floating[Any]]
SAMPLES = 1000  # resamples of a kernel distance
GROUPS = 256  # of neighbouring stories, drawn again together where there are more stories
FRECHET_SAMPLES, FRECHET_FRAMES = 200, 600  # resamples of a Frechet distance, and frames up to which they are computed


@dataclass(frozen=True)
class Frechet(Metric):
    """Frechet distance (FID with Inception's features). It falls as n grows, so that only distances of equal n compare.

    ``statistics`` are those of a file, in the place of the reference's frames.
    """

    statistics: Statistics | None = None

    @property
    def needs_reference(self) -> bool:
        """Not where a file has the statistics."""
        return self.statistics is None

    @property
    def needs_equal_n(self) -> bool:
        """Always."""
        return True

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`."""
        if len(stories.pictures) < 2:
            return self.nothing("a Frechet distance needs two frames at least")
        own = context.frame_rows(self.network, stories.stories)
        found, n = self._distance(own, context)
        frames = sum(map(len, own))
        return Figure(
            self.name,
            *found,
            stories=len(own),
            frames=frames,
            details={"reference_frames": n},
            remarks=tuple(_remarks(frames, n, own[0].shape[1], found)),
        )

    def _distance(self, own: list[Array], context: Context) -> tuple[Interval, int | None]:
        together = np.concatenate(own)
        if self.statistics is not None:
            return self._from_file(together, self.statistics)
        assert context.reference is not None, "the caller checks that there is a reference"
        others = context.frame_rows(self.network, context.reference.stories)
        reference = np.concatenate(others)
        value = frechet_distance(together, reference)
        if max(len(together), len(reference)) > FRECHET_FRAMES or min(len(own), len(others)) < 2:
            return Interval(value), len(reference)

        def resampled(rng: np.random.Generator) -> float:
            return frechet_distance(*(np.concatenate(_drawn(part, rng)) for part in (own, others)))

        return spread_interval(value, resampled, FRECHET_SAMPLES), len(reference)

    def _from_file(self, together: Array, found: Statistics) -> tuple[Interval, int | None]:
        """``ValueError`` where the file says that another network, or another resize, made it."""
        own = next(iter(weights_of(self.network).values()))
        for what, there, here in (
            ("weights", found.weights, own),
            ("resize", found.preprocessing, self.network.preprocessing),
        ):
            if there not in ("", here):
                raise ValueError(f"the reference's statistics are of {what} {there!r}, here it is {here!r}")
        return Interval(moments_distance(moments(together), found.moments)), found.moments.n


def _remarks(n: int, reference: int | None, width: int, found: Interval) -> list[str]:
    """Warnings for readers of a Frechet distance."""
    said = []
    if n != reference:
        number = "an unknown number of" if reference is None else f"{reference:,}"
        said.append(f"{n:,} frames against {number}: compare it with distances of the same two numbers alone")
    if n <= width:
        said.append(f"{n:,} frames for {width:,} features: far above the distance of many frames")
    if found.low is None:
        said.append(f"no interval: it takes two stories a side, and {FRECHET_FRAMES} frames at most")
    return said


@dataclass(frozen=True)
class KernelDistance(Metric):
    """KID, all pairs, unbiased; or CMMD, 1000 times the biased MMD^2 of normalised embeddings."""

    kind: Literal["kid", "cmmd"] = "kid"

    @property
    def needs_reference(self) -> bool:
        """Always; a file of statistics has no rows."""
        return True

    def measure(self, stories: StorySet, context: Context) -> Figure:
        """As :class:`..metric.Metric`."""
        if context.reference is None:
            return self.nothing("statistics of a file do not do; give --reference a folder of pictures")
        own, others = (context.frame_rows(self.network, one.stories) for one in (stories, context.reference))
        if min(sum(map(len, part)) for part in (own, others)) < 2:
            return self.nothing("it takes two frames a side at least")
        found = kernel_interval(own, others, self.kind)
        return Figure(
            self.name,
            *found,
            stories=len(own),
            frames=sum(map(len, own)),
            details={"reference_frames": sum(map(len, others))},
            remarks=() if found.low is not None else ("no interval: it takes two stories a side",),
        )


def kernel_interval(own: Sequence[Array], others: Sequence[Array], kind: Literal["kid", "cmmd"]) -> Interval:
    """The distance of two sets of stories' rows and its interval over stories of both."""
    own, others = (grouped(part, GROUPS) for part in (own, others))
    if kind == "cmmd":
        own, others = ([rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in part] for part in (own, others))
    sums, unbiased = kernel_sums(own, others, cubic if kind == "kid" else gaussian), kind == "kid"
    value = sums.distance(unbiased)
    if min(len(own), len(others)) < 2:
        return Interval(value)

    def resampled(rng: np.random.Generator) -> float:
        times = [np.bincount(rng.integers(0, n, n), minlength=n).astype(float) for n in (len(own), len(others))]
        return sums.distance(unbiased, *times)

    return spread_interval(value, resampled, SAMPLES)


def _drawn(stories: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    return [stories[number] for number in rng.integers(0, len(stories), len(stories))]

"""One variant runs all stories once, and everything about it is noted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...engine.memory import Memory
from ...engine.options import StoryOptions
from ...engine.outputs import Ran
from ...engine.request import StoryRequest
from ...engine.scheduler.run import frames_of
from ..simulator.simulated_memory import Simulated
from .energy import Meter
from .figures import FrameSample, RunSample
from .overlap import overlap
from .peak import Peak
from .sweeps import Point
from .variants import Variant

if TYPE_CHECKING:
    from ...engine.engine import Engine


class Measured(NamedTuple):
    """A run's sample, and what ran when (empty for a video)."""

    sample: RunSample
    timeline: Sequence[Ran]


def run_once(
    engine: Engine, point: Point, variant: Variant, stories: Sequence[StoryRequest], number: int, meter: Meter | None
) -> Measured:
    """Round ``number`` of ``variant``: all ``stories`` with their seeds; or as many frames of a video."""
    peak, before = Peak(engine.device), None if meter is None else meter.read()
    timeline: Sequence[Ran] = []
    if point.chunk_frames is not None:
        seconds, frames = _video(engine, point, variant, stories[0], point.chunk_frames)
    else:
        seconds, frames, timeline = _stories(engine, point, variant, stories)
    joules = None if meter is None or before is None else meter.joules(before, meter.read())
    memory, overlapped = (peak.rss_mib(), peak.cuda_mib()), overlap(timeline) if timeline else None
    return Measured(RunSample(number, seconds, tuple(frames), *memory, joules, overlapped), timeline)


def _stories(
    engine: Engine, point: Point, variant: Variant, stories: Sequence[StoryRequest]
) -> tuple[float, list[FrameSample], list[Ran]]:
    options = options_of(point, variant)
    run = engine.generate_many(stories, options=options, pipelining=variant.config, load_memory=_memory(point, variant))
    frames, begun = [], time.perf_counter()
    for event in frames_of(run.events()):
        since = time.perf_counter() - begun
        sample = FrameSample(event.request.id, event.frame.index, event.latency_ms, event.waited_ms, since)
        frames.append(sample)
    return time.perf_counter() - begun, frames, run.timeline


def _video(
    engine: Engine, point: Point, variant: Variant, story: StoryRequest, chunk_frames: int
) -> tuple[float, list[FrameSample]]:
    """A chunk's frames come together, so a chunk is a sample. The share of memory in it is unknown."""
    chunks = engine.stream_video(
        story.sentences[0],
        seed=story.seed,
        num_frames=VIDEO_FRAMES,
        chunk_frames=chunk_frames,
        options=options_of(point, variant),
    )
    frames: list[FrameSample] = []
    begun = last = time.perf_counter()
    for chunk in chunks:
        now = time.perf_counter()
        latency_ms = (now - last) * 1e3
        frames.append(FrameSample(story.id, chunk[0].index, latency_ms, None, now - begun, len(chunk)))
        last = now
    return last - begun, frames


VIDEO_FRAMES = 16


def options_of(point: Point, variant: Variant) -> StoryOptions:
    """The plain ARM asks no memory: nobody reads its prompts."""
    if variant.correction:
        return point.options
    silent = {f"memory_{name}": None for name in ("model", "url", "calls", "on_failure")}
    return point.options.replace(correction=False, memory="none", **silent)  # type: ignore[arg-type]


def _memory(point: Point, variant: Variant) -> Callable[[], Memory] | None:
    latency = point.latency_s
    return None if latency is None or not variant.correction else lambda: Simulated(latency)

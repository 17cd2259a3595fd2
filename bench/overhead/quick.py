"""Cost of the correction: plain ARM and ARM+ACDC on the same stories, alternating, in one process.

Robust figures: the median and the median absolute deviation (MAD, not scaled). The overhead ratio is taken chunk by
chunk (same story, same frame), so that slow chunks weigh no more than quick ones and a drift of the machine cancels.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from ...engine.options import StoryOptions
from ...engine.outputs import Phase

if TYPE_CHECKING:
    import torch

    from ...engine.engine import Engine

PLAIN, ACDC = "plain", "acdc"
VARIANTS = (PLAIN, ACDC)
TOTAL, OUTSIDE = "total", "outside_models"
MODELS = (Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE, Phase.SDEDIT, Phase.VQ_ENCODE)


class FrameTime(NamedTuple):
    """One measured chunk: ``wall_ms`` from the end of the chunk before it (or the story's start) to its own."""

    variant: str
    story: int
    frame: int
    wall_ms: float
    phases_ms: dict[str, float]


class Spread(NamedTuple):
    """Median and median absolute deviation."""

    median: float
    mad: float


@dataclass(frozen=True)
class Overhead:
    """All chunks in the order in which they ran, and the peak memory in MiB by variant."""

    chunks: tuple[FrameTime, ...]
    rss_mib: dict[str, float]
    cuda_mib: dict[str, float]


def spread(values: Sequence[float]) -> Spread:
    """Median and MAD of at least one value."""
    middle = median(values)
    return Spread(middle, median(abs(value - middle) for value in values))


def measure(
    engine: "Engine",
    stories: Sequence[Sequence[str]],
    options: StoryOptions,
    *,
    seed: int = 0,
    warmup: int = 1,
    on_story: Callable[[str, int], None] | None = None,
) -> Overhead:
    """Run every story both ways, ``warmup`` unmeasured rounds of the first story before that.

    Story i runs plain first when i is even and corrected first when it is odd, with seed ``seed`` + i both times.
    ``rss_mib`` is a high-water mark of the process: that of "plain" is read after the first plain run and before
    any corrected one. ``cuda_mib`` is reset before each run, and empty on a CPU.
    """
    choices = {PLAIN: options.replace(correction=False), ACDC: options.replace(correction=True)}
    chunks: list[FrameTime] = []
    rss: dict[str, float] = {}
    peak: dict[str, float] = {}
    for variant, number, measured in _schedule(len(stories), warmup):
        if on_story is not None:
            on_story(variant, number if measured else -1)
        _reset_cuda_peak(engine.device)
        ran = list(_run(engine, variant, number, stories[number], choices[variant], seed + number))
        chunks += ran if measured else []
        if engine.device.type == "cuda":
            peak[variant] = max(peak.get(variant, 0.0), _cuda_peak_mib(engine.device))
        if variant == ACDC or variant not in rss:
            rss[variant] = rss_peak_mib()
    return Overhead(tuple(chunks), rss, peak)


def summarise(chunks: Sequence[FrameTime]) -> dict[str, Any]:
    """Milliseconds a chunk by variant and phase, and the overhead ratios, ready for JSON.

    ``ratio`` is ACDC / plain of the chunks' totals, paired; ``ratio_of_sums`` divides the two sums. For a total,
    ``outside_models`` is what no model computed: memory by rules, bookkeeping of the cache, pictures.
    """
    rows = {variant: [chunk for chunk in chunks if chunk.variant == variant] for variant in VARIANTS}
    plain = {(chunk.story, chunk.frame): chunk.wall_ms for chunk in rows[PLAIN]}
    assert plain.keys() == {(chunk.story, chunk.frame) for chunk in rows[ACDC]}, "the variants ran the same chunks"
    ratios = [chunk.wall_ms / plain[chunk.story, chunk.frame] for chunk in rows[ACDC]]
    sums = {variant: sum(chunk.wall_ms for chunk in rows[variant]) for variant in VARIANTS}
    return {
        "chunks": len(plain),
        "phases_ms": {variant: _phase_spreads(rows[variant]) for variant in VARIANTS},
        "ratio": {**spread(ratios)._asdict(), "min": min(ratios), "max": max(ratios)},
        "ratio_of_sums": sums[ACDC] / sums[PLAIN],
    }


def rss_peak_mib() -> float:
    """The largest resident set of this process so far; 0 where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB


def _schedule(stories: int, warmup: int) -> Iterator[tuple[str, int, bool]]:
    """(variant, story, measured?) in running order; the very first run is a plain one."""
    for _ in range(warmup):
        yield from ((variant, 0, False) for variant in VARIANTS)
    for number in range(stories):
        order = VARIANTS if number % 2 == 0 else VARIANTS[::-1]
        yield from ((variant, number, True) for variant in order)


def _run(
    engine: "Engine", variant: str, number: int, sentences: Sequence[str], options: StoryOptions, seed: int
) -> Iterator[FrameTime]:
    begun = time.perf_counter()
    for frame in engine.stream(sentences, seed=seed, options=options):
        now = time.perf_counter()
        yield FrameTime(variant, number, frame.index, (now - begun) * 1e3, frame.phases_ms)
        begun = now


def _phase_spreads(chunks: Sequence[FrameTime]) -> dict[str, dict[str, float]]:
    columns = {phase.value: [chunk.phases_ms[phase.value] for chunk in chunks] for phase in Phase}
    columns[TOTAL] = [chunk.wall_ms for chunk in chunks]
    columns[OUTSIDE] = [chunk.wall_ms - sum(chunk.phases_ms[phase] for phase in MODELS) for chunk in chunks]
    return {name: spread(values)._asdict() for name, values in columns.items()}


def _reset_cuda_peak(device: "torch.device") -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _cuda_peak_mib(device: "torch.device") -> float:
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20

"""From samples to figures: percentiles, throughput, ratios of neighbours. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from .variants import PLAIN, PLAIN_OVERLAPPED

PERCENTILES = (50, 90, 99, 100)
LEAST = {90: 10, 99: 100}  # samples; of fewer the percentile is the largest


@dataclass(frozen=True)
class FrameSample:
    """A finished frame: ``latency_ms`` since the one before it (or since its story began), of which it waited for
    its prompt for ``waited_ms`` (None: unknown); ``at_s`` since the run began. In a video it is a chunk: its
    ``frames`` come together, and ``index`` is the first one's."""

    story: str
    index: int
    latency_ms: float
    waited_ms: float | None
    at_s: float
    frames: int = 1


@dataclass(frozen=True)
class RunSample:
    """One run of all stories by one variant. ``joules`` and ``overlap`` (``overlap.py``) are None where they are
    unknown."""

    round: int
    seconds: float
    frames: tuple[FrameSample, ...]
    rss_mib: float
    cuda_mib: float
    joules: float | None = None
    overlap: Mapping[str, float] | None = None

    @property
    def made(self) -> int:
        """Frames."""
        return sum(frame.frames for frame in self.frames)

    @property
    def seconds_a_frame(self) -> float:
        """Milliseconds of the whole run for each frame."""
        return self.seconds / self.made


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` % of the values do not exceed (nearest rank: a sample, not a mean).

    For [1, 2, 3, 4]: P50 = 2, P90 = 4, P100 = 4.
    """
    assert values, "no samples"
    assert 0 < percent <= 100, "a share in percent"
    rank = -(-len(values) * percent // 100)
    return sorted(values)[int(rank) - 1]


def resolvable(percent: int, samples: int) -> bool:
    """Do that many samples separate this percentile from the largest one?"""
    return samples >= LEAST.get(percent, 1)


def figures(runs: Sequence[RunSample]) -> dict[str, Any]:
    """One variant's figures, ready for JSON; None for what is not known."""
    frames = [frame for run in runs for frame in run.frames]
    latency = [frame.latency_ms for frame in frames]
    first = [frame.latency_ms for frame in frames if frame.index == 0]
    joules = [run.joules / run.made for run in runs if run.joules is not None]
    costs = [run.seconds_a_frame for run in runs]
    shown = {p: percentile(latency, p) if resolvable(p, len(latency)) else None for p in PERCENTILES}
    middle = percentile(latency, 50)
    return {
        "frames": sum(run.made for run in runs),
        "seconds_a_frame": median(costs),
        "seconds_a_frame_of_runs": costs,
        "frames_a_second": 1.0 / median(costs),
        "latency_samples": len(latency),
        "latency_ms": {f"P{p}": value for p, value in shown.items()},
        "jitter": {f"P{p}/P50": None if (value := shown[p]) is None else value / middle for p in (99, 100)},
        "first_frame_ms": {"of_a_story": median(first), "of_the_run": median(run.frames[0].at_s * 1e3 for run in runs)},
        **_exposed(frames),
        "overlap": _shares(runs),
        "peak_rss_mib": max(run.rss_mib for run in runs),
        "peak_cuda_mib": max(run.cuda_mib for run in runs),
        "joules_a_frame": median(joules) if joules else None,
    }


def _exposed(frames: Sequence[FrameSample]) -> dict[str, Any]:
    waited = [frame.waited_ms for frame in frames if frame.waited_ms is not None]
    if len(waited) < len(frames):
        return {"exposed_memory_ms": None, "exposed_memory_share": None}
    share = sum(waited) / sum(frame.latency_ms for frame in frames)
    return {
        "exposed_memory_ms": {"mean": sum(waited) / len(waited), "P100": max(waited)},
        "exposed_memory_share": share,
    }


def _shares(runs: Sequence[RunSample]) -> dict[str, float] | None:
    """Median overlap of the runs."""
    known = [run.overlap for run in runs if run.overlap is not None]
    return {kind: median(shares[kind] for shares in known) for kind in known[0]} if known else None


def ratios(runs: Sequence[RunSample], baseline: Sequence[RunSample]) -> dict[str, float]:
    """Seconds a frame over those of ``baseline``, of runs of the same round: the machine's drift cancels."""
    plain = {run.round: run.seconds_a_frame for run in baseline}
    found = [run.seconds_a_frame / plain[run.round] for run in runs]
    return {"median": median(found), "min": min(found), "max": max(found)}


def summarise(measured: Mapping[str, Sequence[RunSample]]) -> dict[str, dict[str, Any]]:
    """Figures of every variant with its overhead over the plain ARM batched at the same n; ``overhead_of_best`` is that
    over whichever way of running the plain ARM was quicker. All samples are kept."""
    found = {name: figures(runs) for name, runs in measured.items()}
    best = min((n for n in (PLAIN, PLAIN_OVERLAPPED) if n in found), key=lambda n: found[n]["seconds_a_frame"])
    for name, runs in measured.items():
        found[name]["overhead"] = ratios(runs, measured[PLAIN])
        found[name]["overhead_of_best"] = {**ratios(runs, measured[best]), "baseline": best}
        found[name]["samples"] = [{**asdict(run), "frames": [asdict(frame) for frame in run.frames]} for run in runs]
    return found

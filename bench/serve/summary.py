"""From outcomes to figures, and to the block that serving benchmarks print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..overhead.figures import percentile, resolvable
from .load import Load
from .outcome import Outcome

PERCENTILES = (50, 90, 99)
WIDTH, FIGURE = 58, 12
TITLES = {
    "time_to_first_partial_ms": "Time to First Partial",
    "time_to_first_frame_ms": "Time to First Frame",
    "frame_latency_ms": "Latency per Frame",
    "delivery_ms": "Delivery per Frame, from the Engine",
    "story_latency_ms": "End-to-End Latency",
    "queue_wait_ms": "Queue Wait",
    "held_back_ms": "Held Back by --max-concurrency",
}


def summarise(load: Load) -> dict[str, Any]:
    """All figures, ready for JSON. Latencies are those of successful requests, in milliseconds since they were sent."""
    done = [one for one in load.outcomes if one.succeeded]
    frames, seconds = sum(len(one.frames) for one in done), max(load.seconds, 1e-9)
    return {
        "completed": len(done),
        "failed": len(load.outcomes) - len(done),
        "frames": frames,
        "duration_s": load.seconds,
        "request_throughput": len(done) / seconds,
        "frame_throughput": frames / seconds,
        "peak_concurrent_requests": load.peak,
        **{name: spread(values) for name, values in samples(done).items()},
        "stage_durations_ms": stages(done),
        "errors": dict(Counter(one.error or "unfinished" for one in load.outcomes if not one.succeeded).most_common()),
    }


def samples(done: Sequence[Outcome]) -> dict[str, list[float]]:
    """Milliseconds of every kind, one a request; one a frame for its latency."""
    since = [(one, one.sent or 0.0) for one in done]
    seconds = {
        "time_to_first_partial_ms": [one.first_partial - sent for one, sent in since if one.first_partial is not None],
        "time_to_first_frame_ms": [one.frames[0] - sent for one, sent in since if one.frames],
        "frame_latency_ms": [value for one in done for value in one.frame_latencies()],
        "delivery_ms": [value for one in done for value in one.deliveries],
        "story_latency_ms": [(one.ended or 0.0) - sent for one, sent in since],
        "queue_wait_ms": [one.queue_wait_s for one in done if one.queue_wait_s is not None],
        "held_back_ms": [sent - one.due for one, sent in since],
    }
    return {name: [1e3 * value for value in values] for name, values in seconds.items()}


def stages(done: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Every stage's spread over the frames in which it ran."""
    frames = [frame for one in done for frame in one.stages_ms]
    names = dict.fromkeys(name for frame in frames for name in frame)
    ran = {name: [frame[name] for frame in frames if frame.get(name)] for name in names}
    return {name: spread(values) for name, values in ran.items() if values}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Number of samples, mean and percentiles; None for a percentile that so few samples do not separate from their
    largest one."""
    shown = {p: percentile(values, p) if values and resolvable(p, len(values)) else None for p in PERCENTILES}
    mean = sum(values) / len(values) if values else None
    largest = max(values, default=None)
    return {"samples": len(values), "mean": mean, **{f"P{p}": value for p, value in shown.items()}, "max": largest}


def block(figures: dict[str, Any], rate: float, most: int | None) -> Iterator[str]:
    """Lines to read, in the form that users of serving benchmarks know."""
    yield " Serving Benchmark Result ".center(WIDTH, "=")
    yield line("Successful requests", figures["completed"])
    yield line("Failed requests", figures["failed"])
    if most is not None:
        yield line("Maximum request concurrency", most)
    yield line("Request rate configured (req/s)", float(rate))
    yield line("Benchmark duration (s)", figures["duration_s"])
    yield line("Frames", figures["frames"])
    yield line("Request throughput (req/s)", figures["request_throughput"])
    yield line("Frame throughput (frames/s)", figures["frame_throughput"])
    yield line("Peak concurrent requests", figures["peak_concurrent_requests"])
    for name, title in TITLES.items():
        if figures[name]["samples"] and (name != "held_back_ms" or most is not None):
            yield from section(title, figures[name])
    if figures["stage_durations_ms"]:
        yield " Stage Durations, mean / P50 / P99 (ms) ".center(WIDTH, "-")
    for stage, found in figures["stage_durations_ms"].items():
        yield f"{stage + ':':<{WIDTH - 3 * FIGURE}}" + "".join(number(found[key]) for key in ("mean", "P50", "P99"))
    yield "=" * WIDTH
    yield from (f"{count} x {error}" for error, count in figures["errors"].items())


def section(title: str, found: dict[str, Any]) -> Iterator[str]:
    """One kind of latency."""
    yield f" {title} ".center(WIDTH, "-")
    yield line("Mean (ms)", found["mean"])
    yield from (line(f"P{p} (ms)", found[f"P{p}"]) for p in PERCENTILES)


def line(title: str, value: float | int | None) -> str:
    """A title and its figure."""
    return f"{title + ':':<{WIDTH - FIGURE}}{number(value)}"


def number(value: float | int | None) -> str:
    """A figure, right-aligned; a dash for one that there are too few samples for."""
    text = "-" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"
    return text.rjust(FIGURE)

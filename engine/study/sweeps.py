"""What a study measures: points, each a set of variants under equal conditions. No torch, nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..memory.simulated import check_latency
from ..policy import Pipelining
from ..story import StoryOptions
from .variants import PLAIN, SERIAL, Variant, all_variants, main_variants, one_slot

CONCURRENCY = "concurrency"
ALL = "all"  # frames are corrected
SECONDS = (0.0, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Point:
    """``variants`` at one setting. ``latency_s`` is that of a simulated language model (None: memory as the options
    say), ``backend`` another than the engine's, ``chunk_frames`` that of a video in the place of stories."""

    sweep: str
    value: Any
    concurrency: int
    options: StoryOptions
    variants: tuple[Variant, ...]
    latency_s: float | None = None
    backend: str | None = None
    chunk_frames: int | None = None

    @property
    def name(self) -> str:
        """Unique within a study."""
        return f"{self.sweep} {self.value}"

    def same_run(self, other: Point) -> bool:
        """Would it measure what ``other`` does?"""
        mine, its = ((p.options, p.latency_s, p.backend, p.chunk_frames) for p in (self, other))
        return mine == its and set(self.variants) <= set(other.variants)


@dataclass(frozen=True)
class Around:
    """The setting that sweeps vary one thing of. ``backend`` is as the user gave it."""

    options: StoryOptions
    concurrency: int
    base: Pipelining
    backend: str

    def point(self, sweep: str, value: Any, **changed: Any) -> Point:
        """The main variants with ``changed`` options."""
        variants = main_variants(self.concurrency, self.base)
        return Point(sweep, value, self.concurrency, replace(self.options, **changed), tuple(variants))


def concurrency_points(options: StoryOptions, counts: Iterable[int], base: Pipelining) -> list[Point]:
    """The main table: every variant at each concurrency."""
    return [Point(CONCURRENCY, n, n, options, tuple(all_variants(n, base))) for n in counts]


def _strength(around: Around) -> list[Point]:
    values = _with((0.3, 0.5, 0.7), around.options.strength)
    return [around.point("strength", value, strength=value) for value in values]


def _steps(around: Around) -> list[Point]:
    values = _with((10, 20, 50), around.options.num_inference_steps)
    return [around.point("steps", value, num_inference_steps=value) for value in values]


def _correct_first(around: Around) -> list[Point]:
    first = around.options.correct_first
    values = [*_with((1, 2), *([] if first is None else [first])), None]
    return [around.point("correct_first", ALL if k is None else k, correct_first=k) for k in values]


def _correct_every(around: Around) -> list[Point]:
    values = _with((1, 2, 3), around.options.correct_every)
    return [around.point("correct_every", value, correct_every=value) for value in values]


def _batch(around: Around) -> list[Point]:
    """Of both models; what the concurrency cannot fill is left out."""
    n, found = around.concurrency, []
    for value in [size for size in (1, 2, 4, 8, 16) if size <= n]:
        variants = main_variants(n, around.base, value)
        found.append(replace(around.point("batch", value), variants=tuple(variants)))
    return found


def _memory(around: Around) -> list[Point]:
    asked = around.options
    silent = {f"memory_{name}": None for name in ("model", "url", "calls", "on_failure")}
    found = [around.point("memory", kind, memory=kind, **silent) for kind in ("none", "rules") if kind != asked.memory]
    return sorted([*found, around.point("memory", asked.memory)], key=lambda point: str(point.value))


def _latency(around: Around) -> list[Point]:
    """A language model of that latency; without any, it is memory by rules."""
    found = []
    for seconds in SECONDS:
        point = around.point("latency", check_latency(seconds))
        is_there = seconds == 0 and around.options.memory == "rules"
        found.append(point if is_there else replace(point, latency_s=seconds))
    return found


def _backend(around: Around) -> list[Point]:
    values = dict.fromkeys((around.backend, "eager", "auto"))
    return [replace(around.point("backend", v), backend=None if v == around.backend else v) for v in values]


def _chunk_frames(around: Around) -> list[Point]:
    """Of videos, which are made one at a time: serial alone."""
    serial = one_slot(1)
    variants = (
        Variant(PLAIN, "plain ARM", serial, correction=False),
        Variant(SERIAL, "ACDC, serial", serial),
    )
    return [Point("chunk_frames", length, 1, around.options, variants, chunk_frames=length) for length in (4, 8, 16)]


SWEEPS: dict[str, Callable[[Around], list[Point]]] = {
    "strength": _strength,
    "steps": _steps,
    "correct_first": _correct_first,
    "correct_every": _correct_every,
    "chunk_frames": _chunk_frames,
    "batch": _batch,
    "memory": _memory,
    "latency": _latency,
    "backend": _backend,
}


def sweep_points(names: Sequence[str], around: Around) -> list[Point]:
    """The points of these sweeps; ``ValueError`` for a sweep that is unknown, or a value that cannot be."""
    for name in names:
        if name not in SWEEPS:
            raise ValueError(f"unknown sweep {name!r}; choose among {', '.join(SWEEPS)}")
    return [point for name in dict.fromkeys(names) for point in SWEEPS[name](around)]


def parse_counts(text: str) -> list[int]:
    """ "1,2,4" -> [1, 2, 4]; ``ValueError`` for what is no list of different positive integers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise ValueError(f"concurrency {text!r} is no list of counts; give some like 1,2,4")
    counts = sorted({int(part) for part in parts})
    if len(counts) != len(parts):
        raise ValueError(f"concurrency {text!r} names a count twice; give each once")
    return counts


def _with(values: Sequence[Any], *more: Any) -> list[Any]:
    return sorted({*values, *more})

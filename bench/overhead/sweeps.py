"""Points of a study: points, each a set of variants under equal conditions. No torch, nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ...engine.options import StoryOptions
from ...engine.scheduler.policy import SchedulerConfig
from ..simulator.simulated_memory import check_latency
from .variants import PLAIN, SERIAL, Variant, all_variants, enters, main_variants, one_slot

CONCURRENCY = "concurrency"
ALL = "all"  # frames are corrected
SECONDS = (0.0, 0.1, 0.3, 1.0)
COUNTS = (1, 2, 4)  # stories in flight, where nobody says


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

    def same_run(self, other: Point, frames: int) -> bool:
        """Would it measure what ``other`` does, for stories of up to that number of ``frames``?"""
        return self._work(frames) == other._work(frames) and set(self.variants) <= set(other.variants)

    def _work(self, frames: int) -> tuple[Any, ...]:
        """The corrected frames replace the rule that chooses them: of 2 frames correct_first 2 corrects
        those that correct_first 3 does."""
        corrected = tuple(self.options.corrects(index) for index in range(frames))
        every = self.options.replace(correct_first=None, correct_every=1)
        return every, corrected, self.latency_s, self.backend, self.chunk_frames


class Skipped(NamedTuple):
    """An impossible value of a sweep, and the reason."""

    sweep: str
    value: Any
    why: str


@dataclass(frozen=True)
class Around:
    """The setting that sweeps vary one thing of. ``backend`` is as the user gave it; ``check`` raises ``ValueError``
    for options with which a correction would run no step."""

    options: StoryOptions
    concurrency: int
    base: SchedulerConfig
    backend: str
    check: Callable[[StoryOptions], object]

    def point(self, sweep: str, value: Any, **changed: Any) -> Point:
        """The main variants with ``changed`` options."""
        variants, options = main_variants(self.concurrency, self.base), self.options.replace(**changed)
        self.check(options)
        return Point(sweep, value, self.concurrency, options, tuple(variants))

    def each(self, sweep: str, option: str, values: Iterable[Any]) -> list[Point | Skipped]:
        """A point for each value of an option; one that does not go with the other options is skipped."""
        found: list[Point | Skipped] = []
        for value in values:
            try:
                found.append(self.point(sweep, value, **{option: value}))
            except ValueError as error:
                found.append(Skipped(sweep, value, str(error)))
        return found


def concurrency_points(
    options: StoryOptions, counts: Iterable[int], base: SchedulerConfig, defaults: Mapping[str, Any]
) -> list[Point]:
    """The main table: every variant at each concurrency. ``defaults`` are the bundle's."""
    entering = enters(options.resolved(defaults))
    return [Point(CONCURRENCY, n, n, options, tuple(all_variants(n, base, entering))) for n in counts]


def _strength(around: Around) -> list[Point | Skipped]:
    return around.each("strength", "strength", _with((0.3, 0.5, 0.7), around.options.correction.strength))


def _steps(around: Around) -> list[Point | Skipped]:
    values = _with((10, 20, 50), around.options.correction.num_inference_steps)
    return around.each("steps", "num_inference_steps", values)


def _correct_first(around: Around) -> list[Point]:
    first = around.options.correction.first
    values = [*_with((1, 2), *([] if first is None else [first])), None]
    return [around.point("correct_first", ALL if k is None else k, correct_first=k) for k in values]


def _correct_every(around: Around) -> list[Point]:
    values = _with((1, 2, 3), around.options.correction.every)
    return [around.point("correct_every", value, correct_every=value) for value in values]


def _batch(around: Around) -> list[Point]:
    """Batch sizes of both models in ACDC; what the concurrency cannot fill is left out."""
    n, found = around.concurrency, []
    for value in [size for size in (1, 2, 4, 8, 16) if size <= n]:
        variants = main_variants(n, around.base, value)
        found.append(replace(around.point("batch", value), variants=tuple(variants)))
    return found


def _memory(around: Around) -> list[Point]:
    asked = around.options.memory.name
    silent = {f"memory_{name}": None for name in ("model", "url", "calls", "on_failure")}
    found = [around.point("memory", kind, memory=kind, **silent) for kind in ("none", "rules") if kind != asked]
    return sorted([*found, around.point("memory", asked)], key=lambda point: str(point.value))


def _latency(around: Around) -> list[Point]:
    """A language model of that latency; without any, it is memory by rules."""
    found = []
    for seconds in SECONDS:
        point = around.point("latency", check_latency(seconds))
        is_there = seconds == 0 and around.options.memory.name == "rules"
        found.append(point if is_there else replace(point, latency_s=seconds))
    return found


def _backend(around: Around) -> list[Point]:
    values = dict.fromkeys((around.backend, "eager", "auto"))
    return [replace(around.point("backend", v), backend=None if v == around.backend else v) for v in values]


def _chunk_frames(around: Around) -> list[Point]:
    """Points of videos, which are made one at a time: serial alone."""
    serial = one_slot(1)
    variants = (
        Variant(PLAIN, "plain ARM", serial, correction=False),
        Variant(SERIAL, "ACDC, serial", serial),
    )
    return [Point("chunk_frames", length, 1, around.options, variants, chunk_frames=length) for length in (4, 8, 16)]


SWEEPS: dict[str, Callable[[Around], Sequence[Point | Skipped]]] = {
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


def sweep_points(names: Sequence[str], around: Around, asked: bool) -> tuple[list[Point], list[Skipped]]:
    """The points of these sweeps, and what had to be skipped; ``ValueError`` for a sweep that is unknown, or, where
    these sweeps were ``asked`` for, for an impossible value."""
    for name in names:
        if name not in SWEEPS:
            raise ValueError(f"unknown sweep {name!r}; choose among {', '.join(SWEEPS)}")
    found = [one for name in dict.fromkeys(names) for one in SWEEPS[name](around)]
    skipped = [one for one in found if isinstance(one, Skipped)]
    if asked and skipped:
        raise ValueError(f"sweep {skipped[0].sweep}, value {skipped[0].value}: {skipped[0].why}")
    return [one for one in found if isinstance(one, Point)], skipped


def parse_counts(text: str | None, stories: int) -> list[int]:
    """ "1,2,4" -> [1, 2, 4]; None: those of the default that ``stories`` can fill. ``ValueError`` for what is not a
    list of different powers of two (launches have no other sizes: n = 3 would not be batched at 3) up to
    ``stories``."""
    powers = [2**k for k in range(stories.bit_length())]
    if text is None:
        return [n for n in COUNTS if n <= stories]
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise ValueError(f"concurrency {text!r} is not a list of counts; give some like 1,2,4")
    counts = sorted({int(part) for part in parts})
    if len(counts) != len(parts):
        raise ValueError(f"concurrency {text!r} names a count twice; give each once")
    choices = f"choose among {', '.join(map(str, powers))}"
    for n in counts:
        if n & (n - 1):
            raise ValueError(f"concurrency {n} is not a power of two, as launches are; {choices}")
        if n > stories:
            raise ValueError(f"concurrency {n} is more than there are stories; {choices}, or give --stories {n}")
    return counts


def _with(values: Sequence[Any], *more: Any) -> list[Any]:
    return sorted({*values, *more})

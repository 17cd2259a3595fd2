"""The study: points one after another, each predicted, measured, and set beside its floor; all of it one record."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..energy import find_meter
from ..many import for_device
from ..pipeline import make_policy
from ..story import StoryOptions
from ..timeline import Ran
from ..versions import versions
from .bounds import Floors
from .figures import summarise
from .measure import Runs, Say, make_stories, measure
from .peak import Peak
from .predict import Predictor, predictor
from .sweeps import Around, Point, concurrency_points, sweep_points
from .variants import OVERLAPPED, SERIAL

if TYPE_CHECKING:
    from ..engine import Engine

FORMAT = 1
DRAWN = (SERIAL, OVERLAPPED)  # whose timelines are kept


@dataclass(frozen=True)
class Plan:
    """Sizes of a study. ``frames`` bounds a story's sentences; ``backend`` is the engine's as the user gave it."""

    stories: int
    frames: int
    rounds: int
    seed: int
    concurrency: Sequence[int]
    sweeps: Sequence[str]
    backend: str


@dataclass
class Bench:
    """An engine with what is known of it."""

    engine: Engine
    predictor: Predictor
    floors: Floors


def points_of(plan: Plan, options: StoryOptions, engine: Engine) -> list[Point]:
    """Everything that is to be measured. ``ValueError`` for settings that cannot be."""
    base, most = for_device(None, engine.device), max(plan.concurrency)
    around = Around(options, most, base, plan.backend)
    return [*concurrency_points(options, plan.concurrency, base), *sweep_points(plan.sweeps, around)]


def run_study(
    engine: Engine,
    options: StoryOptions,
    plan: Plan,
    machine: Mapping[str, Any],
    reload: Callable[[str], Engine],
    say: Say,
    on_point: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Measure all points -> the record, ready for JSON. ``on_point`` gets it after each point, so far as it is then.

    ``reload`` loads the bundle with another backend. Raises ``ValueError`` before anything is measured.
    """
    points = points_of(plan, options, engine)
    if any(point.chunk_frames is not None for point in points):
        engine.models.arm.video_session(1, 1, make_policy(options.resolved(engine.defaults))).close()
    stories, found = make_stories(plan.stories, plan.frames, plan.seed), find_meter(engine.device)
    own = _bench(engine, options, plan, say)
    record: dict[str, Any] = {
        "format": FORMAT,
        "settings": {**engine.settings(options), **asdict(plan), "backend": engine.backend},
        "versions": versions(),
        "commit": commit(),
        "machine": machine,
        "rates": own.floors.rates._asdict(),
        "energy": found.told,
        "peak_memory_of": "each run" if Peak(engine.device).of_the_run else "the process so far",
        "stories": [{"id": story.id, "seed": story.seed, "sentences": story.sentences} for story in stories],
        "points": [],
        "timelines": [],
    }
    done: list[tuple[Point, dict[str, Any]]] = []
    for point in points:
        earlier = next((made for other, made in done if point.same_run(other)), None)
        if earlier is not None:
            record["points"].append(_again(point, earlier))
            continue
        try:
            bench = own if point.backend is None else _bench(reload(point.backend), options, plan, say)
        except ValueError as error:  # of a backend that cannot serve here
            record["points"].append({**_described(point, engine.backend), "refused": str(error), "variants": {}})
            continue
        runs = measure(bench.engine, point, stories, plan.rounds, found.meter, say)
        made = _row(bench, runs, [len(story.sentences) for story in stories], stories)
        done.append((point, made))
        record["points"].append(made)
        record["timelines"] += _timelines(runs)
        if on_point is not None:
            on_point(record)
    return record


def commit() -> str | None:
    """Of the source that runs; None where it is no checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _bench(engine: Engine, options: StoryOptions, plan: Plan, say: Say) -> Bench:
    say(f"{engine.backend}: rates of this machine, for the floors")
    resolved = options.resolved(engine.defaults)
    return Bench(engine, predictor(engine, resolved, max(plan.concurrency)), Floors.of(engine))


def _row(bench: Bench, runs: Runs, frames: Sequence[int], stories: Sequence[Any]) -> dict[str, Any]:
    """A measured point: figures, prediction and floor of each variant."""
    point, found = runs.point, summarise(runs.samples)
    for variant in point.variants:
        row = found[variant.name]
        row["title"], row["pipelining"] = variant.title, asdict(variant.how)
        row["prediction"] = bench.predictor.predict(point, variant, stories)
        row["floor_seconds_a_frame"] = bench.floors.seconds_a_frame(point, variant, frames)
        if row["prediction"] is not None:
            row["predicted_of_measured"] = row["prediction"]["seconds_a_frame"] / row["seconds_a_frame"]
    return {**_described(point, bench.engine.backend), "variants": {v.name: found[v.name] for v in point.variants}}


def _described(point: Point, backend: str) -> dict[str, Any]:
    names = ("sweep", "value", "concurrency", "latency_s", "chunk_frames")
    described = {name: getattr(point, name) for name in names}
    return {**described, "backend": backend, "options": asdict(point.options)}


def _again(point: Point, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """A sweep's central value is the main table's point: not measured twice; its samples stand there."""
    names = [variant.name for variant in point.variants]
    rows = {name: {k: v for k, v in earlier["variants"][name].items() if k != "samples"} for name in names}
    same = f"{earlier['sweep']} {earlier['value']}"
    return {**_described(point, earlier["backend"]), "same_as": same, "variants": rows}


def _timelines(runs: Runs) -> Iterator[dict[str, Any]]:
    for name in DRAWN:
        if ran := runs.timelines.get(name):
            yield {"point": runs.point.name, "variant": name, "ran": [_plain(one) for one in ran]}


def _plain(ran: Ran) -> dict[str, Any]:
    return {**ran._asdict(), "phase": ran.phase.value}

"""The study: points one after another, each predicted, measured, and compared with its floor; all of it one record."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.options import StoryOptions
from ...engine.outputs import Ran
from ...engine.request import StoryRequest
from ...engine.scheduler.policy import for_device
from ...engine.utils.to_one_line import one_line
from ...engine.utils.versions import versions
from .bounds import Floors
from .corrector_free import CorrectorFree
from .corrector_free import measure as measure_corrector_free
from .energy import find_meter
from .figures import summarise
from .measure import Runs, Say, make_stories, measure
from .peak import Peak
from .predict import Predictor, predictor
from .sweeps import Around, Point, Skipped, concurrency_points, sweep_points
from .variants import OVERLAPPED, SERIAL

if TYPE_CHECKING:
    from ...engine.engine import Engine

FORMAT = 2
DRAWN = (SERIAL, OVERLAPPED)  # whose timelines are kept


@dataclass(frozen=True)
class Plan:
    """Sizes of a study. ``frames`` bounds a story's sentences; ``backend`` is the engine's as the user gave it;
    ``asked`` says whether the user named the ``sweeps``: an impossible value of those is refused then, and else
    skipped. A model that is ``corrector_free`` is measured after them."""

    stories: int
    frames: int
    rounds: int
    seed: int
    concurrency: Sequence[int]
    sweeps: Sequence[str]
    backend: str
    asked: bool = True
    corrector_free: CorrectorFree | None = None


@dataclass
class Bench:
    """An engine with what is known of it."""

    engine: Engine
    predictor: Predictor
    floors: Floors


def points_of(plan: Plan, options: StoryOptions, engine: Engine) -> tuple[list[Point], list[Skipped]]:
    """Everything that is to be measured, and what is not. ``ValueError`` for impossible settings."""
    base, most = for_device(None, engine.device), max(plan.concurrency)
    swept, skipped = sweep_points(plan.sweeps, Around(options, most, base, plan.backend, engine.start), plan.asked)
    return [*concurrency_points(options, plan.concurrency, base, engine.defaults), *swept], skipped


def run_study(
    engine: Engine,
    options: StoryOptions,
    plan: Plan,
    machine: Mapping[str, Any],
    reload: Callable[[str], Engine],
    say: Say,
    on_point: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Measure all points -> the record, ready for JSON. ``on_point`` gets the unfinished record after each point.

    ``reload`` loads the bundle with another backend. Raises ``ValueError`` before anything is measured; a point that
    fails after that has the reason in its row, and the others are measured.
    """
    options = options.resolved(engine.defaults)
    points, skipped = points_of(plan, options, engine)
    if any(point.chunk_frames is not None for point in points):
        engine.models.arm.video_session(1, 1, options).close()
    stories, found = make_stories(plan.stories, plan.frames, plan.seed), find_meter(engine.device)
    for one in skipped:
        say(f"{one.sweep} {one.value} is left out: {one.why}")
    own = _bench(engine, options, plan, say)
    record: dict[str, Any] = {
        "format": FORMAT,
        "settings": {**engine.settings(options), **asdict(plan), "backend": engine.backend},
        "versions": versions(),
        "commit": commit(),
        "machine": machine,
        "rates": [_rates(own)],
        "energy": found.source,
        "peak_memory_of": Peak(engine.device).source,
        "stories": [{"id": story.id, "seed": story.seed, "sentences": story.sentences} for story in stories],
        "skipped": [one._asdict() for one in skipped],
        "costs": [],
        "points": [],
        "timelines": [],
    }
    longest = max(len(story.sentences) for story in stories)
    done: list[tuple[Point, dict[str, Any]]] = []
    for point in points:
        earlier = next((made for other, made in done if point.same_run(other, longest)), None)
        if earlier is not None:
            record["points"].append(_again(point, earlier))
            continue
        try:
            if point.backend is None:
                bench = own
            else:
                bench = _bench(reload(point.backend), options, plan, say)
                record["rates"].append(_rates(bench))
            record["costs"] += bench.predictor.prepare(point, stories)
            runs = measure(bench.engine, point, stories, plan.rounds, found.meter, say)
            made, timelines = _row(bench, runs, stories), list(_timelines(runs))
        except Exception as error:  # the next point may still be measured
            made, timelines = _failed(point, engine.backend, error), []
            say(f"{point.name} failed: {made['failed']}")
        done.append((point, made))
        record["points"].append(made)
        record["timelines"] += timelines
        if on_point is not None:
            on_point(record)
    if plan.corrector_free is not None:
        how = (engine.device, engine.settings(options)["dtype"], own.floors.rates, say)
        record["corrector_free"] = measure_corrector_free(plan.corrector_free, plan.concurrency, plan.rounds, *how)
    return record


def commit() -> str | None:
    """Commit of the source that runs; None outside of a checkout."""
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
    return Bench(engine, predictor(engine, options, max(plan.concurrency)), Floors.of(engine))


def _rates(bench: Bench) -> dict[str, Any]:
    return {"backend": bench.engine.backend, **bench.floors.rates._asdict()}


def _row(bench: Bench, runs: Runs, stories: Sequence[StoryRequest]) -> dict[str, Any]:
    """A measured point: figures, prediction and floor of each variant."""
    point, found, frames = runs.point, summarise(runs.samples), [len(story.sentences) for story in stories]
    for variant in point.variants:
        row = found[variant.name]
        row["title"], row["pipelining"] = variant.title, asdict(variant.config)
        row["prediction"] = bench.predictor.predict(point, variant, stories)
        row["floor_seconds_a_frame"] = bench.floors.seconds_a_frame(point, variant, frames)
        if row["prediction"] is not None:
            row["predicted_of_measured"] = row["prediction"]["seconds_a_frame"] / row["seconds_a_frame"]
    return {**_described(point, bench.engine.backend), "variants": {v.name: found[v.name] for v in point.variants}}


def _described(point: Point, backend: str) -> dict[str, Any]:
    names = ("sweep", "value", "concurrency", "latency_s", "chunk_frames")
    described = {name: getattr(point, name) for name in names}
    return {**described, "backend": backend, "options": point.options.flat()}


def _failed(point: Point, backend: str, error: Exception) -> dict[str, Any]:
    """A point without figures, and why in one line."""
    kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
    return {**_described(point, point.backend or backend), "failed": one_line(f"{kind}{error}"), "variants": {}}


def _again(point: Point, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Equal work is not measured twice: a sweep's central value is the main table's point. Its samples are there."""
    same = f"{earlier['sweep']} {earlier['value']}"
    if "failed" in earlier:
        return {**_described(point, earlier["backend"]), "failed": f"as {same}", "variants": {}}
    names = [variant.name for variant in point.variants]
    rows = {name: {k: v for k, v in earlier["variants"][name].items() if k != "samples"} for name in names}
    return {**_described(point, earlier["backend"]), "same_as": same, "variants": rows}


def _timelines(runs: Runs) -> Iterator[dict[str, Any]]:
    for name in DRAWN:
        if ran := runs.timelines.get(name):
            yield {"point": runs.point.name, "variant": name, "ran": [_plain(one) for one in ran]}


def _plain(ran: Ran) -> dict[str, Any]:
    return {**ran._asdict(), "phase": ran.phase.value}

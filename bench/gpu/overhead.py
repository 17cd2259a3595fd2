"""Cost of ACDC over the plain autoregressive model, on a GPU: stories side by side, one phase after another and
overlapped, each with its floor.

At n stories in flight these ways take turns (A B C D E, E D C B A, ...) on the same stories:

    plain               the ARM alone, n stories batched
    plain_overlapped    the ARM alone, run as "overlapped" is (where that has several slots)
    serial              ACDC, n stories batched, one phase after another
    overlapped          ACDC, n stories in flight, ARM of some while the diffusion model works on others
    overlapped_llm      the same with a simulated language model of 300 ms a call in the memory: how much of it shows

A video is made one at a time, so of it there are "plain" and "serial", n = 1. Published systems are made at full size
of noise: time does not depend on the values. Floors (``bench/overhead/bounds.py``) are counted for each n. The cost
model says each way's time beforehand where that is asked for: it takes minutes to calibrate on a large system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from ...engine.engine import Engine
from ...engine.loading.bundle_place import embedded_names
from ...engine.options import StoryOptions, make_options
from ...engine.request import StoryRequest
from ...engine.scheduler.policy import for_device
from ..overhead.bounds import Floors
from ..overhead.energy import Meter, find_meter
from ..overhead.figures import RunSample, summarise
from ..overhead.floors import Needs
from ..overhead.measure import make_stories, order
from ..overhead.predict import Predictor, predictor
from ..overhead.run import run_once
from ..overhead.sweeps import Point
from ..overhead.variants import OVERLAPPED, PLAIN, PLAIN_OVERLAPPED, SERIAL, Variant, all_variants
from .clip_floors import ClipFloors
from .clocks import watched
from .record import Output, Record, alive
from .stages import fresh_peak
from .systems import SYSTEMS as EVERY_SYSTEM
from .systems import WAYS, System

LLM, LATENCY_S = "overlapped_llm", 0.3
DEPTH = "show-o+sd15-depth"
COMPARED = (PLAIN, PLAIN_OVERLAPPED, SERIAL, OVERLAPPED)
# A ControlNet steers frames that have a depth map; and no corrector follows ACDiT.
SYSTEMS = [one for one in EVERY_SYSTEM if one.bundle != DEPTH and one.corrects]


class Size(NamedTuple):
    """Sizes of the measurement: ``counts`` of stories in flight, twice as many stories of ``frames`` frames,
    ``rounds``; and whether the cost model is to ``predict`` it."""

    counts: Sequence[int]
    frames: int
    rounds: int
    predict: bool = False


def run(systems: Sequence[System], way: str, device: str, dtype: str, size: Size, output: Output) -> dict[str, Any]:
    """Measure, a row a system and number of stories in flight."""
    energy = find_meter(torch.device(device))
    settings = {"way": way, "dtype": dtype, **size._asdict(), "latency_s": LATENCY_S}
    del settings["counts"]  # rows of their own: a file may be resumed with more of them
    record = Record(output, device, settings)
    record.found["energy"] = energy.source
    for system in systems:
        rows = Rows(system, way, device, dtype, size, energy.meter)
        for n in (1,) if system.frames else size.counts:
            record.add({"system": system.name, "way": way, "n": n}, partial(rows.row, n))
    return record.finish()


class Rows:
    """The rows of a system, which is loaded for the first of them."""

    def __init__(
        self, system: System, way: str, device: str, dtype: str, size: Size, meter: Meter | None = None
    ) -> None:
        self.system, self.device, self.size, self.meter = system, torch.device(device), size, meter
        noise = system.bundle not in embedded_names()
        self.how = {**WAYS[way], "device": device, "dtype": dtype, "random_weights": noise}
        sequential = way == "plain" and not system.bundle.startswith("show-o")
        self.options = make_options(**{**system.options, **({"decoding": "sequential"} if sequential else {})})
        self.loaded: Loaded | None = None

    def row(self, n: int) -> dict[str, Any]:
        """All ways at ``n`` stories in flight."""
        if self.loaded is None:
            fresh_peak(self.device.type)
            engine = Engine.from_pretrained(self.system.bundle, **self.how)
            self.loaded = load(engine, self.system, self.options, self.size)
        return self.measure(self.loaded, n)

    def measure(self, loaded: Loaded, n: int) -> dict[str, Any]:
        """Floors and predictions first; a warm-up of every way with all stories, since who meets whom decides which
        shapes there are; then rounds."""
        engine, ways = loaded.engine, ways_of(loaded.engine, self.system, self.options, n)
        stories = make_stories(2 * n, self.size.frames, seed=0)
        costs = [] if loaded.predictor is None else loaded.predictor.prepare(ways[0][0], stories)
        said = {variant.name: loaded.said(point, variant, stories) for point, variant in ways}
        for point, variant in ways:
            run_once(engine, point, variant, stories, 0, None)
            alive()
        samples = {variant.name: list[RunSample]() for _, variant in ways}
        points = {variant.name: point for point, variant in ways}
        with watched(self.device) as clocks:
            for number, variant in order([variant for _, variant in ways], self.size.rounds):
                ran = run_once(engine, points[variant.name], variant, stories, number, self.meter)
                samples[variant.name].append(ran.sample)
                alive()
        found = summarise(samples)
        for name, beforehand in said.items():
            found[name] |= beforehand
        rates, needs = loaded.floors.rates._asdict(), loaded.needs(self.options, n)
        return {"rates": rates, "needs": needs, "clocks": clocks, "costs": costs, "variants": found}


class Loaded(NamedTuple):
    """A system with what is known of it."""

    engine: Engine
    floors: Floors | ClipFloors
    predictor: Predictor | None

    def said(self, point: Point, variant: Variant, stories: Sequence[StoryRequest]) -> dict[str, Any]:
        """Before anything is measured: the floor of a way, and where that is asked for its prediction."""
        if isinstance(self.floors, ClipFloors):
            return {"floor_seconds_a_frame": self.floors.seconds_a_frame(variant)}
        lengths = [len(story.sentences) for story in stories]
        said: dict[str, Any] = {"floor_seconds_a_frame": self.floors.seconds_a_frame(point, variant, lengths)}
        return (
            said if self.predictor is None else said | {"prediction": self.predictor.predict(point, variant, stories)}
        )

    def needs(self, options: StoryOptions, n: int) -> list[dict[str, Any]]:
        """Counted needs of ACDC, ready for JSON: of the first and of a later frame of n stories; or of a clip's."""
        floors, resolved = self.floors, options.resolved(self.engine.defaults)
        counted: Sequence[Needs] = [floors.needs] if isinstance(floors, ClipFloors) else floors.needs(resolved, n)
        return [{phase.value: need._asdict() for phase, need in needs.items()} for needs in counted]


def load(engine: Engine, system: System, options: StoryOptions, size: Size) -> Loaded:
    """Facts that are known before the first row."""
    resolved = options.resolved(engine.defaults)
    if system.frames:
        given = {"num_inference_steps": resolved.correction.num_inference_steps, **system.options}
        return Loaded(engine, ClipFloors.of(engine, system, given), None)
    predicts = predictor(engine, resolved, max(size.counts)) if size.predict else None
    return Loaded(engine, Floors.of(engine), predicts)


def ways_of(engine: Engine, system: System, options: StoryOptions, n: int) -> list[tuple[Point, Variant]]:
    """Variants to compare, each with the point at which it runs."""
    made = all_variants(n, for_device(None, engine.device), enters=False)
    variants = {variant.name: variant for variant in made if variant.name in COMPARED}
    point = Point("concurrency", n, n, options, tuple(variants.values()))
    if system.frames:
        clip = replace(point, chunk_frames=system.frames)
        return [(clip, variants[PLAIN]), (clip, variants[SERIAL])]
    most = variants[OVERLAPPED]
    waiting = replace(most, name=LLM, title=f"{most.title}, LLM of {1e3 * LATENCY_S:.0f} ms")
    return [*((point, variant) for variant in variants.values()), (replace(point, latency_s=LATENCY_S), waiting)]


def line(row: Mapping[str, Any]) -> str:
    """A row in one line: frames a second, overheads with their floors and predictions, and the memory that shows."""
    if "failed" in row:
        return str(row["failed"])
    found = row["variants"]
    plain = found[PLAIN]
    said = [f"plain {plain['frames_a_second']:7.3f} frames/s"]
    for name in (PLAIN_OVERLAPPED, SERIAL, OVERLAPPED):
        if name in found:
            figures = f"floor {found[name]['floor_seconds_a_frame'] / plain['floor_seconds_a_frame']:.3f}x"
            if "prediction" in found[name]:
                ahead = found[name]["prediction"]["seconds_a_frame"] / plain["prediction"]["seconds_a_frame"]
                figures += f", predicted {ahead:.3f}x"
            said.append(f"{name} {found[name]['overhead']['median']:.3f}x ({figures})")
    if LLM in found:
        said.append(f"LLM shows {found[LLM]['exposed_memory_ms']['mean']:.1f} ms a frame")
    if (joules := found.get(OVERLAPPED, found[SERIAL])["joules_a_frame"]) is not None:
        said.append(f"{joules:.1f} J a frame, {plain['joules_a_frame']:.1f} J plain")
    return "  ".join(said)

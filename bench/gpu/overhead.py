"""What ACDC costs over the plain autoregressive model, on a GPU: stories side by side, one phase after another and
overlapped, each beside its floor.

At n stories in flight four ways take turns (A B C D, D C B A, ...) on the same stories:

    plain             the ARM alone, n stories batched
    serial            ACDC, n stories batched, one phase after another
    overlapped        ACDC, n stories in flight, ARM of some beside the diffusion model of others
    overlapped_llm    the same with a simulated language model of 300 ms a call in the memory: how much of it shows

A video is made one at a time, so of it there are the first two, n = 1. Published systems are made at full size of
noise: time does not depend on the values. Floors (``engine/floors.py``) are counted once for one story: products grow
with the stories, weights are read once for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...engine.atomic import check_directory, write_json
from ...engine.engine import Engine
from ...engine.floors import Need, Rates, floor, measure_rates
from ...engine.floors import count as count_story
from ...engine.many import for_device
from ...engine.story import Phase, StoryOptions
from ...engine.study.figures import RunSample, summarise
from ...engine.study.measure import make_stories, order
from ...engine.study.run import VIDEO_FRAMES, run_once
from ...engine.study.study import commit
from ...engine.study.sweeps import Point
from ...engine.study.variants import OVERLAPPED, PLAIN, SERIAL, Variant, main_variants
from ...engine.versions import versions
from .clocks import clocks
from .stages import fresh_peak, one_line
from .systems import WAYS, System, counted

LLM, LATENCY_S = "overlapped_llm", 0.3
COUNTED = 2  # frames of a video that is counted: the first, and one like all behind it
CORRECTOR = (Phase.CORRECT, Phase.ENCODE)
SYSTEMS = (
    System("storyworld", "storyworld", {}),
    System("Show-o 256 + SD 1.5 at 256", "show-o+sd15", {"correction_size": 256}),
    System("Show-o 256 + SD 1.5 at 512", "show-o+sd15", {"correction_size": 512}),
    System("LWM + SD 1.5 at 256", "lwm+sd15", {"correction_size": 256}),
    System("LWM + SD 1.5 at 512", "lwm+sd15", {"correction_size": 512}),
    System("LWM + AnimateDiff, 16 frames", "lwm+animatediff", {}, frames=VIDEO_FRAMES),
)


class Size(NamedTuple):
    """How much is measured: ``counts`` of stories in flight, twice as many stories of ``frames`` frames, ``rounds``."""

    counts: Sequence[int]
    frames: int
    rounds: int


class Floors(NamedTuple):
    """Of one system on one device: what a frame of one story needs by phase."""

    rates: Rates
    needs: Mapping[Phase, Need]

    def seconds_a_frame(self, variant: Variant, n: int) -> float:
        """Below which a way cannot come with n stories."""
        ran = {phase: need for phase, need in self.needs.items() if variant.correction or phase not in CORRECTOR}
        batched = {phase: Need(need.flops * n, need.bytes) for phase, need in ran.items()}
        return floor(batched, self.rates, variant.how.slots > 1) / n


def run(
    systems: Sequence[System], way: str, device: str, dtype: str, size: Size, seconds: float, out: Path
) -> dict[str, Any]:
    """Measure, and write ``out`` after every row. Nothing new is begun when ``seconds`` have passed."""
    check_directory(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "versions": versions(),
        "commit": commit(),
        "settings": {"way": way, "dtype": dtype, **size._asdict(), "latency_s": LATENCY_S},
        "rows": [],
        "not_reached": [],
    }
    for system in systems:
        rows = Rows(system, way, device, dtype, size)
        for n in (1,) if system.frames else size.counts:
            what = {"system": system.name, "way": way, "n": n}
            if time.perf_counter() - began > seconds:
                found["not_reached"].append(what)
            else:
                found["rows"].append(what | rows.row(n))
            write_json(out, found)
    return found


class Rows:
    """The rows of a system; it is loaded, and its floors are counted, for the first of them."""

    def __init__(self, system: System, way: str, device: str, dtype: str, size: Size) -> None:
        self.system, self.device, self.size = system, device, size
        self.how = {**WAYS[way], "device": device, "dtype": dtype, "random_weights": system.bundle != "storyworld"}
        sequential = way == "plain" and not system.bundle.startswith("show-o")
        self.options = StoryOptions(**{**system.options, **({"decoding": "sequential"} if sequential else {})})
        self.loaded: tuple[Engine, Floors] | None = None

    def row(self, n: int) -> dict[str, Any]:
        """All ways at ``n`` stories in flight; what fails is said, and ends nothing."""
        try:
            if self.loaded is None:
                fresh_peak(self.device)
                engine = Engine.from_pretrained(self.system.bundle, **self.how)
                self.loaded = engine, floors_of(engine, self.system, self.options)
            return self.measure(*self.loaded, n)
        except Exception as failure:  # the next row may still be measured
            return {"failed": one_line(failure)}

    def measure(self, engine: Engine, floors: Floors, n: int) -> dict[str, Any]:
        """Warm-up of every way with all stories, since who meets whom decides which shapes there are; then rounds."""
        ways = ways_of(engine, self.system, self.options, n)
        stories = make_stories(2 * n, self.size.frames, seed=0)
        for point, variant in ways:
            run_once(engine, point, variant, stories, 0, None)
        before, samples = clocks(self.device), {variant.name: list[RunSample]() for _, variant in ways}
        points = {variant.name: point for point, variant in ways}
        for number, variant in order([variant for _, variant in ways], self.size.rounds):
            ran = run_once(engine, points[variant.name], variant, stories, number, None)
            samples[variant.name].append(ran.sample)
        found = summarise(samples)
        for _, variant in ways:
            found[variant.name]["floor_seconds_a_frame"] = floors.seconds_a_frame(
                variant, 1 if self.system.frames else n
            )
        needs = {phase.value: need._asdict() for phase, need in floors.needs.items()}
        told = {
            "rates": floors.rates._asdict(),
            "needs": needs,
            "clocks": {"before": before, "after": clocks(self.device)},
        }
        return {**told, "variants": found}


def ways_of(engine: Engine, system: System, options: StoryOptions, n: int) -> list[tuple[Point, Variant]]:
    """What is compared, each with the point at which it runs."""
    plain, serial, overlapped = main_variants(n, for_device(None, engine.device))
    point = Point("concurrency", n, n, options, (plain, serial, overlapped))
    if system.frames:
        clip = replace(point, chunk_frames=system.frames)
        return [(clip, plain), (clip, serial)]
    waiting = replace(overlapped, name=LLM, title=f"{overlapped.title}, LLM of {1e3 * LATENCY_S:.0f} ms")
    return [(point, plain), (point, serial), (point, overlapped), (replace(point, latency_s=LATENCY_S), waiting)]


def floors_of(engine: Engine, system: System, options: StoryOptions) -> Floors:
    """Counted while the plain models, no plans, draw a story or a short clip."""
    rates, resolved = measure_rates(engine), options.resolved(engine.defaults)
    if not system.frames:
        return Floors(rates, count_story(engine, resolved, 1, rates.cache_bytes))
    plain = copy(engine)
    plain.models = engine.copies.loaded
    given = {"num_inference_steps": options.num_inference_steps, **system.options}
    runs = counted(plain, system._replace(frames=COUNTED), given)
    return Floors(rates, {phase: of_a_frame(phase, runs[phase], system.frames) for phase in runs})


def of_a_frame(phase: Phase, runs: Sequence[Any], frames: int) -> Need:
    """What a frame of a clip of ``frames`` needs on average, of runs for ``COUNTED`` of them: the ARM draws the first
    in its own way and all others alike; what comes behind it takes them together."""
    if phase in (Phase.PREFILL, Phase.DRAW):
        first, later = runs[0], runs[-1]
        return Need(*((a + (frames - 1) * b) // frames for a, b in zip(first, later, strict=True)))
    (whole,) = runs
    return Need(whole.flops // COUNTED, whole.bytes // frames)


def line(row: Mapping[str, Any]) -> str:
    """A row in one line: frames a second, overheads with their floors, and the memory that shows."""
    if "failed" in row:
        return str(row["failed"])
    found = row["variants"]
    said = [f"plain {found[PLAIN]['frames_a_second']:7.3f} frames/s"]
    for name in (SERIAL, OVERLAPPED):
        if name in found:
            least = found[name]["floor_seconds_a_frame"] / found[PLAIN]["floor_seconds_a_frame"]
            said.append(f"{name} {found[name]['overhead']['median']:.3f}x (floor {least:.3f}x)")
    if LLM in found:
        said.append(f"LLM shows {found[LLM]['exposed_memory_ms']['mean']:.1f} ms a frame")
    return "  ".join(said)

"""Many stories against one after another: ``python -m acdc.bench.many --out bench/results/many_cpu_DATE.json``.

In one process, with the same threads, backend and decoding: held-out stories by ``Engine.generate``, one after another
and warm, and by ``Engine.generate_many``; alternating (A B B A), and in each round with memory by rules and with a
language model that takes 300 ms a call. Then short stories by the thousand, while the process's memory is watched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click

from ..engine.engine import Engine
from ..engine.memory import Memory, load_memory
from ..engine.options import StoryOptions, make_options
from ..engine.pipeline.clock import Clock
from ..engine.pipeline.serial import SerialPipeline
from ..engine.request import StoryRequest
from ..engine.scheduler.policy import SchedulerConfig
from ..engine.scheduler.run import frames_of
from ..engine.utils.atomic import make_directory, write_json
from ..engine.utils.malloc import keep_freed_memory
from ..engine.utils.versions import versions
from .options import BUNDLE, DEVICE, OUT, STEPS
from .overhead.cli import machine
from .predict import FIRST_SEED, held_out
from .simulator.simulated_memory import Simulated

SETTLED = 300  # stories by which every shape has been met, with the longest sentence
HUNDRED = 100


def one_by_one(engine: Engine, stories: Sequence[StoryRequest], options: StoryOptions, latency_s: float) -> float:
    """Seconds a frame of the serial loop."""
    began = time.perf_counter()
    for story in stories:
        run = SerialPipeline(engine.models, [story], options, memory(latency_s))
        for _ in run.frames(Clock(engine.device)):
            pass
    return (time.perf_counter() - began) / frames(stories)


def together(
    engine: Engine, stories: Sequence[StoryRequest], options: StoryOptions, latency_s: float, config: SchedulerConfig
) -> tuple[float, float]:
    """Seconds a frame of the pipelined loop, and the share of a chunk's time in which it waited for its prompt."""
    began, waited, latency = time.perf_counter(), 0.0, 0.0
    run = engine.generate_many(stories, options=options, pipelining=config, load_memory=lambda: memory(latency_s))
    for made in frames_of(run.events()):
        waited, latency = waited + made.waited_ms, latency + made.latency_ms
    return (time.perf_counter() - began) / frames(stories), waited / latency


def compare(
    engine: Engine,
    stories: Sequence[StoryRequest],
    options: StoryOptions,
    latencies_ms: Sequence[int],
    config: SchedulerConfig,
    rounds: int,
) -> list[dict[str, Any]]:
    """Both ways at each latency, in rounds of A B B A; every sample is kept. What drifts, drifts for all latencies."""
    rows: list[dict[str, Any]] = [
        {"memory_ms": latency_ms, "serial_s_a_frame": [], "many_s_a_frame": [], "exposed_memory": []}
        for latency_ms in latencies_ms
    ]
    for turn in range(2 * rounds):
        ways = ("serial", "many") if turn % 2 == 0 else ("many", "serial")
        for row in rows if turn % 2 == 0 else rows[::-1]:
            for way in ways:
                sample(engine, stories, options, row, config, way)
    for row in rows:
        pairs = zip(row["serial_s_a_frame"], row["many_s_a_frame"], strict=True)
        row["ratios"] = [one / other for one, other in pairs]
        row["ratio"] = median(row["ratios"])
    return rows


def sample(
    engine: Engine,
    stories: Sequence[StoryRequest],
    options: StoryOptions,
    row: dict[str, Any],
    config: SchedulerConfig,
    way: str,
) -> None:
    """Run all stories once and note it in ``row``."""
    latency_s = row["memory_ms"] / 1e3
    if way == "serial":
        row["serial_s_a_frame"].append(one_by_one(engine, stories, options, latency_s))
    else:
        seconds, share = together(engine, stories, options, latency_s, config)
        row["many_s_a_frame"].append(seconds)
        row["exposed_memory"].append(share)


def watch_memory(engine: Engine, count: int, steps: int) -> dict[str, Any]:
    """Resident bytes after each of ``count`` stories of a sentence, the longest first: no larger shape comes later."""
    sentences = [story.sentences[0] for story in held_out(count)]
    longest = sorted(sentences, key=lambda text: len(engine.models.arm.encode(text)))[-SchedulerConfig().stories :]
    sentences = [*longest, *sentences][:count]
    requests = (StoryRequest(f"{number:06d}", (text,), number) for number, text in enumerate(sentences))
    samples: list[int] = []
    began = time.perf_counter()
    for _ in frames_of(engine.generate_many(requests, num_inference_steps=steps).events()):
        samples.append(resident_bytes())
    seconds = time.perf_counter() - began
    return {"stories": count, "seconds": seconds, **growth(samples), "samples": samples}


def growth(samples: Sequence[int]) -> dict[str, float]:
    """From the second hundred stories (``from_the_start``), and from those after the first ``SETTLED``, to the last
    hundred; medians of hundreds."""
    last = median(samples[-HUNDRED:])
    early, settled = (median(samples[at : at + HUNDRED]) for at in (HUNDRED, SETTLED))
    counts = {"hundred": HUNDRED, "settled_after": SETTLED}
    return {
        "from_the_start": last / early - 1,
        "growth": last / settled - 1,
        "settled": settled,
        "last": last,
        **counts,
    }


def resident_bytes() -> int:
    """Resident bytes of this process, now (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(latency_s: float) -> Memory:
    """By rules, or after that long."""
    return Simulated(latency_s) if latency_s else load_memory("rules")


def frames(stories: Sequence[StoryRequest]) -> int:
    """Frames of all stories."""
    return sum(len(story.sentences) for story in stories)


@click.command()
@BUNDLE
@DEVICE
@click.option("--backend", default="eager,openvino", show_default=True, help="One or several.")
@STEPS
@click.option("--stories", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True, help="Rounds of A B B A.")
@click.option("--memory-ms", type=int, multiple=True, default=(0, 300), show_default=True)
@click.option("--thousand", type=int, default=1000, show_default=True, help="Stories, 400 or more; 0: none.")
@OUT
def main(
    bundle: str,
    device: str,
    backend: str,
    steps: int,
    stories: int,
    rounds: int,
    memory_ms: Sequence[int],
    thousand: int,
    out: Path,
) -> None:
    """Measure what the pipelined loop gains over the serial one."""
    if 0 < thousand < SETTLED + HUNDRED or thousand < 0:
        raise click.BadParameter(f"--thousand {thousand} is too few; choose 0, or {SETTLED + HUNDRED} and more")
    keep_freed_memory()
    make_directory(out.parent)
    requests, config = held_out(stories), SchedulerConfig()
    record: dict[str, Any] = {
        "versions": versions(),
        "machine": machine(),
        "stories": {"count": stories, "frames": frames(requests), "first_seed": FIRST_SEED},
        "rounds": rounds,
        "pipelining": asdict(config),
        "backends": [],
    }
    for name in backend.split(","):
        engine = Engine.from_pretrained(bundle, device=device, backend=name)
        options = make_options(num_inference_steps=steps).resolved(engine.defaults)
        warm_up(engine, requests, options, config)
        rows = compare(engine, requests, options, memory_ms, config, rounds)
        group: dict[str, Any] = {"settings": engine.settings(options), "options": options.flat(), "rows": rows}
        record["backends"].append(group)
        for row in rows:
            click.echo(line(name, row))
        write_json(out, record)
        if thousand and name == backend.split(",")[0]:
            group["memory"] = watch_memory(engine, thousand, 4)
            found = group["memory"]
            click.echo(
                f"{name}: memory grew by {found['growth']:.2%} after story {SETTLED} of {thousand}, "
                f"{found['from_the_start']:.2%} since the second hundred"
            )
            write_json(out, record)


def warm_up(engine: Engine, stories: Sequence[StoryRequest], options: StoryOptions, config: SchedulerConfig) -> None:
    """Both loops see every shape: whole stories, as many as are in flight at once and fewer."""
    one_by_one(engine, stories[:1], options, 0.0)
    for count in (1, 2, len(stories)):
        together(engine, stories[:count], options, 0.0, config)


def line(backend: str, row: dict[str, Any]) -> str:
    """One row, to read."""
    serial, many = median(row["serial_s_a_frame"]), median(row["many_s_a_frame"])
    return (
        f"{backend}, memory {row['memory_ms']:.0f} ms: {serial:.3f} s a frame one by one, {many:.3f} together: "
        f"{row['ratio']:.2f} times ({min(row['ratios']):.2f} to {max(row['ratios']):.2f}); "
        f"memory exposed {median(row['exposed_memory']):.2%} of a chunk"
    )


if __name__ == "__main__":
    main()

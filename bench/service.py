"""The service against the engine alone: ``python -m acdc.bench.service --out bench/results/service_cpu_DATE.json``.

The same stories, seeds and options, on the same machine: by ``Engine.generate_many`` in this process, before and after;
by ``acdc serve`` under the load of ``acdc bench serve`` at a share of that rate, and with all stories at once. Then one
story alone, whose frames are followed to a client and, where Chromium is installed, to the page.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import click

from ..engine.engine import Engine
from ..engine.options import StoryOptions
from ..engine.request import StoryRequest
from ..engine.scheduler.run import frames_of
from ..engine.utils.atomic import make_directory, write_json
from ..engine.utils.malloc import keep_freed_memory
from ..engine.utils.versions import versions
from .options import BUNDLE, OUT
from .overhead.cli import machine
from .serve.arrivals import arrivals
from .serve.client import open_client
from .serve.load import Load, run_load
from .serve.outcome import Prompt
from .serve.prompts import prompts_of, read_dataset
from .serve.stories import StoriesEndpoint
from .serve.summary import spread, summarise
from .service_page import frames_in_page
from .service_process import Served
from .service_table import service_table

WARM = 7  # stories, one of each length and wording
ALONE = 4  # stories, one after another


def offline(engine: Engine, prompts: Sequence[Prompt]) -> tuple[float, float]:
    """Frames a second of ``generate_many``, which makes the drafts that the service shows, and seconds of processors a
    frame, which mean something on a machine that others use, too."""
    requests = [StoryRequest(f"{one.number:04d}", one.sentences, one.seed, partial_images=1) for one in prompts]
    began, taken = time.perf_counter(), time.process_time()
    count = sum(1 for _ in frames_of(engine.generate_many(requests).events()))
    return count / (time.perf_counter() - began), (time.process_time() - taken) / count


def times_of(count: int, rate: float) -> tuple[float, ...]:
    """Poisson arrivals that take as long as ``count`` of them take on average: a drawn rate is off by 1 / sqrt(count),
    and would be compared with the rate that was asked for."""
    drawn = arrivals(count, rate, 0)
    return tuple(time * count / rate / drawn[-1] for time in drawn) if drawn[-1] else drawn


def loaded(url: str, prompts: Sequence[Prompt], rate: float, most: int | None = None) -> Load:
    """Outcomes of ``prompts`` at ``rate`` requests a second; ``ValueError`` where one fails."""

    async def run(load: Load) -> None:
        async with open_client(url, None) as client:
            send = StoriesEndpoint(client, {}).send
            await run_load(send, prompts, times_of(len(prompts), rate), most, load, lambda _: None)

    load = Load()
    asyncio.run(run(load))
    if failed := [one.error for one in load.outcomes if not one.succeeded]:
        raise ValueError(f"{len(failed)} of {len(prompts)} stories failed: {failed[0]}")
    return load


def figures(load: Load, offline_rate: float) -> dict[str, Any]:
    """The load's figures, with its share of the offline rate."""
    found = summarise(load)
    requests = [one.record() for one in load.outcomes]
    return {**found, "share_of_offline": found["frame_throughput"] / offline_rate, "requests": requests}


@click.command()
@BUNDLE
@click.option("--stories", type=click.IntRange(min=7), default=56, show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0.1, 1),
    default=0.98,
    show_default=True,
    help="Share of the offline rate that is sent.",
)
@OUT
def main(bundle: str, stories: int, share: float, out: Path) -> None:
    """Measure what the way over HTTP costs."""
    keep_freed_memory()
    make_directory(out.parent)
    prompts = prompts_of(read_dataset(None), stories, 0, whole=True)
    warm = prompts_of(read_dataset(None), WARM, 1 << 20, whole=True)
    frames = sum(len(one.sentences) for one in prompts)
    engine = Engine.from_pretrained(bundle)
    offline(engine, warm)
    alone_runs = [offline(engine, prompts)]
    first_rate = alone_runs[0][0]
    click.echo(f"generate_many: {first_rate:.2f} frames a second")
    with tempfile.TemporaryDirectory() as folder, Served(bundle, Path(folder)) as served:
        loaded(served.url, warm, inf)
        taken = served.processor_seconds()
        poisson = loaded(served.url, prompts, share * first_rate * stories / frames)
        at_once = loaded(served.url, prompts, inf)
        served_cost = (served.processor_seconds() - taken) / (2 * frames)
        alone = loaded(served.url, warm[:ALONE], inf, most=1)
        page = frames_in_page(served.url, [list(one.sentences) for one in warm[:ALONE]])
    alone_runs.append(offline(engine, prompts))
    rates, costs = zip(*alone_runs, strict=True)
    rate = median(rates)
    record: dict[str, Any] = {
        "versions": versions(),
        "machine": machine(),
        "settings": engine.settings(StoryOptions()),
        "stories": stories,
        "frames": frames,
        "share": share,
        "offline_frames_a_second": rates,
        "processor_s_a_frame": {"offline": costs, "service": served_cost},
        "poisson": figures(poisson, rate),
        "at_once": figures(at_once, rate),
        "alone": figures(alone, rate),
        "page_delivery_ms": None if page is None else {**spread(page), "samples_ms": page},
    }
    write_json(out, record)
    click.echo(service_table(out.name, record))


if __name__ == "__main__":
    main()

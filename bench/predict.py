"""Simulated against measured: ``python -m acdc.bench.predict --out bench/results/predict_cpu_DATE.json``.

For each number of slots a cost model is measured (``engine/prediction/calibrate.py``) on held-out stories of 3 to 6
sentences. Then as many others, of the same lengths and with other seeds, are drawn by ``Engine.generate_many``, after a
few that are not counted, and simulated from that model: at every batch, with and without a language model's latency.
The ratio is frames per second, predicted / measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click

from ..engine.atomic import check_directory, write_json
from ..engine.commands.overhead import machine
from ..engine.engine import Engine
from ..engine.many import frames_of
from ..engine.memory.simulated import Simulated
from ..engine.policy import Pipelining, batch
from ..engine.prediction.calibrate import calibrate
from ..engine.prediction.cost_model import CostModel
from ..engine.prediction.simulator import ranked, simulate
from ..engine.request import StoryRequest
from ..engine.scheduler import walks_of
from ..engine.story import Phase, StoryOptions
from ..engine.versions import versions
from .numbers import numbers
from .options import BUNDLE, DEVICE, OUT, STEPS
from .storyworld.world.grammar import sample_story

FIRST_SEED = 200_000
CALIBRATED_ON = 300_000  # of stories that are drawn for the cost model alone
LENGTHS = (3, 4, 5, 6)
SHARES = (0.5, 0.9, 0.99, 1.0)
WARM_SENTENCES = 2  # shapes of the second frame are those of all behind it


def held_out(count: int, first_seed: int = FIRST_SEED) -> list[StoryRequest]:
    """Stories of 3, 4, 5, 6, 3, ... sentences with seeds of their own; other stories from another ``first_seed`` on."""
    lengths = (LENGTHS[number % len(LENGTHS)] for number in range(count))
    told = [sample_story(first_seed + number, "heldout", length) for number, length in enumerate(lengths)]
    return [StoryRequest(f"{number:04d}", story.sentences, number) for number, story in enumerate(told)]


def pipelining(slots: int, size: int) -> Pipelining:
    """So many slots, and launches of ``size`` stories."""
    return Pipelining(slots=slots, draw_batch=size, correct_batch=size)


def check_sizes(slots: Sequence[int], sizes: Sequence[int], stories: int) -> None:
    """``click.BadParameter`` for a launch that never occurs: the policy takes powers of two, and no more than a slot's
    share of what is in flight."""
    for count, size in product(slots, sizes):
        try:
            how = pipelining(count, size)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        in_flight = min(stories, how.stories)
        choices = sorted(
            {batch(in_flight, Phase.DRAW, in_flight, pipelining(count, n)) for n in range(1, 1 + in_flight)}
        )
        if size not in choices:
            among = ", ".join(map(str, choices))
            raise click.BadParameter(
                f"--batches {size} does not occur with {count} slots and {in_flight} stories in flight; "
                f"choose among {among}"
            )


def measure(
    engine: Engine, stories: Sequence[StoryRequest], options: StoryOptions, how: Pipelining, latency_s: float
) -> dict[str, Any]:
    """The figures of a run over ``stories``, warm; times in seconds."""
    memory, latencies, waited = partial(Simulated, latency_s), list[float](), 0.0
    short = [StoryRequest(story.id, story.sentences[:WARM_SENTENCES], story.seed) for story in stories]
    for _ in frames_of(engine.generate_many(short[: how.stories], options=options, pipelining=how).events()):
        pass
    run = engine.generate_many(stories, options=options, pipelining=how, load_memory=memory)
    began = time.perf_counter()
    for made in frames_of(run.events()):
        latencies.append(made.latency_ms / 1e3)
        waited += made.waited_ms / 1e3
    return figures(time.perf_counter() - began, latencies, waited)


def predict(
    costs: CostModel, stories: Sequence[StoryRequest], options: StoryOptions, how: Pipelining, latency_s: float
) -> dict[str, Any]:
    """The same figures, simulated."""
    frames, walks = [len(story.sentences) for story in stories], walks_of(options, how)
    run = simulate(costs, frames, walks, how, memory_s=costs.memory_s + latency_s)
    return figures(run.seconds, run.latencies, run.exposed_memory_s)


def figures(seconds: float, latencies: Sequence[float], waited: float) -> dict[str, Any]:
    """Of a run, ready for JSON; times in seconds, waiting as a share of the chunks' time."""
    return {
        "seconds": seconds,
        "frames_per_second": len(latencies) / seconds,
        "latency": {f"P{share * 100:g}": ranked(latencies, share) for share in SHARES},
        "exposed_memory": waited / sum(latencies),
    }


def compare(
    engine: Engine,
    options: StoryOptions,
    stories: Sequence[StoryRequest],
    batches: Sequence[int],
    latencies_ms: Sequence[int],
    slots: int,
    repeats: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """All configurations of so many slots, from one cost model."""
    others = [story.sentences for story in held_out(len(stories), CALIBRATED_ON)]
    say(f"{slots} slots: calibrating")
    began = time.perf_counter()
    costs = calibrate(engine, options, pipelining(slots, max(batches)), stories=others, repeats=repeats)
    record: dict[str, Any] = {"slots": slots, "calibrated_in": time.perf_counter() - began, "costs": costs.to_dict()}
    record["rows"] = []
    for size, latency_ms in product(batches, latencies_ms):
        how = pipelining(slots, size)
        asked = (stories, options, how, latency_ms / 1e3)
        measured, predicted = measure(engine, *asked), predict(costs, *asked)
        ratio = predicted["frames_per_second"] / measured["frames_per_second"]
        row = {"batch": size, "memory_ms": latency_ms, "ratio": ratio}
        record["rows"].append({**row, "measured": measured, "predicted": predicted})
        say(line(slots, row, measured, predicted))
    return record


def line(slots: int, row: dict[str, Any], measured: dict[str, Any], predicted: dict[str, Any]) -> str:
    """One configuration, to read."""
    rates, tails = ([run[key] for run in (measured, predicted)] for key in ("frames_per_second", "latency"))
    return (
        f"{slots} slots, batch {row['batch']}, memory {row['memory_ms']:3} ms: frames/s {rates[0]:.3f} measured, "
        f"{rates[1]:.3f} predicted, ratio {row['ratio']:.3f}; "
        f"P50 {tails[0]['P50']:.2f} and {tails[1]['P50']:.2f} s; "
        f"memory exposed {measured['exposed_memory']:.1%} and {predicted['exposed_memory']:.1%}"
    )


@click.command()
@BUNDLE
@DEVICE
@click.option("--backend", default="eager", show_default=True)
@STEPS
@click.option("--stories", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--slots", callback=numbers, default="1,2", show_default=True)
@click.option("--batches", callback=numbers, default="1,2,4", show_default=True)
@click.option("--memory-ms", callback=numbers, default="0,300", show_default=True, help="Latencies of memory calls.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Of each measured launch.")
@OUT
def main(
    bundle: str,
    device: str,
    backend: str,
    steps: int,
    stories: int,
    slots: Sequence[int],
    batches: Sequence[int],
    memory_ms: Sequence[int],
    repeats: int,
    out: Path,
) -> None:
    """Predict the throughput of many stories, measure it, and print both."""
    check_sizes(slots, batches, stories)
    check_directory(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    engine = Engine.from_pretrained(bundle, device=device, backend=backend)
    options = StoryOptions(num_inference_steps=steps).resolved(engine.defaults)
    told, groups = held_out(stories), list[dict[str, Any]]()
    seeds = {"first_seed": FIRST_SEED, "calibrated_on": CALIBRATED_ON}
    record = {
        "versions": versions(),
        "machine": machine(),
        "settings": engine.settings(options),
        "stories": {"count": stories, "frames": sum(len(story.sentences) for story in told), **seeds},
        "groups": groups,
    }
    for count in slots:
        groups.append(compare(engine, options, told, batches, memory_ms, count, repeats, click.echo))
        write_json(out, record)
    off = [abs(row["ratio"] - 1) for group in groups for row in group["rows"]]
    click.echo(f"predicted / measured is {max(off):.1%} off at most, over {len(off)} configurations")


if __name__ == "__main__":
    main()

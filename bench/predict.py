"""Simulated against measured: ``python -m acdc.bench.predict --out bench/results/predict_cpu_DATE.json``.

For each number of slots a cost model is measured (``bench/simulator/calibrate.py``) on held-out stories of 3 to 6
sentences. Then as many others, of the same lengths and with other seeds, are drawn by ``Engine.generate_many``, after a
few that are not counted, and simulated from that model: at every batch, with and without a language model's latency;
then in the other order, with a new model. The ratio is frames per second, predicted / measured: of the medians over the
turns, and turn by turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

import click

from ..engine.engine import Engine
from ..engine.options import StoryOptions, make_options
from ..engine.outputs import Phase
from ..engine.request import StoryRequest
from ..engine.scheduler.policy import SchedulerConfig, batch
from ..engine.scheduler.run import frames_of
from ..engine.scheduler.scheduler import phase_schedule
from ..engine.utils.atomic import make_directory, write_json
from ..engine.utils.malloc import keep_freed_memory
from ..engine.utils.versions import versions
from .numbers import numbers
from .options import BUNDLE, DEVICE, OUT, STEPS
from .overhead.cli import machine
from .simulator.calibrate import calibrate
from .simulator.cost_model import CostModel
from .simulator.simulated_memory import Simulated
from .simulator.simulator import ranked, simulate
from .storyworld.world.grammar import sample_story

_rate = itemgetter("frames_per_second")

FIRST_SEED = 200_000
CALIBRATED_ON = 300_000  # of stories that are drawn for the cost model alone
LENGTHS = (3, 4, 5, 6)
SHARES = (0.5, 0.9, 0.99, 1.0)
WARM_SENTENCES = 2  # shapes of the second frame are those of all later ones


def held_out(count: int, first_seed: int = FIRST_SEED) -> list[StoryRequest]:
    """Stories of 3, 4, 5, 6, 3, ... sentences with seeds of their own; other stories from another ``first_seed`` on."""
    lengths = (LENGTHS[number % len(LENGTHS)] for number in range(count))
    requests = [sample_story(first_seed + number, "heldout", length) for number, length in enumerate(lengths)]
    return [StoryRequest(f"{number:04d}", story.sentences, number) for number, story in enumerate(requests)]


def pipelining(slots: int, size: int) -> SchedulerConfig:
    """So many slots, and launches of ``size`` stories."""
    return SchedulerConfig(slots=slots, draw_batch=size, correct_batch=size)


def check_sizes(slots: Sequence[int], sizes: Sequence[int], stories: int) -> None:
    """``click.BadParameter`` for a launch that never occurs: the policy takes powers of two, and no more than a slot's
    share of what is in flight."""
    for count, size in product(slots, sizes):
        try:
            config = pipelining(count, size)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        in_flight = min(stories, config.stories)
        choices = sorted(
            {batch(in_flight, Phase.SAMPLE, in_flight, pipelining(count, n)) for n in range(1, 1 + in_flight)}
        )
        if size not in choices:
            among = ", ".join(map(str, choices))
            raise click.BadParameter(
                f"--batches {size} does not occur with {count} slots and {in_flight} stories in flight; "
                f"choose among {among}"
            )


def measure(
    engine: Engine, stories: Sequence[StoryRequest], options: StoryOptions, config: SchedulerConfig, latency_s: float
) -> dict[str, Any]:
    """The figures of a run over ``stories``, warm; times in seconds."""
    memory, latencies, waited = partial(Simulated, latency_s), list[float](), 0.0
    short = [StoryRequest(story.id, story.sentences[:WARM_SENTENCES], story.seed) for story in stories]
    for _ in frames_of(engine.generate_many(short[: config.stories], options=options, pipelining=config).events()):
        pass
    run = engine.generate_many(stories, options=options, pipelining=config, load_memory=memory)
    began = time.perf_counter()
    for made in frames_of(run.events()):
        latencies.append(made.latency_ms / 1e3)
        waited += made.waited_ms / 1e3
    return figures(time.perf_counter() - began, latencies, waited)


def predict(
    costs: CostModel, stories: Sequence[StoryRequest], options: StoryOptions, config: SchedulerConfig, latency_s: float
) -> dict[str, Any]:
    """The same figures, simulated."""
    frames, walks = [len(story.sentences) for story in stories], phase_schedule(options, config)
    run = simulate(costs, frames, walks, config, memory_s=costs.memory_s + latency_s)
    return figures(run.seconds, run.latencies, run.exposed_memory_s)


def figures(seconds: float, latencies: Sequence[float], waited: float) -> dict[str, Any]:
    """Figures of a run, ready for JSON; times in seconds, waiting as a share of the chunks' time."""
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
    rows: Sequence[Row],
    slots: int,
    repeats: int,
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """All configurations of that number of slots. A cost model is measured before them, then after them, and so on (A B
    B A): each run is predicted by the model of its own turn, and a machine whose speed drifts is not taken for an
    error."""
    others = [story.sentences for story in held_out(len(stories), CALIBRATED_ON)]
    widest, models = pipelining(slots, max(row.batch for row in rows)), list[CostModel]()
    for turn in range(2 * rounds):
        for kind in ("calibrate", "measure") if turn % 2 == 0 else ("measure", "calibrate"):
            say(f"{slots} slots, turn {turn + 1} of {2 * rounds}: {kind}")
            if kind == "calibrate":
                models.append(calibrate(engine, options, widest, stories=others, repeats=repeats))
                continue
            for row in rows:
                row.measured.append(measure(engine, stories, options, pipelining(slots, row.batch), row.latency_s))
    for row in rows:
        config = pipelining(slots, row.batch)
        row.predicted = [predict(costs, stories, options, config, row.latency_s) for costs in models]
        say(f"{slots} slots, {row.text}")
    found, costs = [row.to_dict() for row in rows], [one.to_dict() for one in models]
    return {"slots": slots, "costs": costs[-1], "of_each_turn": costs, "rows": found}


@dataclass
class Row:
    """One configuration: the figures of its runs and their predictions, a pair each turn."""

    batch: int
    memory_ms: int
    measured: list[dict[str, Any]] = field(default_factory=list)
    predicted: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Predicted / measured, of frames per second."""
        return [_rate(one) / _rate(other) for one, other in zip(self.predicted, self.measured, strict=True)]

    @property
    def latency_s(self) -> float:
        """Seconds of a memory call."""
        return self.memory_ms / 1e3

    @property
    def ratio(self) -> float:
        """Ratio of the medians: where the machine drifts faster than a turn lasts, its pairs drift, too."""
        predicted, measured = (median(map(_rate, runs)) for runs in (self.predicted, self.measured))
        return predicted / measured

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "ratio": self.ratio, "ratios": self.ratios}

    @property
    def text(self) -> str:
        """To read: medians over the turns."""
        rates, tails, exposed = (
            [median(read(run) for run in runs) for runs in (self.measured, self.predicted)]
            for read in (_rate, lambda run: run["latency"]["P50"], itemgetter("exposed_memory"))
        )
        return (
            f"batch {self.batch}, memory {self.memory_ms:3} ms: frames/s {rates[0]:.3f} measured, "
            f"{rates[1]:.3f} predicted, ratio {self.ratio:.3f} (turns: {min(self.ratios):.3f} to "
            f"{max(self.ratios):.3f}); P50 {tails[0]:.2f} and {tails[1]:.2f} s; "
            f"memory exposed {exposed[0]:.1%} and {exposed[1]:.1%}"
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
@click.option("--rounds", type=click.IntRange(min=1), default=1, show_default=True, help="Rounds of A B B A.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each launch.")
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
    rounds: int,
    repeats: int,
    out: Path,
) -> None:
    """Predict the throughput of many stories, measure it, and print both."""
    check_sizes(slots, batches, stories)
    if min(memory_ms) < 0:
        raise click.BadParameter(f"--memory-ms {min(memory_ms)} is negative; choose 0 or more")
    keep_freed_memory()  # as acdc generate does
    make_directory(out.parent)
    engine = Engine.from_pretrained(bundle, device=device, backend=backend)
    options = make_options(num_inference_steps=steps).resolved(engine.defaults)
    requests, groups = held_out(stories), list[dict[str, Any]]()
    seeds = {"first_seed": FIRST_SEED, "calibrated_on": CALIBRATED_ON}
    record = {
        "versions": versions(),
        "machine": machine(),
        "settings": engine.settings(options),
        "stories": {"count": stories, "frames": sum(len(story.sentences) for story in requests), **seeds},
        "groups": groups,
    }
    for count in slots:
        rows = [Row(*one) for one in product(batches, memory_ms)]
        groups.append(compare(engine, options, requests, rows, count, repeats, rounds, click.echo))
        write_json(out, record)
    off = [abs(row["ratio"] - 1) for group in groups for row in group["rows"]]
    click.echo(f"predicted / measured is {max(off):.1%} off at most, over {len(off)} configurations")


if __name__ == "__main__":
    main()

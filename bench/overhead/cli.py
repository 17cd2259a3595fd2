"""``acdc overhead``: what the correction costs, as a table and as JSON; with ``--study`` as a report."""

import itertools
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ...engine.cli.inputs import SEED_LIMIT, check_seed
from ...engine.cli.options import BUNDLE, CORRECTION, RUN, story_options, with_options
from ...engine.cli.story import load_engine
from ...engine.examples import EXAMPLES
from ...engine.options import StoryOptions
from ...engine.utils.atomic import check_file, write_json
from ...engine.utils.streams import log
from ...engine.utils.versions import versions
from .quick import ACDC, OUTSIDE, PLAIN, TOTAL, Overhead, measure, summarise

TITLES = {OUTSIDE: "outside the models"}
MEASURING = (
    click.option("--stories", type=click.IntRange(min=1), help="How many stories.  [default: 3; of a study 4]"),
    click.option("--warmup", type=click.IntRange(min=0), help="Unmeasured rounds.  [default: 1]"),
    click.option("--json", "json_file", metavar="FILE", help="Write every figure there."),
)
STUDY = (
    click.option("--study", is_flag=True, help="Many stories at once, ablations, sweeps, floors: minutes."),
    click.option("--out", metavar="STEM", help="Of a study: STEM.json, .md and .html.  [default: overhead]"),
    click.option("--concurrency", metavar="N,...", help="Of a study: stories in flight, 2^k.  [default: 1,2,4]"),
    click.option(
        "--sweep", "sweeps", multiple=True, metavar="NAME", help="Of a study, repeatable; or none.  [default: all]"
    ),
    click.option("--frames", type=click.IntRange(min=1), help="Of a study: frames a story at most.  [default: 4]"),
    click.option("--rounds", type=click.IntRange(min=1), help="Of a study: each variant runs so often.  [default: 2]"),
)


@click.command(short_help="Measure what the correction costs.")
@with_options(MEASURING, STUDY, BUNDLE, RUN, CORRECTION)
def overhead(study: bool, **given: Any) -> None:
    """Run the plain autoregressive model and ACDC on the same stories, alternating, and compare them.

    The stories are the paper's, one after the other. Times are milliseconds a chunk (one frame). With --study they are
    run side by side as well, at several concurrencies, and a report is written.
    """
    refuse_others(study, given)
    options = story_options(given)
    if study:
        from .command import make_study  # here, because it imports torch

        make_study(options, given, check_stories(given, 4), machine(), load_engine)
    else:
        compare(options, given, check_stories(given, 3))


def refuse_others(study: bool, given: dict[str, Any]) -> None:
    """``ValueError`` for options of a study without one, and the other way round."""
    there = ("warmup", "json_file") if study else ("out", "concurrency", "sweeps", "frames", "rounds")
    for name in there:
        if given[name] not in (None, ()):
            option = {"json_file": "json", "sweeps": "sweep"}.get(name, name)
            told = "is not for a study; leave out --study or it" if study else "is for a study; give --study with it"
            raise ValueError(f"--{option} {told}")


def check_stories(given: dict[str, Any], default: int) -> int:
    """How many stories; ``ValueError`` where the seeds do not reach for them."""
    stories, seed = given["stories"] or default, check_seed(given["seed"])
    if seed + stories > SEED_LIMIT:
        raise ValueError(f"seed {seed} is too large for {stories} stories; choose at most {SEED_LIMIT - stories}")
    return int(stories)


def compare(options: StoryOptions, given: dict[str, Any], stories: int) -> None:
    """The quick form: stories one at a time."""
    seed, json_file = given["seed"], given["json_file"]
    warmup = 1 if given["warmup"] is None else given["warmup"]
    target = None if json_file is None else check_file("--json", json_file)
    engine = load_engine(given)
    chosen = list(itertools.islice(itertools.cycle(EXAMPLES.values()), stories))
    result = measure(engine, chosen, options, seed=seed, warmup=warmup, on_story=_say(stories))
    summary = summarise(result.chunks)
    settings = {**engine.settings(options), "seed": seed, "stories": stories, "warmup": warmup}
    if target is not None:
        write_json(target, overhead_record(result, summary, settings))
    print_overhead(result, summary, settings)
    if target is not None:
        click.echo(f"{target}: all figures")


def overhead_record(result: Overhead, summary: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What ``--json`` writes: summary, conditions, and every chunk in the order in which it ran."""
    return {
        **summary,
        "peak_rss_mib": result.rss_mib,
        "peak_cuda_mib": result.cuda_mib,
        "settings": settings,
        "versions": versions(),
        "machine": machine(),
        "measurements": [chunk._asdict() for chunk in result.chunks],
    }


def machine() -> dict[str, Any]:
    """What ran the measurement."""
    return {"platform": platform.platform(), "processor": processor(), "cpu_count": os.cpu_count()}


def processor() -> str:
    """The CPU's model name; ``platform`` does not know it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def print_overhead(result: Overhead, summary: dict[str, Any], settings: dict[str, Any]) -> None:
    """The table, the ratio and the peak memory, on standard output."""
    from rich.console import Console
    from rich.table import Table

    frames = summary["chunks"]
    table = Table(title=f"ms a chunk, {frames} chunks, median ± MAD", title_justify="left")
    table.add_column("phase")
    table.add_column("ARM", justify="right")
    table.add_column("ARM + ACDC", justify="right")
    plain, acdc = summary["phases_ms"][PLAIN], summary["phases_ms"][ACDC]
    for name in plain:
        if name == TOTAL:
            table.add_section()
        figures = (f"{row[name]['median']:.1f} ± {row[name]['mad']:.1f}" for row in (plain, acdc))
        table.add_row(TITLES.get(name, name), *figures)
    Console().print(table)
    ratio = summary["ratio"]
    click.echo(
        f"overhead: {ratio['median']:.3f} x ± {ratio['mad']:.3f} (ACDC / plain, chunk by chunk; "
        f"{ratio['min']:.2f} to {ratio['max']:.2f}; of sums {summary['ratio_of_sums']:.3f})"
    )
    for name, peak in (("memory", result.rss_mib), ("CUDA memory", result.cuda_mib)):
        if peak:
            click.echo(f"peak {name}: plain {peak[PLAIN]:.0f} MiB, ACDC {peak[ACDC]:.0f} MiB")
    kept = (
        "bundle",
        "device",
        "dtype",
        "threads",
        "strength",
        "num_inference_steps",
        "guidance_scale",
        "context",
    )
    click.echo(", ".join(f"{name} {settings[name]}" for name in kept if settings.get(name) is not None))


def _say(stories: int) -> Callable[[str, int], None]:
    def say(variant: str, number: int) -> None:
        what = "warm-up" if number < 0 else f"story {number + 1}/{stories}"
        log(f"{what}: {variant}")

    return say

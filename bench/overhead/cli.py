"""``acdc overhead``: what the correction costs, as a table and as JSON; with ``--study`` as a report."""

import itertools
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cloup
from cloup import option, option_group

from ...engine.acdit.request import STEPS
from ...engine.cli.engine_options import EXECUTION, models
from ...engine.cli.flags import Given, with_options
from ...engine.cli.inputs import SEED_LIMIT, check_seed
from ...engine.cli.options import MEMORY, RARE, SAMPLING, SHOW_O, STRENGTH
from ...engine.cli.story import load_engine
from ...engine.examples import EXAMPLES
from ...engine.options import EngineOptions, StoryOptions
from ...engine.utils.atomic import check_file, write_json
from ...engine.utils.streams import log
from ...engine.utils.versions import versions
from .quick import ACDC, OUTSIDE, PLAIN, TOTAL, Overhead, measure, summarise

WARMUP, STEM, FRAMES, ROUNDS = 1, "overhead", 4, 2
TITLES = {OUTSIDE: "outside the models"}
COUNT = click.IntRange(min=1)
MEASURING = option_group(
    "Measurement",
    option("--stories", type=COUNT, metavar="N", help="Measure N stories.  [default: 3; 4 with --study]"),
    option(
        "--warmup",
        type=click.IntRange(min=0),
        metavar="N",
        help=f"Run N rounds before the measured ones.  [default: {WARMUP}]",
    ),
    option("--json", "json_file", metavar="FILE", help="Write every figure to this JSON file."),
)
STUDY = option_group(
    "Study",
    option(
        "--study",
        is_flag=True,
        help="Measure many stories at once, variants without single parts, and sweeps of options; this takes minutes.",
    ),
    option(
        "--out",
        metavar="STEM",
        help=f"Write the report of a study to STEM.json, STEM.md and STEM.html.  [default: {STEM}]",
    ),
    option(
        "--concurrency",
        metavar="N,...",
        help="Hold these numbers of stories in memory at the same time in a study, powers of two.  [default: 1,2,4]",
    ),
    option(
        "--sweep",
        "sweeps",
        multiple=True,
        metavar="NAME",
        help="Sweep this option in a study, or none; give the flag once for each.  [default: all]",
    ),
    option("--frames", type=COUNT, metavar="N", help=f"Draw at most N frames a story in a study.  [default: {FRAMES}]"),
    option("--rounds", type=COUNT, metavar="N", help=f"Run each variant of a study N times.  [default: {ROUNDS}]"),
    option(
        "--acdit",
        metavar="NAME",
        help="Measure this ACDiT (B-img, XL-vid, ...) of random weights in a study as well: a model that no corrector "
        "follows.",
    ),
    option("--acdit-steps", type=COUNT, metavar="N", help=f"Take N steps in each of its blocks.  [default: {STEPS}]"),
)


@cloup.command(short_help="Measure what the correction costs.")
@with_options(
    MEASURING,
    STUDY,
    models(),
    EXECUTION,
    option_group("Sampling", *SAMPLING),
    option_group("Correction", *STRENGTH),
    MEMORY,
    SHOW_O,
    RARE,
)
def overhead(
    stories: int | None,
    warmup: int | None,
    json_file: str | None,
    study: bool,
    out: str | None,
    concurrency: str | None,
    sweeps: tuple[str, ...],
    frames: int | None,
    rounds: int | None,
    acdit: str | None,
    acdit_steps: int | None,
    seed: int,
    given: Given,
) -> None:
    """Run the plain autoregressive model and ACDC on the same stories, alternating, and compare them.

    The stories are the paper's, one after the other. Times are milliseconds a chunk (one frame). With --study they also
    run concurrently, several at a time, and the command writes a report.
    """
    if study:
        refuse("is not for a study; leave out --study or it", warmup=warmup, json=json_file)
    else:
        of_studies = {"out": out, "concurrency": concurrency, "sweep": sweeps, "frames": frames, "rounds": rounds}
        of_studies |= {"acdit": acdit, "acdit-steps": acdit_steps}
        refuse("is for a study; give --study with it", **of_studies)
    options = given.story()
    count = check_stories(stories or (4 if study else 3), seed)
    if study:
        from .command import Sizes, make_study  # here, because it imports torch
        from .corrector_free import CorrectorFree

        corrector_free = None if acdit is None else CorrectorFree(acdit, acdit_steps or STEPS)
        sizes = Sizes(count, concurrency, sweeps, frames or FRAMES, rounds or ROUNDS, seed, corrector_free)
        make_study(options, given.engine(), sizes, STEM if out is None else out, machine(), load_engine)
    else:
        compare(options, given.engine(), count, seed, WARMUP if warmup is None else warmup, json_file)


def refuse(reason: str, **options: object) -> None:
    """``ValueError`` for an option that was given, with the reason why it may not."""
    for name, value in options.items():
        if value not in (None, ()):
            raise ValueError(f"--{name} {reason}")


def check_stories(stories: int, seed: int) -> int:
    """The number of stories; ``ValueError`` where the seeds do not reach for them."""
    if check_seed(seed) + stories > SEED_LIMIT:
        raise ValueError(f"seed {seed} is too large for {stories} stories; choose at most {SEED_LIMIT - stories}")
    return stories


def compare(
    options: StoryOptions, engine_options: EngineOptions, stories: int, seed: int, warmup: int, json_file: str | None
) -> None:
    """The quick form: stories one at a time."""
    target = None if json_file is None else check_file("--json", json_file)
    engine = load_engine(engine_options)
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
    """The record that ``--json`` writes: summary, conditions, and every chunk in the order in which it ran."""
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
    """The machine of the measurement."""
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

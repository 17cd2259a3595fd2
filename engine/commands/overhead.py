"""``acdc overhead``: what the correction costs, as a table and as JSON."""

import itertools
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..atomic import write_json
from ..examples import EXAMPLES
from ..overhead import ACDC, OUTSIDE, PLAIN, TOTAL, Overhead, measure, summarise
from ..versions import versions
from .given import SEED_LIMIT, check_seed
from .options import BUNDLE, CORRECTION, RUN, story_options, with_options
from .story import load_engine

TITLES = {OUTSIDE: "outside the models"}
MEASURING = (
    click.option("--stories", type=click.IntRange(min=1), default=3, show_default=True, help="How many stories."),
    click.option("--warmup", type=click.IntRange(min=0), default=1, show_default=True, help="Unmeasured rounds."),
    click.option("--json", "json_file", metavar="FILE", help="Write every figure there."),
)


@click.command(short_help="Measure what the correction costs.")
@with_options(MEASURING, BUNDLE, RUN, CORRECTION)
def overhead(stories: int, warmup: int, json_file: str | None, **given: Any) -> None:
    """Run the plain autoregressive model and ACDC on the same stories, alternating, and compare them.

    The stories are the paper's, one after the other. Times are milliseconds a chunk (one frame).
    """
    options = story_options(given)
    seed = check_seed(given["seed"])
    if seed + stories > SEED_LIMIT:
        raise ValueError(f"seed {seed} is too large for {stories} stories; choose at most {SEED_LIMIT - stories}")
    target = None if json_file is None else check_json_file(json_file)
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


def check_json_file(name: str) -> Path:
    """The path, if a file may be written there; ``ValueError`` before anything is measured if not."""
    path = Path(name)
    if path.is_dir():
        raise ValueError(f"--json {name!r} is a directory; give a file")
    if not path.parent.is_dir():
        raise ValueError(f"--json {name!r}: {str(path.parent)!r} is not a directory; give a file in an existing one")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(f"--json {name!r}: {str(path.parent)!r} is not writable; choose another place")
    return path


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
    click.echo(", ".join(f"{name} {settings[name]}" for name in kept if name in settings))


def _say(stories: int) -> Callable[[str, int], None]:
    def say(variant: str, number: int) -> None:
        what = "warm-up" if number < 0 else f"story {number + 1}/{stories}"
        click.echo(f"{what}: {variant}", err=True)

    return say

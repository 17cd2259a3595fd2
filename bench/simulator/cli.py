"""``acdc plan``: how long many stories would take on many machines, simulated from measured stages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import cloup
from cloup import option, option_group

from ...engine.cli.flags import with_options
from ...engine.utils.atomic import check_file, write_json
from ...engine.utils.streams import log
from .simulated_memory import check_latency
from .sizes import Way, parse_machines, ways_of

COLUMNS = ("machines", "hours", "frames/s", "P50 s", "P99 s", "P100 s", "first frame s", "exposed LLM")
PLAN = option_group(
    "Plan",
    option(
        "--costs",
        metavar="FILE",
        required=True,
        help="Take the times of the stages from this file: the JSON of acdc overhead --study.",
    ),
    option(
        "--stories",
        type=click.IntRange(1, 1_000_000),
        default=10_000,
        show_default=True,
        help="Simulate this number of stories.",
    ),
    option(
        "--frames",
        type=click.IntRange(1, 1000),
        default=6,
        show_default=True,
        help="Simulate this number of frames in each story.",
    ),
    option(
        "--machines",
        metavar="N,...",
        default="1,8,64",
        show_default=True,
        help="Simulate these numbers of machines, each like the measured one.",
    ),
    option(
        "--memory-ms",
        type=float,
        metavar="MS",
        help="Simulate a language model that answers in this number of milliseconds.  [default: the measured one]",
    ),
    option("--json", "json_file", metavar="FILE", help="Write every figure to this JSON file."),
)


@cloup.command(short_help="Say how long many stories take on many machines.")
@with_options(PLAN)
def plan(costs: str, stories: int, frames: int, machines: str, memory_ms: float | None, json_file: str | None) -> None:
    """Simulate the schedule of many stories on machines like the one whose stages --costs holds.

    Nothing is drawn: the scheduler is the real one, its launches take the times that were measured. Latencies are those
    of frames.
    """
    counts = parse_machines(machines)
    target = None if json_file is None else check_file("--json", json_file)
    ways = read_ways(costs, memory_ms)
    rows = []
    for way in ways:
        for count in counts:
            log(f"{way.title}: {count} machines")
            rows.append(way.planned(stories, frames, count))
    if target is not None:
        write_json(target, {"costs": costs, "stories": stories, "frames": frames, "rows": rows})
    for line in table(rows):
        click.echo(line)


def read_ways(name: str, memory_ms: float | None) -> list[Way]:
    """The measured ways; ``ValueError`` that names the file where it has none."""
    seconds = None if memory_ms is None else check_latency(memory_ms / 1e3)
    try:
        record = json.loads(Path(name).read_text(encoding="utf-8"))
        return [way.memory(seconds) for way in ways_of(record)]
    except UnicodeDecodeError:
        raise ValueError(f"--costs {name!r}: it is not UTF-8 text; give a JSON file") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"--costs {name!r}: it is not JSON ({error.msg}, line {error.lineno})") from None
    except ValueError as error:
        raise ValueError(f"--costs {name!r}: {error}") from None


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines to read."""
    width = max(len(row["title"]) for row in rows)
    yield "  ".join([" " * width, *COLUMNS])
    for row in rows:
        latency = row["latency_s"]
        cells = [str(row["machines"]), f"{row['seconds'] / 3600:.3f}", f"{row['frames_a_second']:.2f}"]
        cells += [f"{latency[name]:.2f}" for name in ("P50", "P99", "P100")]
        cells += [f"{row['first_frame_s']:.2f}", f"{100 * row['exposed_memory_share']:.1f} %"]
        ended = (cell.rjust(len(title)) for cell, title in zip(cells, COLUMNS, strict=True))
        yield "  ".join([row["title"].ljust(width), *ended])

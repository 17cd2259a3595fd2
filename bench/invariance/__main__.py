"""Invariance, measured: ``python -m acdc.bench.invariance --folder DIR --out bench/results/invariance_cpu_DATE.json``.

Held-out stories of a bundle are drawn in every way of running them and compared, code by code, with the plainest. A
block of stories is drawn once and kept in DIR: the same command goes on where the last one stopped. ``--rounds`` also
measures what exactness costs.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import torch

from ...engine.engine import Engine
from ...engine.utils.atomic import make_directory, write_json
from ...engine.utils.malloc import keep_freed_memory
from ...engine.utils.versions import versions
from ..choices import chosen
from ..options import BUNDLE, OUT
from ..overhead.cli import machine
from ..run_folder import alone_in
from .blocks import FIRST_SEED, FRAMES, SIZE
from .conditions import CONDITIONS, STEPS
from .cost import cost_of_draws, cost_of_equal_bits, cost_of_frame
from .margin import BOUND
from .pieces import COST, Pieces
from .table import cost_table

LEFT = 75  # exit status: blocks are missing, call again


def costs(bundle: str, rounds: int) -> list[dict[str, Any]]:
    """Rows of what exactness costs, on one thread."""
    torch.set_num_threads(1)
    rows = []
    for backend in ("eager", "openvino"):
        engine = Engine.from_pretrained(bundle, backend=backend)
        rows += [cost_of_draws(engine, stories, rounds) for stories in (1, 4, 16)]
        rows += [cost_of_frame(engine, steps, 2 * rounds) for steps in (0, STEPS)]
        rows.append(cost_of_equal_bits(engine, 16, rounds))
    return rows


def line(row: dict[str, Any]) -> str:
    """One row, to read."""
    gaps = [parting["gap"] for parting in row["partings"]]
    near = f"; {len(gaps)} stories part, widest gap {max(gaps):.1e}" if gaps else ""
    codes = row["codes"] + row["encoded"]
    return f"{row['name']:27} {row['changed']} of {codes} codes changed{near}; {row['levels']} levels"


@click.command()
@BUNDLE
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Keep drawn blocks in this directory.")
@click.option("--plain", type=click.IntRange(min=1), default=4, show_default=True, help="Blocks of 32 plain stories.")
@click.option("--corrected", type=click.IntRange(min=0), default=1, show_default=True, help="Blocks with correction.")
@click.option("--only", default="", help="Conditions, separated by commas.  [default: all]")
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop drawing after this time.  [default: at the end]")
@click.option("--rounds", type=click.IntRange(min=1), help="Measure the cost first, in this number of rounds A B B A.")
@OUT
def main(
    bundle: str,
    folder: Path,
    plain: int,
    corrected: int,
    only: str,
    minutes: float | None,
    rounds: int | None,
    out: Path,
) -> None:
    """Draw what is missing, compare, and write OUT. Exit status 75: blocks are missing; 1: a code changed that was not
    a near tie."""
    make_directory(out.parent)
    keep_freed_memory()
    conditions = [CONDITIONS[name] for name in chosen(only, CONDITIONS, "condition")]
    until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    pieces = Pieces(folder, bundle, plain, corrected)
    with alone_in(folder):
        pieces.check()
        if rounds:
            write_json(folder / COST, costs(bundle, rounds))
        with closing(pieces.draw(conditions, until)) as lines:
            for drawn in lines:
                click.echo(drawn)
        rows = pieces.rows(conditions)
        for row in rows:
            click.echo(line(row))
        stories = {"first_seed": FIRST_SEED, "frames": FRAMES, "block": SIZE, "steps": STEPS}
        made = {"bundle": bundle, "versions": versions(), "machine": machine(), "stories": stories, "bound": BOUND}
        found = {**made, "rows": rows, "costs": pieces.costs()}
        write_json(out, found)
    if found["costs"]:
        click.echo(cost_table(found))
    if any(pieces.missing(condition) for condition in conditions):
        raise click.exceptions.Exit(LEFT)
    if any(parting["gap"] >= BOUND for row in rows for parting in row["partings"]):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()

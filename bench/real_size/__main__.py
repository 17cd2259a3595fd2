"""``python -m acdc.bench.real_size --folder DIR --out bench/results/cpu_real_size_DATE.json``: fill in one table.

Stable Diffusion 1.5 at full size with random weights (written to DIR once, 2.1 GB): a UNet pass with both branches of
guidance, or a whole correction. A call adds its table to the file, in place of one of the same kind; next to it lies
the page, FILE.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ...engine.utils.atomic import write_bytes, write_json
from ...engine.utils.versions import versions
from ..overhead.cli import machine
from .contenders import CONTENDERS
from .measure import measure
from .report import page
from .weights import write_bundle

KIND = ("work", "size", "steps", "processes", "pages", "contenders")  # tables that differ in one are kept side by side


def names(_context: object, _parameter: object, text: str) -> list[str]:
    """A click callback: contenders separated by commas."""
    found = text.split(",")
    for name in found:
        if name not in CONTENDERS:
            raise click.BadParameter(f"unknown contender {name!r}; choose among {', '.join(CONTENDERS)}")
    return found


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Weights and plans are kept there.")
@click.option("--work", type=click.Choice(("pass", "correction")), default="pass", show_default=True)
@click.option("--contenders", default=",".join(CONTENDERS), callback=names, help="Separated by commas.")
@click.option("--size", type=click.IntRange(min=64), default=256, show_default=True, help="Pixels a side.")
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=50,
    show_default=True,
    help="N; half of them run.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--together", is_flag=True, help="All contenders in one process.")
@click.option("--huge-pages/--small-pages", default=True, show_default=True, help="Below PyTorch's large tensors.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(
    folder: Path,
    work: str,
    contenders: list[str],
    size: int,
    steps: int,
    rounds: int,
    together: bool,
    huge_pages: bool,
    out: Path,
) -> None:
    """Measure, and add the table to OUT."""
    write_bundle(folder)
    table = measure(folder, work, contenders, size, steps, rounds, together, huge_pages)
    write_json(out, merged(out, table))
    write_bytes(out.with_suffix(".md"), page(json.loads(out.read_text(encoding="utf-8"))).encode())
    click.echo(page({"tables": [table], "machine": machine(), "versions": versions()}))


def merged(out: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Contents of the file, with the table."""
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"tables": []}
    kept = [old for old in found["tables"] if [old[key] for key in KIND] != [table[key] for key in KIND]]
    return {"versions": versions(), "machine": machine(), "tables": [*kept, table]}


if __name__ == "__main__":
    main()

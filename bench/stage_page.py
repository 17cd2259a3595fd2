"""The stages' timings as a page: ``python -m acdc.bench.stage_page RAW.json --out bench/results/stages_cpu_DATE``.

RAW.json is what ``pytest bench/bench_stages.py bench/bench_chunk.py --benchmark-json RAW.json`` wrote. OUT.json keeps
what the page needs, without the host's name and the single rounds; OUT.md is the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

STATS = ("median", "iqr", "min", "max", "rounds")
MACHINE = ("python_version", "machine", "system", "torch", "threads")


def condense(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Machine and rows of a pytest-benchmark file; seconds."""
    info = raw["machine_info"]
    rows = [{**row["extra_info"], **{key: row["stats"][key] for key in STATS}} for row in raw["benchmarks"]]
    machine = {**{key: info.get(key) for key in MACHINE}, "cpu": info.get("cpu", {}).get("brand_raw")}
    return {"datetime": raw["datetime"], "machine": machine, "rows": rows}


def stage_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Median milliseconds of a call and the share of it that the roofline says is unavoidable."""
    lines = ["| stage | stories | backend | ms | iqr | GFLOP | MB | floor ms | of the time |", "|---" * 9 + "|"]
    for row in rows:
        milliseconds, floor = 1e3 * row["median"], 1e3 * row["floor"]
        lines.append(
            f"| {row['stage']} | {row['batch']} | {row['backend']} | {milliseconds:.2f} | {1e3 * row['iqr']:.2f} "
            f"| {row['flops'] / 1e9:.3f} | {row['bytes'] / 1e6:.1f} | {floor:.2f} | {floor / milliseconds:.0%} |"
        )
    return lines


def chunk_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A chunk's median seconds; how many times faster than the libraries right before, median and quartiles."""
    lines = ["| way | s a chunk | iqr | times the libraries | quartiles |", "|---" * 5 + "|"]
    for row in rows:
        low, middle, high = quantiles(row["times_libraries"], n=4)
        lines.append(
            f"| {row['way']} | {row['median'] / row['chunks']:.3f} | {row['iqr'] / row['chunks']:.3f} "
            f"| {middle:.2f} | {low:.2f} to {high:.2f} |"
        )
    return lines


def said(machine: Mapping[str, Any]) -> str:
    """The machine of the benchmarks."""
    return f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}, float32"


def page(found: Mapping[str, Any]) -> str:
    """The whole Markdown page."""
    rows = found["rows"]
    stages = [row for row in rows if "stage" in row]
    chunks = [row for row in rows if "way" in row]
    lines = [
        "# Stages of the embedded bundle on a CPU",
        "",
        f"{said(found['machine'])}, {found['datetime'][:10]}.",
        "Medians.",
    ]
    if stages:
        rates = stages[0]["rates"]
        lines += [
            f"Measured: products {rates['flops'] / 1e9:.0f} GFLOP/s, copies {rates['bandwidth'] / 1e9:.1f} GB/s.",
            "The floor is the longer of FLOPs and bytes (weights, inputs, outputs, once) at these rates; a cache that",
            "holds the weights can beat it.",
            "",
            *stage_table(stages),
        ]
    if chunks:
        lines += ["", "## A chunk: draw, correct, enter again", "", *chunk_table(chunks)]
    return "\n".join([*lines, ""])


@click.command()
@click.argument("raw", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Without suffix: OUT.json and OUT.md.")
def main(raw: Path, out: Path) -> None:
    """Condense RAW and write the page."""
    found = condense(json.loads(raw.read_text(encoding="utf-8")))
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()

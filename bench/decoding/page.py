"""The decoding benchmark as a page: ``python -m acdc.bench.decoding.page RAW.json ... --out OUT``.

RAW.json is what ``pytest bench/bench_decoding.py --benchmark-json RAW.json`` wrote, or parts of it; ``--drafts`` (may
be given several times) and ``--flips`` take what ``python -m acdc.bench.decoding.drafts`` and ``flips`` wrote.
OUT.json and OUT.md are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

from ..stage_page import condense, said

Row = Mapping[str, Any]


def milliseconds(row: Row) -> float:
    """Milliseconds of a frame of all stories of the batch."""
    return 1e3 * float(row["median"]) / int(row["frames"])


def draw_table(rows: Sequence[Row]) -> Iterator[str]:
    """Passes and milliseconds a frame, and how many times faster than the fastest sequential backend at that batch."""
    yield "| stories | backend | window | passes | ms a frame | iqr | times sequential | frames that differ |"
    yield "|---" * 8 + "|"
    for row in rows:
        batch = [other for other in rows if other["stories"] == row["stories"]]
        gain = min(milliseconds(other) for other in batch if other["windows"] == [1]) / milliseconds(row)
        frames = row["frames"] * row["stories"]
        yield (
            f"| {row['stories']} | {row['backend']} | {', '.join(map(str, row['windows']))} | {row['passes']:.1f} "
            f"| {milliseconds(row):.1f} | {1e3 * row['iqr'] / row['frames']:.1f} | {gain:.2f} "
            f"| {row['frames_that_differ']} of {frames} |"
        )


def default_table(rows: Sequence[Row]) -> Iterator[str]:
    """The windows of ``--decoding auto`` against one code a pass, measured right before; one code has no row."""
    yield "| stories | backend | codes a pass | times its own sequential draw | times the fastest sequential draw |"
    yield "|---" * 5 + "|"
    for row in rows:
        cells = " | ".join(middle(row[key]) for key in ("times_own", "times_fastest"))
        yield f"| {row['stories']} | {row['backend']} | {', '.join(map(str, row['windows']))} | {cells} |"


def middle(ratios: Sequence[float]) -> str:
    """Median and quartiles."""
    low, median, high = quantiles(ratios, n=4, method="inclusive")
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def flip_table(found: Mapping[str, Any]) -> Iterator[str]:
    """Frames that rounding alone changes."""
    yield "| number type | window | frames that part | codes that followed the same ones |"
    yield "|---" * 4 + "|"
    for row in found["rows"]:
        yield f"| {row['dtype']} | {row['window']} | {row['flips']} of {row['frames']} | {row['codes']} |"


def draft_table(found: Mapping[str, Any]) -> Iterator[str]:
    """Mean passes a frame, drafts down and windows across; the first frame has no frame before."""
    windows = sorted({row["window"] for row in found["rows"]})
    yield f"| draft | frames | {' | '.join(f'window {window}' for window in windows)} |"
    yield "|---" * (2 + len(windows)) + "|"
    for first in (True, False):
        for name in dict.fromkeys(row["draft"] for row in found["rows"]):
            cells = {
                row["window"]: row["passes"]
                for row in found["rows"]
                if (row["draft"], row["first_frame"]) == (name, first)
            }
            yield f"| {name} | {'first' if first else 'later'} | {' | '.join(f'{cells[w]:.1f}' for w in windows)} |"


def page(found: Mapping[str, Any]) -> str:
    """The whole Markdown page."""
    lines = [
        "# Exact parallel decoding on a CPU",
        "",
        f"{said(found['machine'])}, {found['datetime'][:10]}.",
        "Medians over rounds of six frames of held-out stories, temperature 1; the draft is the frame before.",
        "*Times sequential*: against the fastest backend that draws one code a pass, at that batch. A frame differs",
        "where a near tie fell otherwise than in the eager sequential draw.",
        "",
        *draw_table([row for row in found["rows"] if "passes" in row]),
        "",
        "## What is drawn by default: ratios of neighbours, medians and quartiles",
        "",
        *default_table([row for row in found["rows"] if "times_own" in row]),
    ]
    if found["flips"]:
        lines += ["", "## Codes that rounding changes: eager, against one code a pass", "", *flip_table(found["flips"])]
    for drafts in found["drafts"]:
        title = f"## Drafts: mean passes, {drafts['stories']} stories of {drafts['frames']} frames"
        lines += ["", title, "", *draft_table(drafts)]
    return "\n".join([*lines, ""])


@click.command()
@click.argument("raw", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--drafts", type=click.Path(exists=True, path_type=Path), multiple=True)
@click.option("--flips", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Without suffix: OUT.json and OUT.md.")
def main(raw: tuple[Path, ...], drafts: tuple[Path, ...], flips: Path | None, out: Path) -> None:
    """Condense RAW and write the page."""
    parts = [condense(json.loads(path.read_text(encoding="utf-8"))) for path in raw]
    found = parts[-1] | {"rows": [row for part in parts for row in part["rows"]]}
    found["flips"] = flips and json.loads(flips.read_text(encoding="utf-8"))
    found["drafts"] = [json.loads(path.read_text(encoding="utf-8")) for path in drafts]
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()

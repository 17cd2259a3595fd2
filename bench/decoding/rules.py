"""Exact decoding next to its closest relative: ``python -m acdc.bench.decoding.rules --out RULES.json``.

Held-out frames of the embedded bundle, one story at a time, eager. All rules run the same passes; they differ in what a
pass accepts, and so in how many passes a frame takes:

    exact     noise belongs to a position: the codes are those of one after another (``models/decode_pass.py``)
    coupled   SCD's (``coupled.py``): the distribution of one after another, another sample
    fresh     speculative Jacobi decoding: as SCD, with drafts that are drawn again after the first that is replaced
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
import torch
from torch import Tensor

from ...engine.engine import Engine
from ...engine.utils.atomic import write_json
from ...engine.utils.versions import versions
from ..overhead.cli import machine
from .coupled import coupled_draw
from .drafts import copy_above, copy_above_where_it_moved, count_passes
from .frames import Start, starts

Rule = Callable[[Start, int, int], int]  # (frame, window, seed) -> passes


def _exact(start: Start, window: int, seed: int, draft: bool = True) -> int:
    return start.draw(start.previous if draft else _anything(start, seed), (window,))[1]


def _coupled(start: Start, window: int, seed: int, draft: bool = True, fresh: bool = False) -> int:
    return coupled_draw(start, start.previous if draft else None, window, seed, fresh)[1]


def _anything(start: Start, seed: int) -> Tensor:
    """Drafts drawn evenly from all codes."""
    stream, generator = start.session.arm.stream, torch.Generator().manual_seed(seed)
    return torch.randint(stream.codebook_size, (1, stream.codes_per_frame), generator=generator)


RULES: dict[str, Rule] = {
    "exact, drafts of the frame before": _exact,
    "exact, random drafts": partial(_exact, draft=False),
    "exact, drafts of the row above": lambda start, window, _: count_passes(start, start.previous, window, copy_above),
    "exact, row above where it moved": lambda start, window, _: count_passes(
        start, start.previous, window, copy_above_where_it_moved
    ),
    "SCD, drafts of the frame before": _coupled,
    "SCD, random drafts": partial(_coupled, draft=False),
    "SJD, random drafts": partial(_coupled, draft=False, fresh=True),
}


def measured(frames: Sequence[Start], windows: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    """Passes and processor milliseconds a frame of each rule and window, in turns: forwards, backwards, ..."""
    ways = [(name, window) for window in windows for name in RULES]
    passes: dict[tuple[str, int], list[int]] = {way: [] for way in ways}
    times: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for name, window in ways if turn % 2 == 0 else ways[::-1]:
            began = time.process_time()
            passes[name, window] += [RULES[name](start, window, turn * 1000 + at) for at, start in enumerate(frames)]
            times[name, window].append(1e3 * (time.process_time() - began) / len(frames))
    for name, window in ways:
        counts = {"passes": round(mean(passes[name, window]), 2), "most": max(passes[name, window])}
        yield {"rule": name, "window": window, **counts, "ms_a_frame": round(median(times[name, window]), 2)}


def table(found: dict[str, Any]) -> str:
    """Markdown: passes (processor ms) a frame, rules down, windows across."""
    windows = sorted({row["window"] for row in found["rows"]})
    lines = [f"| rule | {' | '.join(f'window {window}' for window in windows)} |", "|---" * (1 + len(windows)) + "|"]
    for name in dict.fromkeys(row["rule"] for row in found["rows"]):
        cells = {row["window"]: row for row in found["rows"] if row["rule"] == name}
        shown = (f"{cells[w]['passes']:.1f} ({cells[w]['ms_a_frame']:.0f} ms)" for w in windows)
        lines.append(f"| {name} | {' | '.join(shown)} |")
    where = f"{found['machine']['processor']}, eager, {found['threads']} thread(s)"
    lines += [
        "",
        f"Passes (processor time) a frame of {found['frames']} held-out frames, one story at a time; {where}.",
    ]
    return "\n".join(lines)


@click.command()
@click.option("--stories", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--frames", type=click.IntRange(min=2), default=6, show_default=True, help="The first is not measured.")
@click.option("--windows", default="8,16,64", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
@torch.inference_mode()
def main(stories: int, frames: int, windows: str, rounds: int, bundle: str, out: Path) -> None:
    """Measure every rule, on frames that follow another, and print a table."""
    engine = Engine.from_pretrained(bundle, backend="eager")
    found = [start for story in range(stories) for start in starts(engine, 1, frames, first=100_000 + story)[1:]]
    rows = list(measured(found, [int(window) for window in windows.split(",")], rounds))
    conditions = {"machine": machine(), "versions": versions(), "threads": torch.get_num_threads()}
    record = {**conditions, "frames": len(found), "rounds": rounds, "rows": rows}
    write_json(out, record)
    click.echo(table(record))


if __name__ == "__main__":
    main()

"""Windows by turns, A B C C B A: ``python -m acdc.bench.decoding.turns --out bench/results/NAME.json``.

The same six frames of held-out stories, drawn with each window right after the others, so that what drifts falls on all
alike. Processor time is counted in addition to the clock: with one thread it says what a pass costs on a machine that
others use too. The page lies next to the JSON.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
import torch

from ...engine.engine import Engine
from ...engine.utils.atomic import write_bytes, write_json
from ...engine.utils.versions import versions
from ..overhead.cli import machine
from .frames import Start, starts

CLOCKS = {"processor": time.process_time, "clock": time.perf_counter}


@torch.inference_mode()
def drawn(frames: Sequence[Start], window: int) -> dict[str, float]:
    """Seconds of all frames by each clock, and their passes; the copies of the caches are made before."""
    ready = [(start.session.fork(), start) for start in frames]
    began = {name: clock() for name, clock in CLOCKS.items()}
    passes = sum(start.draw_in(session, start.previous, (window,))[1] for session, start in ready)
    return {"passes": passes, **{name: clock() - began[name] for name, clock in CLOCKS.items()}}


def measure(frames: Sequence[Start], windows: Sequence[int], rounds: int) -> list[dict[int, dict[str, float]]]:
    """Half-rounds: each window once, forwards and backwards in turn."""
    for window in windows:
        drawn(frames, window)  # plans, buffers
    orders = [windows, windows[::-1]] * rounds
    return [{window: drawn(frames, window) for window in order} for order in orders]


def row(turns: Sequence[dict[int, dict[str, float]]], first: int, window: int, frames: int) -> dict[str, Any]:
    """Medians a frame, and quartiles of how many times as fast as ``first`` in the same turn."""
    found: dict[str, Any] = {"window": window, "passes": turns[0][window]["passes"] / frames}
    for name in CLOCKS:
        ratios = [turn[first][name] / turn[window][name] for turn in turns]
        found[f"{name}_ms"] = 1e3 * median(turn[window][name] for turn in turns) / frames
        found[f"{name}_times"] = quantiles(ratios, n=4, method="inclusive")
    return found


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# Exact parallel decoding by turns on a CPU",
        "",
        f"{found['machine']['processor']}, {found['threads']} threads, torch {found['versions']['torch']}, "
        f"backend {found['backend']}, float32; {found['turns']} turns of {found['frames']} frames of held-out stories, "
        "A B C C B A.",
        "*Times sequential*: against the first window of the same turn; median and quartiles.",
        "",
        "| stories | window | passes | processor ms a frame | times sequential | clock ms a frame | times sequential |",
        "|---" * 7 + "|",
    ]
    for table in found["rows"]:
        cells = [f"{table['stories']}", f"{table['window']}", f"{table['passes']:.1f}"]
        for name in CLOCKS:
            low, middle, high = table[f"{name}_times"]
            cells += [f"{table[f'{name}_ms']:.1f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


@click.command()
@click.option("--backend", default="openvino", show_default=True)
@click.option("--stories", "batches", default="1,2", show_default=True, help="Side by side, separated by commas.")
@click.option("--windows", default="1,8,16", show_default=True)
@click.option("--frames", default=6, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(backend: str, batches: str, windows: str, frames: int, rounds: int, bundle: str, out: Path) -> None:
    """Measure and write OUT and its page."""
    engine = Engine.from_pretrained(bundle, backend=f"arm_draw={backend}")
    chosen = [int(window) for window in windows.split(",")]
    rows = []
    for stories in (int(batch) for batch in batches.split(",")):
        turns = measure(starts(engine, stories, frames), chosen, rounds)
        rows += [{"stories": stories, **row(turns, chosen[0], window, frames)} for window in chosen]
    settings = {"backend": backend, "frames": frames, "turns": 2 * rounds, "threads": torch.get_num_threads()}
    found = {"machine": machine(), "versions": versions(), **settings, "rows": rows}
    write_json(out, found)
    write_bytes(out.with_suffix(".md"), page(found).encode())
    click.echo(page(found))


if __name__ == "__main__":
    main()

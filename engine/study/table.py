"""A study's record as Markdown. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .sweeps import CONCURRENCY
from .variants import OVERLAPPED, PLAIN, SERIAL

Record = Mapping[str, Any]
COLUMNS = (
    "n", "", "ms a frame", "overhead", "of the best plain", "floor", "predicted", "P50 ms", "P90", "P99", "P100",
    "first frame ms", "exposed LLM", "MiB",
)  # fmt: skip
TITLES = {
    "strength": "t'",
    "steps": "DDIM steps",
    "correct_first": "corrected first frames",
    "correct_every": "one in so many frames corrected",
    "chunk_frames": "frames a chunk (video)",
    "batch": "stories a launch",
    "memory": "memory",
    "latency": "LLM latency, s",
    "backend": "backend",
}
MAIN = (PLAIN, SERIAL, OVERLAPPED)


def table(record: Record) -> str:
    """The main table: every variant at each concurrency."""
    lines = [_line(COLUMNS), "|---" * len(COLUMNS) + "|"]
    for point in points(record, CONCURRENCY):
        lines += [_line(cells(point, row)) for row in point["variants"].values()]
    return "\n".join(lines)


def sweep_table(record: Record, sweep: str) -> str:
    """One sweep: what the three main variants cost at each value."""
    heads = [TITLES[sweep], "plain ms a frame", "serial", "overlapped", "overhead serial", "overhead overlapped"]
    heads += ["predicted serial", "predicted overlapped", "exposed LLM"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for point in points(record, sweep):
        rows = point["variants"]
        if "refused" in point:
            lines.append(_line([f"{point['value']}", f"refused: {point['refused']}", *[""] * (len(heads) - 2)]))
            continue
        costs = [_ms(rows.get(name)) for name in MAIN]
        ratios = [times(rows[name]["overhead"]["median"]) if name in rows else "" for name in MAIN[1:]]
        told = [predicted(rows[name]) if name in rows else "" for name in MAIN[1:]]
        last = rows.get(OVERLAPPED, rows[SERIAL])
        lines.append(_line([_value(point), *costs, *ratios, *told, percent(last["exposed_memory_share"])]))
    return "\n".join(lines)


def page(record: Record, name: str) -> str:
    """STEM.md: the main table, the sweeps, and under which conditions."""
    parts = ["# What the correction costs", "", *conditions(record), "", table(record), "", legend()]
    for sweep in sweeps(record):
        n = points(record, sweep)[0]["concurrency"]
        parts += ["", f"## {TITLES[sweep]}, n = {n}", "", sweep_table(record, sweep)]
    return "\n".join([*parts, "", f"Timelines and plots: `{name}.html`; every sample: `{name}.json`.", ""])


def conditions(record: Record) -> list[str]:
    """What was run on what, as sentences."""
    s, machine, versions = record["settings"], record["machine"], record["versions"]
    what = f"Bundle {s['bundle']} ({s['dtype']}, backend {s['backend']}, {s['device']}, {s['threads']} threads)"
    size = f"{s['stories']} stories of up to {s['frames']} frames, {s['rounds']} rounds, seed {s['seed']}"
    how = f"t' {s['strength']}, {s['num_inference_steps']} DDIM steps, memory {s['memory']}"
    rates = record["rates"]
    return [
        f"{what}; {size}; {how}.",
        f"{machine.get('processor') or machine.get('platform')}, {machine.get('cpu_count')} CPUs, "
        f"torch {versions['torch']}, acdc {versions['acdc']}, commit {record['commit'] or 'unknown'}.",
        f"Measured rates: {rates['flops'] / 1e9:.0f} GFLOP/s, {rates['bandwidth'] / 1e9:.1f} GB/s. "
        f"Energy: {record['energy']}. Peak memory is that of {record['peak_memory_of']}.",
    ]


def legend() -> str:
    """What the columns mean."""
    return (
        "n stories are in flight. A frame's ms are the whole run's over its frames; the overhead is their ratio to the "
        "plain ARM batched at the same n, run by run of the same round. The floor is what operations and weights take "
        "at the measured rates; predicted is the simulated schedule's ms over the measured ones. Latency is that of a "
        "frame since the one before it in its story; the first frame's since its story was begun."
    )


def points(record: Record, sweep: str) -> list[Mapping[str, Any]]:
    """Of one sweep, in order."""
    return [point for point in record["points"] if point["sweep"] == sweep]


def sweeps(record: Record) -> list[str]:
    """Those that were run."""
    return [name for name in dict.fromkeys(point["sweep"] for point in record["points"]) if name != CONCURRENCY]


def cells(point: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """A variant's line of the main table, under ``COLUMNS``."""
    latency, floor = row["latency_ms"], row["floor_seconds_a_frame"]
    return [
        str(point["concurrency"]),
        row["title"],
        _ms(row),
        times(row["overhead"]["median"]),
        times(row["overhead_of_best"]["median"]),
        "" if floor is None else f"{floor * 1e3:.0f}",
        predicted(row),
        *(f"{latency[name]:.0f}" for name in ("P50", "P90", "P99", "P100")),
        f"{row['first_frame_ms']['of_a_story']:.0f}",
        percent(row["exposed_memory_share"]),
        f"{row['peak_cuda_mib'] or row['peak_rss_mib']:.0f}",
    ]


def predicted(row: Mapping[str, Any]) -> str:
    """The simulated time over the measured one."""
    return f"{row['predicted_of_measured']:.2f}" if "predicted_of_measured" in row else ""


def times(ratio: float) -> str:
    """1.5 -> "1.50x"."""
    return f"{ratio:.2f}x"


def percent(share: float) -> str:
    """0.012 -> "1.2 %"."""
    return f"{100 * share:.1f} %"


def _value(point: Mapping[str, Any]) -> str:
    return point["backend"] if point["sweep"] == "backend" else str(point["value"])


def _ms(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"{row['seconds_a_frame'] * 1e3:.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

"""The study of few-step corrections as a table. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS = (
    "steps from t' = 0.5", "UNet passes", "animal and setting, %", "action, %", "FD", "CPU ms a frame",
    "of it the correction", "times less",
)  # fmt: skip


def table(found: Mapping[str, Any]) -> str:
    """A line a row, and the conditions."""
    rows = found["rows"].values()
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    first, settings = next(iter(rows)), next(iter(found["settings"].values()))
    runs = f"{settings['backend']}, {settings['dtype']}, {_threads(settings)}, {found['machine']['processor']}"
    quality = f"Right frames of {found['stories']} held-out stories of {found['frames']}, 95 % intervals over stories"
    return "\n".join(
        [*lines, "", f"{quality}; processor time: medians of {first['time']['frames']} frames in turns, MAD; {runs}."]
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    times = row["time"]
    costs = (f"{times[key]['median']:.0f} ± {times[key]['mad']:.0f}" for key in ("ms_a_frame", "ms_a_correction"))
    shares = (_share(row[label]) for label in ("subject", "action"))
    quicker = f"{times['times_quicker']:.1f}x"
    return [row["title"], str(row["passes"]), *shares, f"{row['frechet']:.2f}", *costs, quicker]


def _threads(settings: Mapping[str, Any]) -> str:
    return f"{settings['threads']} thread{'s' * (settings['threads'] > 1)}"


def _share(value: Mapping[str, float]) -> str:
    return f"{100 * value['mean']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"

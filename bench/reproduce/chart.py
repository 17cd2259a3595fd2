"""The table as a picture: for each column the measured bars, with their intervals, and the paper's points."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

from ...engine.utils.atomic import write_bytes
from ..overhead.plots import STYLE
from .page import column_metric
from .tables import LWM, SD, SHOW_O, UIO2, Column, Table

Record = Mapping[str, Any]
Axes = Any  # matplotlib's
OURS = "#2e6da4"
PAPER = {SHOW_O: "#c8553d", UIO2: "#8a6d3b", SD: "#6b8e4e", LWM: "#c8553d"}
CAPTION = "Bars: measured here, 95 % interval. Points: the paper's, by other models; their axis is on the right. "
WIDTH = 45  # letters of the caption a column


def draw_chart(path: Path, table: Table, record: Record) -> None:
    """Write a PNG; matplotlib comes with the extra ``report``."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(table.columns), 4.4), dpi=120, layout="constrained")
        lines: dict[str, Any] = {}  # a system's points have one colour in every column
        for axes, column in zip(figure.subplots(1, len(table.columns), squeeze=False)[0], table.columns, strict=True):
            _bars(axes, column, record)
            lines |= _points(axes, column, record)
        figure.legend(lines.values(), [f"the paper, {system}" for system in lines], loc="outside upper right", ncols=4)
        figure.supxlabel(fill(CAPTION + table.remarks[0], WIDTH * len(table.columns)), fontsize=8)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def _bars(axes: Axes, column: Column, record: Record) -> None:
    metric, rows = column_metric(column, record), list(record["rows"].values())
    measure = "not measured" if metric is None else metric
    axes.set_title(column.title if metric == column.metric else f"{column.title}\n({measure})")
    axes.set_xticks(range(len(rows)), [row["title"] for row in rows], rotation=30, ha="right", fontsize=7)
    axes.grid(axis="x", visible=False)
    if metric is None:
        axes.set_yticks([])
        return
    for place, row in enumerate(rows):
        value, low, high = (row["figures"][metric][name] for name in ("value", "low", "high"))
        if value is not None:
            spread = None if low is None else [[value - low], [high - value]]
            axes.bar(place, value, 0.6, color=OURS, alpha=0.75, yerr=spread, capsize=3)


def _points(axes: Axes, column: Column, record: Record) -> dict[str, Any]:
    """Draw the paper's figures of a column; the lines by system."""
    points: dict[str, list[tuple[int, float]]] = {}
    for place, row in enumerate(record["rows"].values()):
        for system, values in row["printed"].items():
            if column.metric in values:
                points.setdefault(system, []).append((place, values[column.metric]))
    right = axes.twinx()
    right.grid(visible=False)
    right.spines["right"].set_visible(True)
    return {
        system: right.plot(*zip(*found, strict=True), "o--", color=PAPER[system], markersize=5, linewidth=1)[0]
        for system, found in points.items()
    }

"""A study's plots: matplotlib, as SVG for a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

from .sweeps import CONCURRENCY
from .table import TITLES, measured
from .variants import OVERLAPPED, PLAIN, PLAIN_OVERLAPPED, SERIAL

Record = Mapping[str, Any]
Axes = Any  # matplotlib's
INK, SOFT, LINE = "#2b2826", "#807870", "#e0d8cc"
COLOURS = {PLAIN: "#807870", PLAIN_OVERLAPPED: "#b5aca2", SERIAL: "#2e6da4", OVERLAPPED: "#c8553d"}
ABLATION, ABLATION_COLOUR = "ablations", "#d9a493"
STYLE = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and it can be searched
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}


def plots(record: Record) -> list[tuple[str, str]]:
    """(name, SVG) of each plot that the record has data for."""
    if not measured(record, CONCURRENCY):
        return []
    found: list[tuple[str, str]] = [
        ("cost", _drawn("cost", lambda axes: _cost(axes, record))),
        ("overhead", _drawn("overhead", lambda axes: _overhead(axes, record))),
        ("ablations", _drawn("ablations", lambda axes: _ablations(axes, record))),
        ("latency", _drawn("latency", lambda axes: _latencies(axes, record))),
    ]
    if _pairs(record):
        found.append(("prediction", _drawn("prediction", lambda axes: _prediction(axes, record))))
    return found


def sweep_plot(record: Record, sweep: str) -> str | None:
    """Overhead at each value of a sweep, measured and predicted; None where fewer than two were measured."""
    found = measured(record, sweep)
    if len(found) < 2:
        return None
    return _drawn(f"sweep-{sweep}", lambda axes: _sweep(axes, found, TITLES[sweep]))


def _cost(axes: Axes, record: Record) -> None:
    found = measured(record, CONCURRENCY)
    for name in COLOURS:
        rows = [(p["concurrency"], p["variants"][name]) for p in found if name in p["variants"]]
        if not rows:
            continue
        counts = [n for n, _ in rows]
        axes.plot(counts, _ms(rows), "o-", color=COLOURS[name], label=rows[0][1]["title"])
        floors = [row["floor_seconds_a_frame"] for _, row in rows]
        if name in (PLAIN, OVERLAPPED) and None not in floors:
            axes.plot(
                counts,
                [1e3 * value for value in floors],
                ":",
                color=COLOURS[name],
                label=f"floor, {rows[0][1]['title']}",
            )
    _counts(axes, found)
    axes.set(title="What a frame costs", ylabel="ms a frame", ylim=(0, None))


def _overhead(axes: Axes, record: Record) -> None:
    found = measured(record, CONCURRENCY)
    for name in (SERIAL, OVERLAPPED):
        rows = [(p["concurrency"], p["variants"][name]) for p in found]
        ratios = [row["overhead"] for _, row in rows]
        middle = [ratio["median"] for ratio in ratios]
        spread = [[r["median"] - r["min"] for r in ratios], [r["max"] - r["median"] for r in ratios]]
        counts = [n for n, _ in rows]
        axes.errorbar(counts, middle, spread, fmt="o-", capsize=3, color=COLOURS[name], label=rows[0][1]["title"])
        if all("predicted_of_measured" in row for _, row in rows):
            axes.plot(counts, [_predicted_ratio(p, name) for p in found], "x", color=INK, label="predicted")
    axes.axhline(1.0, color=SOFT, linewidth=0.8)
    _counts(axes, found)
    axes.set(title="Overhead over the plain ARM, batched at n", ylabel="times", ylim=(0, None))


def _ablations(axes: Axes, record: Record) -> None:
    point = measured(record, CONCURRENCY)[-1]
    rows = [(name, row) for name, row in point["variants"].items() if name not in (PLAIN, PLAIN_OVERLAPPED)]
    titles = [row["title"] for _, row in rows]
    colours = [COLOURS.get(name, ABLATION_COLOUR) for name, _ in rows]
    bars = axes.barh(titles, [row["seconds_a_frame"] * 1e3 for _, row in rows], color=colours, height=0.66)
    axes.bar_label(bars, fmt=" %.0f", fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(title=f"What each part is worth, n = {point['concurrency']}", xlabel="ms a frame")


def _latencies(axes: Axes, record: Record) -> None:
    """Every sample as a dot, and its percentiles as strokes."""
    point = measured(record, CONCURRENCY)[-1]
    for place, row in enumerate(point["variants"].values()):
        samples = [frame["latency_ms"] for run in row["samples"] for frame in run["frames"]]
        axes.plot(samples, [place] * len(samples), "o", color=SOFT, alpha=0.35, markersize=4, markeredgewidth=0)
        for name, colour in (("P50", COLOURS[SERIAL]), ("P99", COLOURS[OVERLAPPED])):
            if (value := row["latency_ms"][name]) is not None:
                axes.vlines(value, place - 0.3, place + 0.3, color=colour, label=name)
    axes.set_yticks(range(len(point["variants"])), [row["title"] for row in point["variants"].values()])
    axes.invert_yaxis()
    axes.set(title=f"Latency of each frame, n = {point['concurrency']}", xlabel="ms", xlim=(0, None))


def _prediction(axes: Axes, record: Record) -> None:
    pairs = _pairs(record)
    top = 1.1 * max(max(pair[:2]) for pair in pairs)
    axes.fill_between([0, top], [0, 0.9 * top], [0, 1.1 * top], color=LINE, alpha=0.6, linewidth=0, label="± 10 %")
    axes.plot([0, top], [0, top], color=SOFT, linewidth=0.8)
    for name in (*COLOURS, ABLATION):
        dots = [pair[:2] for pair in pairs if pair[2] == name or (name == ABLATION and pair[2] not in COLOURS)]
        if dots:
            colour = COLOURS.get(name, ABLATION_COLOUR)
            axes.plot(*zip(*dots, strict=True), "o", color=colour, label=name.replace("_", " "), alpha=0.8)
    axes.set(title="Prediction against measurement", xlabel="measured, ms a frame", ylabel="predicted")
    axes.set(xlim=(0, top), ylim=(0, top))


def _sweep(axes: Axes, found: Sequence[Mapping[str, Any]], title: str) -> None:
    """Values are at equal distances: many are not numbers."""
    labels = [str(p["backend"] if p["sweep"] == "backend" else p["value"]) for p in found]
    for name in (SERIAL, OVERLAPPED):
        places = [k for k, point in enumerate(found) if name in point["variants"]]
        if not places:
            continue
        rows = [found[k]["variants"][name] for k in places]
        ratios = [row["overhead"]["median"] for row in rows]
        axes.plot(places, ratios, "o-", color=COLOURS[name], label=rows[0]["title"])
        if all("predicted_of_measured" in row for row in rows):
            predicted = [_predicted_ratio(found[k], name) for k in places]
            axes.plot(places, predicted, "x", color=INK, label="predicted" if name == SERIAL else None)
    axes.set_xticks(range(len(labels)), [label if len(label) < 24 else label[:21] + "..." for label in labels])
    axes.margins(x=0.1)
    axes.set(title=title, ylabel="overhead, times", ylim=(0, None))


def _predicted_ratio(point: Mapping[str, Any], name: str) -> float:
    rows = point["variants"]
    return float(rows[name]["prediction"]["seconds_a_frame"] / rows[PLAIN]["prediction"]["seconds_a_frame"])


def _pairs(record: Record) -> list[tuple[float, float, str]]:
    """Milliseconds a frame as measured and as predicted, of every variant of every point that was measured."""
    return [
        (1e3 * row["seconds_a_frame"], 1e3 * row["prediction"]["seconds_a_frame"], name)
        for point in record["points"]
        if "same_as" not in point
        for name, row in point["variants"].items()
        if row["prediction"] is not None
    ]


def _ms(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> list[float]:
    return [1e3 * row["seconds_a_frame"] for _, row in rows]


def _counts(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    axes.set_xticks([point["concurrency"] for point in found])
    axes.set_xlabel("n, stories in flight")


def _drawn(name: str, draw: Callable[[Axes], None]) -> str:
    """One panel as an ``<svg>`` element. Ids within depend on ``name``, so that several can share a page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.add_subplot()
        axes.set_facecolor("none")
        draw(axes)
        handles, labels = axes.get_legend_handles_labels()
        named = dict(zip(labels, handles, strict=True))  # each once
        if named:
            figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", text[text.index("<svg") :])

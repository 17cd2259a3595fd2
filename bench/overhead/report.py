"""STEM.html: one file that opens anywhere, offline; all that comes from a user is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .plots import plots, sweep_plot
from .sweeps import CONCURRENCY
from .table import (
    COLUMNS,
    CORRECTOR_FREE,
    TITLES,
    UNKNOWN,
    cells,
    conditions,
    corrector_free,
    floors_overhead,
    legend,
    measured,
    overlap,
    percent,
    points,
    predicted,
    spread,
    sweeps,
    times,
    value,
)
from .timeline_svg import key, timelines
from .variants import OVERLAPPED, PLAIN, SERIAL

Record = Mapping[str, Any]
ALSO = ("jitter P99/P50", "exposed LLM, mean ms", "most ms", "J a frame")  # in addition to the table's columns
SWEPT = ("", *COLUMNS[2:4], *COLUMNS[5:9], "exposed LLM", "J a frame")
CSS = """
body { background: #faf7f1; color: #2b2826; font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1220px;
  padding: 40px 28px 80px }
h1 { font-size: 32px; margin: 0 0 6px } h2 { font-size: 20px; margin: 46px 0 8px }
p { max-width: 900px } .soft, figcaption { color: #807870; font-size: 13px }
.lead { display: flex; flex-wrap: wrap; gap: 14px; margin: 26px 0 }
.lead div { background: #fff; border: 1px solid #e0d8cc; border-radius: 10px; padding: 14px 20px; min-width: 150px }
.lead b { color: #ba5435; display: block; font-size: 28px; line-height: 1.2 }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th { color: #807870; font-weight: 600; text-align: right; vertical-align: bottom; padding: 4px 9px }
td { border-top: 1px solid #e0d8cc; padding: 4px 9px; text-align: right; white-space: nowrap }
td:nth-child(2), th:nth-child(2) { text-align: left } tr.first td { border-top: 2px solid #b5aca2 }
.plots { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)) }
.plots svg, svg.timeline { height: auto; width: 100% }
figure { background: #fff; border: 1px solid #e0d8cc; border-radius: 10px; margin: 0; padding: 12px }
.timeline g:hover rect { filter: brightness(1.25) }
.key span { margin-right: 16px } .key i { border-radius: 3px; display: inline-block; height: 12px; margin-right: 6px;
  vertical-align: -1px; width: 12px }
ol { columns: 2; font-size: 13px } details { margin: 8px 0 }
"""


def report(record: Record) -> str:
    """The page."""
    parts = [
        "<h1>What the correction costs</h1>",
        *(f'<p class="soft">{escape(line)}</p>' for line in conditions(record)),
        _lead(record),
        "<h2>Every variant at each concurrency</h2>",
        _table(record),
        f'<p class="soft">{escape(legend())}</p>',
        f'<div class="plots">{"".join(_figure(svg) for _, svg in plots(record))}</div>',
        *_corrector_free(record),
        *_timelines(record),
        *(_sweep(record, sweep) for sweep in sweeps(record)),
        _stories(record),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>What ACDC costs</title>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{CSS}</style></head><body>\n{body}\n</body></html>\n'


def _lead(record: Record) -> str:
    """The figures that are asked for first, at the highest concurrency that was measured."""
    found = measured(record, CONCURRENCY)
    if not found:
        return "<p>Nothing could be measured.</p>"
    point, rows = found[-1], found[-1]["variants"]
    serial, most = rows[SERIAL], rows[OVERLAPPED]
    figures = [
        (times(serial["overhead"]["median"]), "overhead, serial"),
        (times(most["overhead"]["median"]), "overhead, overlapped"),
        (f"{most['frames_a_second']:.2f}", "frames a second, overlapped"),
        (f"{serial['seconds_a_frame'] / most['seconds_a_frame']:.2f}x", "overlapped over serial"),
        (overlap(most), "of the run: ARM and diffusion model overlap"),
        (percent(most["exposed_memory_share"]), "of a chunk waits for memory"),
    ]
    boxes = "".join(f"<div><b>{escape(figure)}</b>{escape(what)}</div>" for figure, what in figures)
    return f'<p>With {point["concurrency"]} stories in flight:</p><div class="lead">{boxes}</div>'


def _table(record: Record) -> str:
    lines = []
    for point in points(record, CONCURRENCY):
        lines += _failed(point, len(COLUMNS) + len(ALSO))
        for name, row in point["variants"].items():
            kind = ' class="first"' if name == PLAIN else ""
            shown = [*cells(point, row), *_also(row)]
            lines.append(f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in shown)}</tr>")
    return _html_table((*COLUMNS, *ALSO), lines)


def _corrector_free(record: Record) -> list[str]:
    """Rows of a model that no corrector follows."""
    rows = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in corrector_free(record)]
    return ["<h2>Without a corrector</h2>", _html_table(CORRECTOR_FREE, rows)] if rows else []


def _also(row: Mapping[str, Any]) -> list[str]:
    """Under ``ALSO``."""
    jitter, exposed = row["jitter"]["P99/P50"], row["exposed_memory_ms"] or {"mean": None, "P100": None}
    found = (jitter, 2), (exposed["mean"], 1), (exposed["P100"], 1), (row["joules_a_frame"], 1)
    return [UNKNOWN if number is None else f"{number:.{digits}f}" for number, digits in found]


def _failed(point: Mapping[str, Any], columns: int) -> list[str]:
    """A line that says why, where a point could not be measured."""
    if "failed" not in point:
        return []
    failure = f"failed: {point['failed']}"
    return [f'<tr><td>{escape(value(point))}</td><td colspan="{columns - 1}">{escape(failure)}</td></tr>']


def _sweep(record: Record, sweep: str) -> str:
    lines = []
    for point in points(record, sweep):
        lines += _failed(point, 1 + len(SWEPT))
        for row in point["variants"].values():
            floor, joules = row["floor_seconds_a_frame"], row["joules_a_frame"]
            shown = (
                value(point), row["title"], f"{1e3 * row['seconds_a_frame']:.0f}", spread(row["overhead"]),
                "" if floor is None else f"{1e3 * floor:.0f}", floors_overhead(point, row), predicted(row),
                overlap(row), percent(row["exposed_memory_share"]), UNKNOWN if joules is None else f"{joules:.1f}",
            )  # fmt: skip
            lines.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in shown)}</tr>")
    heads = (TITLES[sweep], *SWEPT)
    svg = sweep_plot(record, sweep)
    title = f"<h2>{escape(TITLES[sweep])}, n = {points(record, sweep)[0]['concurrency']}</h2>"
    return f'{title}<div class="plots">{_html_table(heads, lines)}{"" if svg is None else _figure(svg)}</div>'


def _timelines(record: Record) -> list[str]:
    """Timelines of the highest concurrency, and of the longest language model's latency."""
    found = []
    chosen = dict.fromkeys(
        group[-1] for sweep in (CONCURRENCY, "latency")
        if (group := [t["point"] for t in record["timelines"] if t["point"].startswith(f"{sweep} ")])
    )  # fmt: skip
    for name in chosen:
        kept = sorted((t for t in record["timelines"] if t["point"] == name), key=lambda t: t["variant"] == OVERLAPPED)
        point = next(p for p in record["points"] if f"{p['sweep']} {p['value']}" == name)
        titles = {variant: row["title"] for variant, row in point["variants"].items()}
        what = f"n = {point['concurrency']}"
        if point["latency_s"]:
            what += f", a language model of {point['latency_s']} s"
        ran = [one for timeline in kept for one in timeline["ran"]]
        found.append(f"<h2>What ran when, {escape(what)}</h2>{key(ran)}")
        found.append(_figure(timelines(kept, titles)))
    return found


def _stories(record: Record) -> str:
    """Stories and sizes of the study."""
    made = []
    for story in record["stories"]:
        lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in story["sentences"])
        made.append(
            f"<details><summary>{escape(story['id'])}, seed {story['seed']}</summary><ol>{lines}</ol></details>"
        )
    return f"<h2>The stories</h2>{''.join(made)}"


def _html_table(heads: tuple[str, ...], lines: list[str]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"

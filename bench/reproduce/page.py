"""The table as Markdown: measured figures with their intervals next to the paper's, cost, controls, remarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..quality.page import number
from .tables import Column, Table

Record = Mapping[str, Any]
NONE = "-"


def page(table: Table, record: Record) -> str:
    """The whole page."""
    lines = [
        f"# {table.name.replace('table', 'Table ')}: {table.title}",
        "",
        f"{record['stories']} {table.unit} by the bundle `{record['bundle']}`. *Paper*: figures of arXiv 2410.04721, "
        "of other models and stories, and of another measure where a metric has another name here: compare rows.",
        "",
        *_figures(table, record),
        "",
        "![chart](chart.png)",
        "",
        *(f"- {remark}" for remark in table.remarks),
        "",
        "## Time and memory",
        "",
        *_spent(record),
        "",
        "## Measures",
        "",
        *_measures(record),
    ]
    return "\n".join([*lines, ""])


def column_metric(column: Column, record: Record) -> str | None:
    """The metric that fills a column, None where none was measured."""
    return next((name for name in column.candidates if name in record["metrics"]), None)


def printed(column: Column, row: Mapping[str, Any]) -> str:
    """The paper's figures of a row: of each system that it has."""
    found = [
        f"{system} {values[column.metric]:g}" for system, values in row["printed"].items() if column.metric in values
    ]
    return ", ".join(found) or NONE


def measured(figure: Mapping[str, Any] | None) -> str:
    """A value and its interval."""
    if figure is None or figure["value"] is None:
        return NONE
    if figure["low"] is None:
        return number(figure["value"])
    return f"{number(figure['value'])} ({number(figure['low'])} to {number(figure['high'])})"


def _figures(table: Table, record: Record) -> Iterator[str]:
    heads = []
    for column in table.columns:
        metric = column_metric(column, record)
        name = column.title if metric in (None, column.metric) else f"{column.title} (`{metric}`)"
        heads += [f"{name} {'↑' if column.higher_is_better else '↓'}", "paper"]
    yield f"| | {' | '.join(heads)} |"
    yield "|---" * (1 + len(heads)) + "|"
    for row in record["rows"].values():
        cells = []
        for column in table.columns:
            metric = column_metric(column, record)
            cells += [measured(row["figures"].get(metric)), printed(column, row)]
        yield f"| {row['title']} | {' | '.join(cells)} |"


def _spent(record: Record) -> Iterator[str]:
    yield "| | frames | s a frame | peak memory, MiB | on the GPU, MiB | runs |"
    yield "|---" * 6 + "|"
    for row in record["rows"].values():
        spent = row["spent"]
        each = f"{spent['seconds'] / spent['frames']:.2f}" if spent["frames"] else NONE
        sizes = f"{spent['peak_mib']:.0f} | {spent['cuda_mib']:.0f}"
        yield f"| {row['title']} | {spent['frames']} | {each} | {sizes} | {spent['runs']} |"
    machine, settings = record["machine"], record["settings"]
    yield ""
    yield (
        f"{machine['processor']}, {settings['threads']} threads, {settings['device']}, {settings['dtype']}, backend "
        f"{settings['backend']}. Seconds are of drawing and writing, up to the last frame of each run; loading is left "
        "out, plans that were made for the first time are not. Memory is the whole process's."
    )


def _measures(record: Record) -> Iterator[str]:
    for name, metric in record["metrics"].items():
        yield f"- `{name}`: {metric['definition']}."
        for row in record["rows"].values():
            figure = row["figures"][name]
            controls = [f"{what} {number(value)}" for what, value in figure["controls"].items() if value is not None]
            said = [*([f"controls: {', '.join(controls)}"] if controls else []), *figure["remarks"]]
            if said:
                yield f"  - {row['title']}: {'; '.join(said)}"
    for missing in record["missing"]:
        yield f"- `{missing['metric']}` was not measured: it wants {missing['file']} ({missing['source']})."
    for failure in record["failures"]:
        yield f"- Left out: {failure}"

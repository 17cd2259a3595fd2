"""An evaluation as text for a terminal: a row for each metric and folder, then remarks, then what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...engine.utils.streams import report
from .evaluate import Evaluation, Missing
from .metric import Figure

NONE, SMALL = "-", 1e-3
WIDE = 120  # columns at least: a narrow terminal breaks lines, and cuts no digit off
CONTROLS = {"same frame": "same", "shuffled": "shuffled", "true pairs": "true"}
COLUMNS = ("metric", "folder", "value", "95 % interval", *CONTROLS.values(), "stories", "frames")
TEXTS = ("metric", "folder")
LEGEND = (
    "same: the first frame repeated; shuffled: each frame followed by another story's, or with another story's text; "
    "true: the reference's own stories"
)


def print_evaluation(found: Evaluation) -> None:
    """On standard output; a reader that is gone loses no figure, because the file is there."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDE)
    with console.capture() as text:
        console.print(_table(found, many=len(found.sets) > 1))
        for line in lines(found):
            console.print(line, markup=False)
    report(text.get().rstrip("\n"))


def lines(found: Evaluation) -> list[str]:
    """Differences, remarks, failures, and what is missing, one line each."""
    first = found.sets[0].name
    controlled = any(one.controls for figures in found.figures.values() for one in figures.values())
    said = [f"{one.name}: {one.definition}" for one in found.metrics]
    said += [LEGEND] if controlled else []
    said += [
        f"{metric}: {name} less {first}: {_signed(row)} over {row['stories']} stories that both drew"
        for name, rows in found.differences.items()
        for metric, row in rows.items()
    ]
    for name, figures in found.figures.items():
        place = f" of {name}" if len(found.figures) > 1 else ""
        said += [f"{metric}{place}: {remark}" for metric, one in figures.items() for remark in one.remarks]
    said += [f"left out: {line}" for line in found.failures]
    return list(dict.fromkeys([*said, *missing_lines(found.missing)]))


def missing_lines(missing: Sequence[Missing]) -> list[str]:
    """One line a file, with the metrics that want it."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for one in missing:
        wanted.setdefault((one.file, one.source), []).append(one.metric)
    return [f"not measured: {', '.join(metrics)}: no {file} ({source})" for (file, source), metrics in wanted.items()]


def number(value: float | None) -> str:
    """Four digits after the point, fewer of large values; small ones as powers of ten."""
    if value is not None and 0 < abs(value) < SMALL:
        return f"{value:.1e}"
    return NONE if value is None else f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


def _table(found: Evaluation, many: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    names = [name for name in COLUMNS if many or name != "folder"]
    for name in names:
        table.add_column(name, justify="left" if name in TEXTS else "right", no_wrap=name != "folder", overflow="fold")
    for metric in found.metrics:
        for folder, figures in found.figures.items():
            cells = _cells(metric.name, folder, figures[metric.name])
            table.add_row(*(cells[name] for name in names))
    return table


def _cells(metric: str, folder: str, figure: Figure) -> dict[str, str]:
    between = NONE if figure.low is None else f"{number(figure.low)} to {number(figure.high)}"
    controls = [number(figure.controls.get(name)) if figure.controls else "" for name in CONTROLS]
    values = (metric, escape(folder), number(figure.value), between, *controls, str(figure.stories), str(figure.frames))
    return dict(zip(COLUMNS, values, strict=True))


def _signed(row: Mapping[str, float | int | None]) -> str:
    return f"{row['value']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"

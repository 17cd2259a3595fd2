"""A study's record as Markdown. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import resolvable
from .overlap import ARM_DM
from .sweeps import CONCURRENCY
from .variants import OVERLAPPED, PLAIN, SERIAL

Record = Mapping[str, Any]
COLUMNS = (
    "n", "", "ms a frame", "overhead", "of the best plain", "floor", "its overhead", "predicted", "ARM and DM overlap",
    "P50 ms", "P90", "P99", "P100", "samples", "first frame ms", "exposed LLM", "MiB",
)  # fmt: skip
TITLES = {
    "strength": "t'",
    "steps": "steps",
    "correct_first": "corrected first frames",
    "correct_every": "one frame in K corrected",
    "chunk_frames": "frames a chunk (video)",
    "batch": "stories a launch",
    "memory": "memory",
    "latency": "LLM latency, s",
    "backend": "backend",
}
MAIN = (PLAIN, SERIAL, OVERLAPPED)
CORRECTOR_FREE = ("model", "n", "ms a frame", "least", "most", "floor", "of it", "first block ms", "MiB")
UNKNOWN = "-"


def table(record: Record, columns: Sequence[str] = COLUMNS) -> str:
    """The main table: every variant at each concurrency. ``columns`` are some of ``COLUMNS``."""
    places = [COLUMNS.index(column) for column in columns]
    lines = [_line(columns), "|---" * len(columns) + "|"]
    for point in points(record, CONCURRENCY):
        if "failed" in point:
            lines.append(_line(_failed(point, len(columns))))
        rows = (cells(point, row) for row in point["variants"].values())
        lines += [_line([row[place] for place in places]) for row in rows]
    return "\n".join(lines)


def sweep_table(record: Record, sweep: str) -> str:
    """One sweep: what the three main variants cost at each value."""
    heads = [TITLES[sweep], "plain ms a frame", "serial", "overlapped", "overhead serial", "overhead overlapped"]
    heads += ["predicted serial", "predicted overlapped", "exposed LLM"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for point in points(record, sweep):
        rows = point["variants"]
        if "failed" in point:
            lines.append(_line(_failed(point, len(heads))))
            continue
        costs = [_ms(rows.get(name)) for name in MAIN]
        ratios = [spread(rows[name]["overhead"]) if name in rows else "" for name in MAIN[1:]]
        said = [predicted(rows[name]) if name in rows else "" for name in MAIN[1:]]
        last = rows.get(OVERLAPPED, rows[SERIAL])
        lines.append(_line([value(point), *costs, *ratios, *said, percent(last["exposed_memory_share"])]))
    return "\n".join(lines)


def page(record: Record, name: str) -> str:
    """STEM.md: the main table, the sweeps, and under which conditions."""
    parts = ["# What the correction costs", "", *conditions(record), "", table(record), "", legend()]
    for sweep in sweeps(record):
        n = points(record, sweep)[0]["concurrency"]
        parts += ["", f"## {TITLES[sweep]}, n = {n}", "", sweep_table(record, sweep)]
    if rows := corrector_free(record):
        heads = [_line(CORRECTOR_FREE), "|---" * len(CORRECTOR_FREE) + "|"]
        parts += ["", "## Without a corrector", "", *heads, *map(_line, rows)]
    return "\n".join([*parts, "", f"Timelines and plots: `{name}.html`; every sample: `{name}.json`.", ""])


def conditions(record: Record) -> list[str]:
    """The conditions of the study, as sentences."""
    s, machine, versions = record["settings"], record["machine"], record["versions"]
    what = f"Bundle {s['bundle']} ({s['dtype']}, backend {s['backend']}, {s['device']}, {s['threads']} threads)"
    rounds = "1 round, the plain ARM first" if s["rounds"] == 1 else f"{s['rounds']} rounds A B B A"
    size = f"{s['stories']} stories of up to {s['frames']} frames, {rounds}, seed {s['seed']}"
    sampler = s.get("sampler", "ddim").upper()  # earlier records have none
    config = f"t' {s['strength']}, {s['num_inference_steps']} {sampler} steps, memory {s['memory']}"
    rates = "; ".join(
        f"{one['backend']} {one['flops'] / 1e9:.0f} GFLOP/s, {one['bandwidth'] / 1e9:.1f} GB/s"
        for one in record["rates"]
    )
    skipped = [f"Left out: {TITLES[one['sweep']]} {one['value']} ({one['why']})." for one in record["skipped"]]
    return [
        f"{what}; {size}; {config}.",
        f"{machine.get('processor') or machine.get('platform')}, {machine.get('cpu_count')} CPUs, "
        f"torch {versions['torch']}, acdc {versions['acdc']}, commit {record['commit'] or 'unknown'}.",
        f"Measured rates by backend: {rates}. "
        f"Energy: {record['energy']}. Peak memory is that of {record['peak_memory_of']}.",
        *skipped,
    ]


def legend() -> str:
    """Meaning of the columns."""
    return (
        "n stories are in flight. A frame's ms are the whole run's over its frames; the overhead is their ratio to the "
        "plain ARM batched at the same n, run by run of the same round (median, and from least to most). The floor is "
        "what operations and weights take at the measured rates, its overhead the ratio of that to the plain ARM's "
        "floor; predicted is the simulated schedule's ms over the measured ones. ARM and DM overlap is the share of "
        "the run in which launches of both models overlap. Latency is that of a frame since the one before it in "
        "its story (for a video, of a chunk); a percentile that the samples do not separate from the largest is left "
        "out. The first frame's latency counts since its story was begun."
    )


def points(record: Record, sweep: str) -> list[Mapping[str, Any]]:
    """Rows of one sweep, in order."""
    return [point for point in record["points"] if point["sweep"] == sweep]


def measured(record: Record, sweep: str) -> list[Mapping[str, Any]]:
    """Those of them that did not fail."""
    return [point for point in points(record, sweep) if "failed" not in point]


def sweeps(record: Record) -> list[str]:
    """Those that were run."""
    return [name for name in dict.fromkeys(point["sweep"] for point in record["points"]) if name != CONCURRENCY]


def cells(point: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """A variant's line of the main table, under ``COLUMNS``."""
    floor = row["floor_seconds_a_frame"]
    return [
        str(point["concurrency"]),
        row["title"],
        _ms(row),
        spread(row["overhead"]),
        times(row["overhead_of_best"]["median"]),
        "" if floor is None else f"{floor * 1e3:.0f}",
        floors_overhead(point, row),
        predicted(row),
        overlap(row),
        *(latency(row, p) for p in (50, 90, 99, 100)),
        str(_samples(row)),
        f"{row['first_frame_ms']['of_a_story']:.0f}",
        percent(row["exposed_memory_share"]),
        f"{row['peak_cuda_mib'] or row['peak_rss_mib']:.0f}",
    ]


def value(point: Mapping[str, Any]) -> str:
    """Value of a sweep's point; with the name of the point that was measured in its place."""
    name = point["backend"] if point["sweep"] == "backend" else point["value"]
    return f"{name} (same as {point['same_as']})" if "same_as" in point else str(name)


def latency(row: Mapping[str, Any], percentile: int) -> str:
    """Milliseconds; unknown where there are too few samples."""
    found = row["latency_ms"][f"P{percentile}"]
    return f"{found:.0f}" if found is not None and resolvable(percentile, _samples(row)) else UNKNOWN


def floors_overhead(point: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The variant's floor over that of the plain ARM at the same n."""
    floor, plain = (one["floor_seconds_a_frame"] for one in (row, point["variants"][PLAIN]))
    return "" if floor is None or plain is None else times(floor / plain)


def overlap(row: Mapping[str, Any]) -> str:
    """The share of ARM and DM overlap."""
    shares = row.get("overlap", row.get("beside"))  # the name in earlier files
    return UNKNOWN if shares is None else percent(shares[ARM_DM])


def predicted(row: Mapping[str, Any]) -> str:
    """The simulated time over the measured one."""
    return f"{row['predicted_of_measured']:.2f}" if "predicted_of_measured" in row else ""


def times(ratio: float) -> str:
    """1.5 -> "1.50x"."""
    return f"{ratio:.2f}x"


def spread(ratio: Mapping[str, float]) -> str:
    """ "1.50x (1.40 to 1.60)"; of a single one, "1.50x"."""
    middle = times(ratio["median"])
    return middle if ratio["min"] == ratio["max"] else f"{middle} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def percent(share: float | None) -> str:
    """0.012 -> "1.2 %"."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def corrector_free(record: Record) -> list[list[str]]:
    """The rows' cells under ``CORRECTOR_FREE``; none where no such model was measured."""
    return [_without_corrector(row) for row in record.get("corrector_free", [])]


def _without_corrector(row: Mapping[str, Any]) -> list[str]:
    title = f"ACDiT {row['model']}, {row['steps']} steps a block"
    if "failed" in row:
        return [title, f"failed: {row['failed']}", *[""] * (len(CORRECTOR_FREE) - 2)]
    own, floor = row["seconds_a_frame"], row["floor_seconds_a_frame"]
    rounds = [seconds / row["frames"] for seconds in row["seconds"]]
    milliseconds = (f"{1e3 * seconds:.0f}" for seconds in (own, min(rounds), max(rounds), floor))
    memory = row["peak_cuda_mib"] or row["peak_rss_mib"]
    shares = f"{100 * floor / own:.0f} %", f"{1e3 * row['first_block_seconds']:.0f}", f"{memory:.0f}"
    return [title, str(row["concurrency"]), *milliseconds, *shares]


def _samples(row: Mapping[str, Any]) -> int:
    return int(row.get("latency_samples", row["frames"]))


def _failed(point: Mapping[str, Any], columns: int) -> list[str]:
    return [value(point), f"failed: {point['failed']}", *[""] * (columns - 2)]


def _ms(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"{row['seconds_a_frame'] * 1e3:.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

"""Tables of published systems at full size, with weights of noise: ``python -m acdc.bench.tables``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PHASES = ("prefill", "draw", "decode", "correct", "encode")
Record = Mapping[str, Any]


def full_size_table(files: Mapping[str, Record]) -> str:
    """A row a system, from the files of ``bench.full_size`` by name: seconds of each phase, and in brackets the share
    of them that its layers' operations and weights take at the rates measured in the same run."""
    heads = ["ARM and corrector", "codes", *(f"{phase}, s" for phase in PHASES), "GiB"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for record in files.values():
        seconds, layers = record["seconds"], record["layers"]
        cells = [f"{seconds[phase]:.1f} ({100 * layers[phase]['share']:.0f} %)" for phase in PHASES]
        peak = f"{record['peak_bytes'] / 2**30:.1f}"
        lines.append(f"| {' | '.join([record['settings']['bundle'], str(record['codes']), *cells, peak])} |")
    settings = next(iter(files.values()))["settings"]
    steps = f"N {settings['num_inference_steps']}, t' {settings['strength']}"
    return "\n".join([*lines, "", f"{settings['dtype']}, {steps}, {_where(files)}"])


def janus_table(files: Mapping[str, Record]) -> str:
    """Seconds of Janus-Pro's codes by the engine and by transformers' generate, from ``bench.janus_generate``."""
    heads = ["stories at a time", "number type", "transformers, s", "engine, s", "times as fast"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for record in files.values():
        for row in record["rows"]:
            theirs, ours = (_range(row[name]["seconds"]) for name in ("transformers", "engine"))
            lines.append(f"| {row['stories']} | {record['dtype']} | {theirs} | {ours} | {row['times']:.2f} |")
    codes = next(iter(files.values()))["codes"]
    return "\n".join([*lines, "", f"{codes} of 576 codes, one after another, A B B A, {_where(files)}"])


def real_size_table(name: str, record: Record) -> str:
    """Seconds of Stable Diffusion 1.5's passes and corrections a contender, from ``bench.real_size``: medians, and in
    brackets how many times as fast the first one is done."""
    tables = record["tables"]
    heads = ["", *(f"{_work(table)}, {table['size']} px, s" for table in tables)]
    medians = [{row["name"]: row["median"] for row in table["rows"]} for table in tables]
    first, *others = (name for name in medians[0] if all(name in column for column in medians))
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for contender in (first, *others):
        cells = [f"{column[contender]:.2f} ({column[first] / column[contender]:.2f})" for column in medians]
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    ran = {**record, "machine": {**record["machine"], "threads": tables[0]["threads"]}}
    rounds = ", ".join(str(len(table["rates"])) for table in tables)
    return "\n".join([*lines, "", f"Medians of {rounds} turns, A B C C B A, {_where({name: ran})}"])


def _work(table: Record) -> str:
    return "UNet pass" if table["work"] == "pass" else f"correction, {table['steps'] // 2} of {table['steps']} steps"


def _range(seconds: list[float]) -> str:
    return " to ".join(dict.fromkeys(f"{value:.1f}" for value in (min(seconds), max(seconds))))


def _where(files: Mapping[str, Record]) -> str:
    first = next(iter(files.values()))
    machine, sources = first["machine"], ", ".join(f"`bench/results/{name}`" for name in files)
    return (
        f"{machine['threads']} threads, {machine['processor']}, torch {first['versions']['torch']}. Source: {sources}."
    )

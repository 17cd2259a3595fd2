"""All parts in order of worth, each in a process of its own: ``python -m acdc.bench.gpu all --minutes 9 --out DIR``.

One fault ends no other part: a process that dies, hangs or loses its device costs the row that it was at, and another
one goes on after that row. First every part gets its share of the time, then those that were cut get what is left.
The same command goes on where the last call stopped: what is finished is not run again, and what failed or was refused
only with --retry.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import torch

from ...engine.utils.atomic import write_bytes, write_json
from ..choices import chosen
from ..run_folder import alone_in
from . import parts as table
from .child import CUT, Ended, described, last_line, run
from .parts import ROOT, GpuPart
from .progress import TABLE, Progress, State
from .record import DEVICE_LOST, faults, read, source_commit

LEAST_S = 15.0  # a process with less time would not measure a row
OVER, AGAIN = (State.FINISHED, State.FAILED, State.REFUSED), (State.FAILED, State.REFUSED)


@click.command("all", short_help="Everything that is prepared, resumable; the table of what is left.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder: a JSON and a log a part, run.json, table.txt.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=25.0, show_default=True, help="Length of this call."
)
@click.option("--only", default="", help="Parts, separated by commas; all by default.")
@click.option("--retry", is_flag=True, help="Try again what failed or was refused.")
@click.option("--toy", is_flag=True, help="Rehearse on the CPU, at toy size.")
@click.option("--list", "listing", is_flag=True, help="Name the parts and why some cannot run here; run nothing.")
@click.pass_context
def all_parts(
    context: click.Context, out: Path | None, minutes: float, only: str, retry: bool, toy: bool, listing: bool
) -> None:
    """Run every part that is not finished in --out, and say in a table what ran, what failed and what is left.

    Exit status: 0 all that can run here has run and is right, 1 something failed or is wrong, 75 parts are left.
    """
    known = {part.name: part for part in table.PARTS if part.toy or not toy}
    asked = [known[name] for name in chosen(only, known, "part")]
    if listing:
        for part in asked:
            click.echo(f"{part.name:14} {part.seconds:4.0f} s  {part.what}{_because(part.refusal())}")
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    if not toy and not torch.cuda.is_available():
        raise click.ClickException("torch sees no CUDA device here; --toy rehearses the parts on the CPU")
    try:
        context.exit(run_parts(asked, out, minutes * 60, retry, toy))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def run_parts(parts: Sequence[GpuPart], folder: Path, seconds: float, retry: bool = False, toy: bool = False) -> int:
    """Run ``parts`` in ``folder`` for that number of seconds; returns the exit status. ``ValueError`` for a folder that
    cannot be used, or is in use."""
    until = time.monotonic() + seconds
    with alone_in(folder):
        progress = Progress(folder, toy)
        call = {"began": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds, "commit": source_commit()}
        progress.found["calls"].append(call)
        try:
            Runner(progress, until, retry, toy).run(parts)
        finally:
            said = progress.table(parts)
            write_bytes(folder / TABLE, (said + "\n").encode())
            click.echo(said)
    return progress.status(parts)


class Runner:
    """One call: which part runs next, and what came of it."""

    def __init__(self, progress: Progress, until: float, retry: bool, toy: bool) -> None:
        self.progress, self.until, self.toy = progress, until, toy
        self.retry = retry
        self.begun: set[str] = set()  # in this call

    def run(self, parts: Sequence[GpuPart]) -> None:
        """Every part with its share of the time, then what was cut with what is left of it."""
        for shared in (True, False):
            for part in parts:
                if self._is_over(part):
                    continue
                left = self.until - time.monotonic()
                share = part.seconds - self.progress.seconds(part)
                seconds = min(left, share) if shared else left
                if seconds >= LEAST_S:
                    self._part(part, seconds)

    def _is_over(self, part: GpuPart) -> bool:
        state = self.progress.state(part)
        again = state in AGAIN and self.retry and part.name not in self.begun
        return state in OVER and not again

    def _part(self, part: GpuPart, seconds: float) -> None:
        began, retry = time.monotonic(), self.retry and part.name not in self.begun
        self.begun.add(part.name)
        if reason := part.refusal():
            self.progress.set(part, State.REFUSED, reason)
            return
        click.echo(f"{part.name}: {part.what}")
        state, said = State.CUT, ""
        try:
            state, said = self._processes(part, seconds, retry)
        finally:
            self.progress.set(part, state, said, time.monotonic() - began)
        click.echo(f"{part.name}: {state} after {time.monotonic() - began:.0f} s{_because(said)}")

    def _processes(self, part: GpuPart, seconds: float, retry: bool) -> tuple[State, str]:
        """Process after process until the part is at its end or its time is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if (found := read(self.progress.result(part))) is not None and found["complete"]:
                write_json(self.progress.result(part), found | {"complete": False})  # until this process says so
            ended = self._process(part, left, retry)
            retry = False  # what fails now is not tried again in this call
            if ended.stopped == CUT:
                return State.CUT, ""
            if not part.rows:
                return self._whole(part, ended)
            found = read(self.progress.result(part))
            if found is not None and (found["complete"] or (ended.status == 0 and not ended.stopped)):
                return self._rows(found)
            if ended.status == DEVICE_LOST:
                continue  # the row that lost it is in the file
            if found is None or found["under_way"] is None:
                return State.FAILED, described(ended, self.progress.log(part))
            found["rows"].append({**found["under_way"], "failed": described(ended, self.progress.log(part))})
            write_json(self.progress.result(part), found | {"under_way": None})
        return State.CUT, ""

    def _process(self, part: GpuPart, left: float, retry: bool) -> Ended:
        result, log = self.progress.result(part), self.progress.log(part)
        command = [sys.executable, "-m", *(part.toy if self.toy else part.command)]
        if part.rows:
            command += ["--out", str(result.absolute()), "--seconds", f"{left:.0f}", "--retry" if retry else "--resume"]
        # A row may run on after its part's share, but not after the end of the call.
        until = self.until if part.rows else time.monotonic() + left
        return run(command, log, [result], until, part.silent_s, cwd=Path.cwd() if part.rows else ROOT)

    def _whole(self, part: GpuPart, ended: Ended) -> tuple[State, str]:
        log = self.progress.log(part)
        if ended.status == 0 and not ended.stopped:
            return State.FINISHED, last_line(log)
        return State.FAILED, described(ended, log)

    def _rows(self, found: dict[str, Any]) -> tuple[State, str]:
        """Result of a record that came to an end."""
        if not found["complete"]:
            return State.CUT, ""
        rows = found["rows"]
        if rows and all("refused" in row for row in rows):
            return State.REFUSED, "; ".join(rows[0]["refused"])
        return (State.FAILED if any(map(faults, rows)) else State.FINISHED), ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""

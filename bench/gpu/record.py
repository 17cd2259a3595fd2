"""The JSON file of one measurement: what it was made on, and every row as soon as it is there.

    {"device": ..., "settings": ..., "rates": {...},
     "processes": [{"began": ..., "commit": ..., "versions": {...}, "clocks": {...}}, ...],
     "rows": [...], "under_way": {...} or null, "not_reached": [...], "complete": true or false}

``under_way`` names the row that is being measured, so that the file still names it after a crash.
A file is resumed: rows that are there are not measured again, those that failed or were refused only with ``retry``.
A copy of the repository without its history says its commit in the environment's GIT_COMMIT.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from ...engine.utils.atomic import make_directory, write_json
from ...engine.utils.versions import versions
from ..overhead.study import commit
from .clocks import Clocks

DEVICE_LOST = 74  # exit status: the device answers this process no more; another process may go on
CLOCKS_EVERY_S = 2.0
SAME = ("device", "settings")  # what a file must agree in to be resumed
T = TypeVar("T")


class Output(NamedTuple):
    """Destination of rows. No row begins after ``seconds``; ``resume`` keeps what the file has, ``retry`` measures its
    failed rows again."""

    path: Path
    seconds: float
    resume: bool = False
    retry: bool = False


class Record:
    """Rows on their way to a file."""

    def __init__(self, output: Output, device: str, settings: Mapping[str, Any]) -> None:
        """Begin the file, or go on with it. ``ValueError`` where it was made on another device or with other settings,
        and for an unwritable place."""
        make_directory(output.path.parent)
        self.output, self.device, self.began = output, device, time.perf_counter()
        self.clocks, self.read_at = Clocks(torch.device(device)), -CLOCKS_EVERY_S
        self.found: dict[str, Any] = {"device": device_name(device), "settings": json.loads(json.dumps(settings))}
        earlier = read(output.path) if output.resume else None
        if earlier is not None:
            self._check(earlier)
            self.found = earlier
            if output.retry:
                self.found["rows"] = [row for row in earlier["rows"] if not faults(row) and "refused" not in row]
        process: dict[str, Any] = {"began": datetime.now(UTC).isoformat(timespec="seconds"), "commit": source_commit()}
        process |= {"versions": versions(), "cuda": torch.version.cuda, "clocks": self.clocks.read()}
        self.found["processes"] = [*self.found.get("processes", []), process]
        self.found |= {"rows": self.found.get("rows", []), "under_way": None, "not_reached": [], "complete": False}
        self.write()

    def rates(self, measure: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        """The device's rates: measured once a file, so that all of its floors are of one measure."""
        if "rates" not in self.found:
            self.found["rates"] = dict(measure())
        return dict(self.found["rates"])

    def has(self, what: Mapping[str, Any]) -> bool:
        """Is this row there already?"""
        return any(what.items() <= row.items() for row in self.found["rows"])

    def add(self, what: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> None:
        """The row ``what`` with what ``measure`` finds, unless it is there or the time is over. A row that raises says
        why, and ends nothing; where the device is lost with it, the process ends with ``DEVICE_LOST``."""
        if self.has(what):
            return
        if time.perf_counter() - self.began > self.output.seconds:
            self.found["not_reached"].append(dict(what))
            return
        self.found["under_way"] = dict(what)
        self.write()
        try:
            row = {**what, **measure()}
            json.dumps(row, allow_nan=False)
        except Exception as failure:  # the next row may still be measured
            row = {**what, "failed": one_line(failure)}
        if time.perf_counter() - self.read_at >= CLOCKS_EVERY_S:
            row["clocks"], self.read_at = self.clocks.read(), time.perf_counter()
        self.found["rows"].append(row)
        self.found["under_way"] = None
        self.write()
        if "failed" in row and (said := lost(self.device)) is not None:
            print(f"the device answers this process no more ({said}); go on with --resume", file=sys.stderr, flush=True)
            leave(DEVICE_LOST)

    def each(self, what: Mapping[str, Any], items: Iterable[T]) -> Iterator[T]:
        """The items one by one; where the next one cannot be made, a row ``what`` that says why, and no more."""
        try:
            yield from items
        except Exception as failure:  # other rows may still be measured
            said = {"failed": one_line(failure)}
            self.add(what, lambda: said)

    def finish(self) -> dict[str, Any]:
        """Everything that was found; complete if no row is left."""
        self.found["complete"] = not self.found["not_reached"]
        self.write()
        return self.found

    def write(self) -> None:
        """Replace the file."""
        write_json(self.output.path, self.found)

    def _check(self, earlier: Mapping[str, Any]) -> None:
        for name in SAME:
            if earlier.get(name) != self.found[name]:
                asked, there = json.dumps(self.found[name]), json.dumps(earlier.get(name))
                raise ValueError(f"{self.output.path} has {name} {there}, not {asked}; give another --out")


def read(path: Path) -> dict[str, Any] | None:
    """A record's file; None where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("rows"), list) else None


def faults(row: Any) -> list[str]:
    """Faults in a row, at any depth: what failed, results that are not right, replays that differ."""
    return list(_faults(row))


def _faults(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for part in value:
            yield from _faults(part)
    if not isinstance(value, dict):
        return
    if "failed" in value:
        yield str(value["failed"])
    if value.get("right") is False:
        yield "wrong" if "error" not in value else f"wrong: error {value['error']:.3g}"
    if value.get("passed") is False:
        yield "replays differ"
    for part in value.values():
        yield from _faults(part)


def lost(device: str) -> str | None:
    """Why the device computes nothing for this process any more; None where it does. After an illegal access every
    later call of the process fails."""
    if not device.startswith("cuda"):
        return None
    try:
        gc.collect()
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.ones(1, device=device).add_(1).item()
    except Exception as failure:
        return one_line(failure)
    return None


def alive(*_: object) -> None:
    """A sign of life on standard error, while a row takes minutes; called as phases begin."""
    print(".", end="", file=sys.stderr, flush=True)


def source_commit() -> str | None:
    """Commit of the source that runs: a checkout's own, or as GIT_COMMIT says it of a copy."""
    return commit() or os.environ.get("GIT_COMMIT")


def device_name(device: str) -> str:
    """A GPU's name, or the device as it was given."""
    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else device


def leave(status: int) -> None:
    """End the process without its usual end, where what lies on a lost device would abort it."""
    os._exit(status)


def one_line(failure: Exception) -> str:
    """Its kind and the first line of what it says."""
    return f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0]}"

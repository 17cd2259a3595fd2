"""Progress of the parts: one small JSON file next to their results, and the table of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Any

from ...engine.utils.atomic import write_json
from .parts import GpuPart
from .record import faults, read

FILE, TABLE = "run.json", "table.txt"
FOUND = ("failed", "like", "flops")  # keys of what a row found
AGAIN = 75  # exit status (EX_TEMPFAIL): nothing failed, and parts are left


class State(StrEnum):
    """Progress of a part."""

    LEFT = "left"  # not begun
    CUT = "cut"  # begun, and rows are left
    FINISHED = "finished"
    FAILED = "failed"  # at an end, and something is wrong
    REFUSED = "refused"  # it cannot run here


class Progress:
    """The states of parts in ``folder``, written at every change."""

    def __init__(self, folder: Path, toy: bool) -> None:
        """``ValueError`` where the folder has results of the other kind."""
        self.folder = folder
        found = self._read()
        if found.get("toy", toy) != toy:
            kind = "toy" if found["toy"] else "full"
            raise ValueError(f"{str(folder)!r} holds results of {kind} size; give another --out")
        self.found: dict[str, Any] = {"toy": toy, "calls": [], "parts": {}} | found

    def state(self, part: GpuPart) -> State:
        """Its current state."""
        return State(self._part(part)["state"])

    def seconds(self, part: GpuPart) -> float:
        """Seconds that it has taken so far."""
        return float(self._part(part)["seconds"])

    def set(self, part: GpuPart, state: State, said: str = "", seconds: float = 0.0) -> None:
        """A new state, why, and what the way there took."""
        self.found["parts"][part.name] = {"state": state, "said": said, "seconds": self.seconds(part) + seconds}
        self.write()

    def write(self) -> None:
        """Replace the file."""
        write_json(self.folder / FILE, self.found)

    def result(self, part: GpuPart) -> Path:
        """The file of its rows."""
        return self.folder / f"{part.name}.json"

    def log(self, part: GpuPart) -> Path:
        """The file of its output."""
        return self.folder / f"{part.name}.log"

    def wrong(self, part: GpuPart) -> list[str]:
        """A line for each row in which something is wrong, or one for the part as a whole."""
        found = read(self.result(part)) if part.rows else None
        rows = [f"{named(row)}: {'; '.join(said)}" for row in (found or {"rows": []})["rows"] if (said := faults(row))]
        if rows or self.state(part) != State.FAILED:
            return rows
        return [str(self._part(part)["said"])]

    def status(self, parts: Sequence[GpuPart]) -> int:
        """0: all that can run here has run and is right; 1: something is wrong; 75: parts are left."""
        if any(self.wrong(part) for part in parts):
            return 1
        return AGAIN if any(self.state(part) in (State.LEFT, State.CUT) for part in parts) else 0

    def table(self, parts: Sequence[GpuPart]) -> str:
        """A line a part, then one for everything that is wrong."""
        return "\n".join(self._lines(parts))

    def _lines(self, parts: Sequence[GpuPart]) -> Iterator[str]:
        yield f"{'part':14} {'state':9} {'rows':>5} {'wrong':>5} {'left':>5} {'seconds':>8}"
        for part in parts:
            found = (read(self.result(part)) if part.rows else None) or {}
            rows, left = len(found.get("rows", ())), len(found.get("not_reached", ()))
            said = self._part(part)["said"] if self.state(part) in (State.REFUSED, State.FAILED) else ""
            counts = " ".join(f"{count or '':>5}" for count in (rows, len(self.wrong(part)), left))
            yield f"{part.name:14} {self.state(part):9} {counts} {self.seconds(part):8.0f}  {said}".rstrip()
        for part in parts:
            yield from (f"{part.name}: {line}" for line in self.wrong(part))

    def _part(self, part: GpuPart) -> Mapping[str, Any]:
        fresh = {"state": State.LEFT, "said": "", "seconds": 0.0}
        return dict(self.found["parts"].get(part.name, fresh))

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def named(row: Mapping[str, Any]) -> str:
    """A row by what was asked: what comes first in it, up to the first thing that was found."""
    asked = takewhile(lambda item: item[0] not in FOUND and type(item[1]) in (str, int), row.items())
    return " ".join(str(value) for _, value in asked)

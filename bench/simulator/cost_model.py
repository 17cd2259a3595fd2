"""Cost of a launch: seconds a phase by the stories that share it, measured once (``calibrate.py``). No torch.

Times made of a machine's limits instead of measured ones are a cost model as well: simulated, they are the floor of a
whole schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import Any, get_args

from ...engine.outputs import Phase
from ...engine.scheduler.policy import Unit

FORMAT = 2
OLDER = 1  # had one contention for all batches
UNIT_NAMES: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class CostModel:
    """Times of an engine with its options, on slots as they were when it was measured.

    ``seconds[phase][batch]`` is a launch of ``batch`` stories, alone on a slot with the threads of that slot; of
    ``DRAW`` the whole frame, which takes ``passes[batch]`` passes. ``contention[unit, other][batch]`` is how many
    times slower a launch of ``unit`` is, of that many stories, while one other slot runs ``other`` of as many; what is
    not in it does not disturb. ``memory_s`` is one memory call, ``loop_s`` what the loop spends by itself on each thing
    that is done.

    Worked example, two slots, both drawing 4 stories: each draw lasts seconds[DRAW][4] * contention["arm", "arm"][4].
    """

    seconds: Mapping[Phase, Mapping[int, float]]
    passes: Mapping[int, float] = field(default_factory=dict)
    contention: Mapping[tuple[Unit, Unit], Mapping[int, float]] = field(default_factory=dict)
    memory_s: float = 0.0
    loop_s: float = 0.0

    def __post_init__(self) -> None:
        """``ValueError`` (one line) for impossible times."""
        for phase, row in self.seconds.items():
            _check(f"seconds of {phase.value}", row, 0.0)
        _check("passes", self.passes, 1.0)
        for (unit, other), row in self.contention.items():
            _check(f"contention of {unit} beside {other}", row, 1.0)
        for name in ("memory_s", "loop_s"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} {getattr(self, name)} is out of range; choose 0 or more")

    def launch_seconds(self, phase: Phase, batch: int, passes: float | None = None) -> float:
        """A launch of ``batch`` stories, undisturbed; of a draw, that many ``passes`` (None: the whole frame)."""
        if phase not in self.seconds:
            known = ", ".join(known.value for known in self.seconds) or "none"
            raise ValueError(f"phase {phase.value} was not measured; measured: {known}")
        whole = between(self.seconds[phase], batch)
        return whole if passes is None else whole * passes / self.passes_a_frame(batch)

    def passes_a_frame(self, batch: int = 1) -> float:
        """Passes that the draw of a frame takes; 1 where they were not counted."""
        return between(self.passes, batch) if self.passes else 1.0

    def slowdown(self, unit: Unit, batch: int, running: Iterable[Unit]) -> float:
        """Factor by which a launch of ``batch`` stories is slower while those run; the disturbances of several add
        up."""
        rows = (self.contention.get((unit, other)) for other in running)
        return 1.0 + sum(between(row, batch) - 1.0 for row in rows if row)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "format": FORMAT,
            "seconds": {phase.value: _texts(row) for phase, row in self.seconds.items()},
            "passes": _texts(self.passes),
            "contention": {f"{unit} beside {other}": _texts(row) for (unit, other), row in self.contention.items()},
            "memory_s": self.memory_s,
            "loop_s": self.loop_s,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> CostModel:
        """The model of a :meth:`to_dict` record. ``ValueError`` (one line) for anything else."""
        if record.get("format") not in (OLDER, FORMAT):
            raise ValueError(f"cost model of format {record.get('format')!r}; this engine reads {FORMAT}")
        try:
            slower = {_pair(name): row for name, row in record["contention"].items()}
            if record["format"] == OLDER:
                slower = {pair: {1: times} for pair, times in slower.items()}
            return cls(
                {Phase(name): _numbers(row) for name, row in record["seconds"].items()},
                _numbers(record["passes"]),
                {pair: _numbers(row) for pair, row in slower.items()},
                float(record["memory_s"]),
                float(record["loop_s"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"cost model: {type(error).__name__} at {error}; measure it again") from None


def between(measured: Mapping[int, float], at: int) -> float:
    """The value at a whole number from those around it, on a straight line; beyond the last, along the last two.

    Below the first it is the first one's, and of a single one, anywhere: {1: 3.0, 4: 6.0} is 4.0 at 2 and 10.0 at 8.
    """
    if at in measured:
        return measured[at]
    known = sorted(measured)
    if at < known[0] or len(known) == 1:
        return measured[known[0]]
    low, high = next(((a, b) for a, b in pairwise(known) if at < b), (known[-2], known[-1]))
    value = measured[low] + (measured[high] - measured[low]) * (at - low) / (high - low)
    return max(value, measured[high]) if at > high else value  # noise must not make larger batches free


def _check(name: str, row: Mapping[int, float], least: float) -> None:
    if not row and name != "passes":
        raise ValueError(f"{name}: nothing was measured")
    for batch, value in row.items():
        if batch < 1 or not (isfinite(value) and value >= least):
            raise ValueError(f"{name}: {value} for {batch} stories is out of range; choose {least:g} or more")


def _texts(row: Mapping[int, float]) -> dict[str, float]:
    return {str(batch): value for batch, value in sorted(row.items())}


def _numbers(row: Mapping[str, Any]) -> dict[int, float]:
    return {int(batch): float(value) for batch, value in row.items()}


def _pair(name: str) -> tuple[Unit, Unit]:
    """ "arm beside dm" as a pair; ``ValueError`` for unknown units."""
    pairs: dict[str, tuple[Unit, Unit]] = {f"{a} beside {b}": (a, b) for a in UNIT_NAMES for b in UNIT_NAMES}
    if name not in pairs:
        raise ValueError(f"contention {name!r} is unknown; choose among {', '.join(pairs)}")
    return pairs[name]

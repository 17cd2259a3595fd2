"""Predict other numbers of stories and machines from a record of measured stages. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...engine.options import FLAT_NAMES, StoryOptions, make_options
from ...engine.scheduler.policy import SchedulerConfig
from ...engine.scheduler.scheduler import phase_schedule
from .cost_model import CostModel
from .simulator import simulate

PERCENTILES = (50, 90, 99, 100)
SWEEP = "concurrency"  # of a study: its main table
VARIANTS = ("plain", "serial", "overlapped")
MAKERS = "of acdc overhead --study, or of python -m acdc.bench.predict"


@dataclass(frozen=True)
class Way:
    """A measured way to run stories: what its launches and its memory calls cost."""

    title: str
    costs: CostModel
    options: StoryOptions
    config: SchedulerConfig
    memory_s: float

    def memory(self, seconds: float | None) -> Way:
        """With a language model of that latency; the plain ARM asks none."""
        asks = self.options.correction.enabled and seconds is not None
        return replace(self, memory_s=seconds) if asks else self  # type: ignore[arg-type]

    def planned(self, stories: int, frames: int, machines: int) -> dict[str, Any]:
        """Simulated, ready for JSON: ``stories`` of ``frames`` frames each on ``machines`` machines."""
        walks = phase_schedule(self.options, self.config)
        run = simulate(self.costs, [frames] * stories, walks, self.config, memory_s=self.memory_s, machines=machines)
        return {
            "title": self.title,
            "machines": machines,
            "seconds": run.seconds,
            "frames_a_second": run.frames_per_second,
            "first_frame_s": run.first_frame_s,
            "latency_s": {f"P{percent}": run.latency(percent / 100) for percent in PERCENTILES},
            "exposed_memory_share": run.exposed_memory_s / sum(run.latencies) if run.seconds else 0.0,
            "memory_s": self.memory_s,
        }


def ways_of(record: Any) -> list[Way]:
    """Ways of a study's JSON, its largest concurrency; of the predictions' JSON, each number of slots with its largest
    launches. ``ValueError`` (one line) for anything else."""
    if not isinstance(record, Mapping) or not (record.get("groups") or ("points" in record and record.get("costs"))):
        raise ValueError(f"it holds no cost model; give the JSON {MAKERS}, of this version")
    try:
        ways = _of_predictions(record) if record.get("groups") else _of_study(record)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{type(error).__name__} at {error}; give the JSON {MAKERS}") from None
    if not ways:
        raise ValueError(f"nothing in it was measured; give the JSON {MAKERS}")
    return ways


def _of_study(record: Mapping[str, Any]) -> list[Way]:
    models = {(one["backend"], one["name"]): one["costs"] for one in reversed(record["costs"])}  # the first ones count
    points = [point for point in record["points"] if point["sweep"] == SWEEP and point["variants"]]
    if not points:
        return []
    point, ways = max(points, key=lambda point: int(point["concurrency"])), []
    for name in VARIANTS:
        row = point["variants"].get(name)
        if row is not None and row.get("prediction"):
            said, options = row["prediction"], make_options(**point["options"])
            options = options if name != "plain" else options.replace(correction=False)
            costs = CostModel.from_dict(models[point["backend"], said["costs"]])
            ways.append(
                Way(
                    row["title"],
                    costs,
                    options,
                    SchedulerConfig.from_record(row["pipelining"]),
                    float(said["memory_s"]),
                )
            )
    return ways


def _of_predictions(record: Mapping[str, Any]) -> list[Way]:
    known = FLAT_NAMES.keys() & set(record["settings"])
    options, ways = make_options(**{name: record["settings"][name] for name in known}), []
    for group in record["groups"]:
        costs, sizes = CostModel.from_dict(group["costs"]), [row["batch"] for row in group["rows"]]
        config = SchedulerConfig(slots=group["slots"], draw_batch=max(sizes), correct_batch=max(sizes))
        ways.append(Way(f"ACDC, {group['slots']} slots", costs, options, config, costs.memory_s))
    return ways


def parse_machines(text: str) -> Sequence[int]:
    """ "1,8,64" -> [1, 8, 64]; ``ValueError`` for what is not a list of different positive integers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise ValueError(f"machines {text!r} is not a list of counts up to 4096; give some like 1,8,64")
    return sorted({int(part) for part in parts})

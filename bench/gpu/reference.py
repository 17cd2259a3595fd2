"""SDXL-Lightning of random weights on a GPU, a picture of its own size: a row of ``bench/gpu/systems.py``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch

from ..reference_times import draw_reference, make_reference, reference_needs
from ..roofline import Machine
from .record import alive
from .stages import fresh_peak, spread

BUNDLE = "reference:sdxl-lightning"  # in the place of a bundle's name
WAYS = ("plain",)  # no backend runs its stages
STEPS, PICTURES = 4, 3


def measure(device: str, dtype: str, machine: Machine) -> dict[str, Any]:
    """Seconds of each run of a network, over pictures after one that is not timed but counted."""
    fresh_peak(device)
    painter = make_reference(device, dtype, STEPS)
    alive()
    needs = reference_needs(painter, painter.native_size)
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(PICTURES):
        alive()
        for name, seconds in draw_reference(painter, painter.native_size).items():
            times[name] += seconds
    row: dict[str, Any] = {"phases": {}}
    for name, cost in needs.items():
        row["phases"][name] = {**spread(times[name]), "floor": cost.floor(machine), **cost._asdict()}
    if device == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row

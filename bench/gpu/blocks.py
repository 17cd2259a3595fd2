"""ACDiT of random weights on a GPU, phase by phase, each with its floor: rows of ``bench/gpu/systems.py``."""

from __future__ import annotations

from typing import Any

import torch

from ...engine.acdit.pipeline import ACDiTPipeline
from ...engine.acdit.request import STEPS
from ...engine.outputs import Phase
from ..acdit.draw import draw_one
from ..acdit.needs import Counter
from ..roofline import Cost, Machine
from .record import alive
from .stages import fresh_peak, spread

PREFIX = "acdit:"  # of a row's bundle, before the name that acdc acdit --random-weights takes
WAYS = ("plain",)  # no backend runs its stages


def measure(bundle: str, device: str, dtype: str, machine: Machine, steps: int = STEPS) -> dict[str, Any]:
    """A row, after a picture or clip that is not timed. The first block has none before it and does not count; each
    phase's needs are the mean over the blocks that do."""
    fresh_peak(device)
    pipeline = ACDiTPipeline.from_pretrained(random_weights=bundle.removeprefix(PREFIX), device=device, dtype=dtype)
    alive()
    draw_one(pipeline, steps, alive)
    timed = draw_one(pipeline, steps, alive).blocks[1:]
    guidance = pipeline.settings(steps)["guidance_scale"]
    sizes = (pipeline.config, pipeline.vae.config, pipeline.model.dtype, steps, guidance)
    needs = Counter(*sizes).blocks()[1:]
    row: dict[str, Any] = {"phases": {}}
    for phase in (Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE):
        times = [block[phase] for block in timed if phase in block]
        counted = [block[phase] for block in needs if phase in block]
        cost = Cost(*(sum(values) // len(counted) for values in zip(*counted, strict=True)))
        figures = spread(times) if len(times) > 1 else {"median": times[0]}
        row["phases"][phase.value] = {**figures, "floor": cost.floor(machine), **cost._asdict()}
    if device == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row

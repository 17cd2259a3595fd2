"""A model that no corrector follows, at the study's numbers in flight: ACDiT of random weights, block by block.

It is the other way to draw after what was drawn: continuous blocks, denoised by the model itself. Its rows have no
overhead, as there is nothing to leave out; compare its milliseconds a picture (or a clip's frame) with ACDC's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch

from ...engine.acdit.pipeline import ACDiTPipeline
from ...engine.utils.to_one_line import one_line
from ..acdit.draw import Drawn, draw_many, floors
from .floors import Rates
from .peak import Peak


class CorrectorFree(NamedTuple):
    """A model by the name that ``acdc acdit --random-weights`` takes, with ``steps`` a block."""

    name: str
    steps: int


def measure(
    model: CorrectorFree,
    counts: Sequence[int],
    rounds: int,
    device: torch.device,
    dtype: str,
    rates: Rates,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A row for each of ``counts`` requests side by side, of ``rounds`` rounds after a warm-up; where it cannot be
    measured, one that says why."""
    try:
        say(f"ACDiT {model.name}: warm-up")
        pipeline = ACDiTPipeline.from_pretrained(random_weights=model.name, device=str(device), dtype=dtype)
        draw_many(pipeline, 1, 1)
        return [_row(pipeline, model, n, rounds, rates, say) for n in counts]
    except Exception as error:  # the study's own points are there
        return [{"model": model.name, "steps": model.steps, "failed": one_line(str(error))}]


def _row(
    pipeline: ACDiTPipeline, model: CorrectorFree, n: int, rounds: int, rates: Rates, say: Callable[[str], None]
) -> dict[str, Any]:
    peak, runs = Peak(pipeline.model.device), list[Drawn]()
    for number in range(rounds):
        say(f"ACDiT {model.name}, n = {n}: round {number + 1} of {rounds}")
        runs.append(draw_many(pipeline, n, model.steps))
    least = sum(floor.seconds for floor in floors(pipeline, model.steps, n, rates).values())
    frames = runs[0].frames
    return {
        "model": model.name,
        "steps": model.steps,
        "concurrency": n,
        "frames": frames,
        "seconds": [run.seconds for run in runs],
        "seconds_a_frame": median(run.seconds for run in runs) / frames,
        "floor_seconds_a_frame": least / frames,
        "first_block_seconds": median(sum(run.blocks[0].values()) for run in runs),
        "peak_rss_mib": peak.rss_mib(),
        "peak_cuda_mib": peak.cuda_mib(),
    }

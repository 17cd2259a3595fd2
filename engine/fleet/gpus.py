"""GPUs of each engine of a fleet."""

from __future__ import annotations

import os


def gpus_each(option: str, asked: float | None, device: str, *, ray: bool) -> float:
    """GPUs that an engine on ``device`` reserves: ``asked``, the value of ``option``, or by default 1 on GPUs.

    ``ValueError`` for a number that does not go with the device, and for a fraction but a part of one GPU with ``ray``.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f"--device {device} goes with one engine; choose cpu, or cuda: each has its own GPUs")
    on_gpu = device == "cuda"
    chosen = float(on_gpu) if asked is None else asked
    if (chosen > 0) != on_gpu:
        raise ValueError(f"{option} {chosen:g} does not go with --device {device}; choose the other")
    if chosen % 1 and (not ray or chosen > 1):
        where = "below 1" if ray else "with --ray"
        raise ValueError(f"{option} {chosen:g} is a fraction, which goes {where} only; choose a whole number")
    return chosen


def visible_gpus(engines: int, each: int) -> list[list[str]]:
    """The GPUs of each engine, among those that this process may use; ``ValueError`` where they are too few."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(engines * each)] if allowed is None else allowed.split(",")
    if len(names) < engines * each:
        raise ValueError(f"--engines {engines} need {engines * each} GPUs; $CUDA_VISIBLE_DEVICES has {len(names)}")
    return [names[first : first + each] for first in range(0, engines * each, each)]

"""Describe and measure the device: rates of products and copies, and what a launch costs.

Every floor of the other parts uses rates like these, and a device that does not reach them is busy or throttled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import torch

from ...engine.utils.versions import OPTIONAL, installed
from ..roofline import Machine
from .record import Output, Record
from .stages import spread, timed

KINDS = (torch.float32, torch.bfloat16, torch.float16)
LAUNCHES = 100  # small kernels a call
SMALL = 256  # numbers that such a kernel adds to


def run(device: str, output: Output) -> dict[str, Any]:
    """Measure: a row a number type, and a row a way of launching."""
    record = Record(output, device, {"launches": LAUNCHES})
    record.found["properties"] = properties(device)
    record.found["packages"] = {"torch": version("torch")} | {name: installed(name) for name in OPTIONAL}
    for kind in KINDS:
        name = str(kind).removeprefix("torch.")
        record.add({"rates": name}, partial(_rates, kind, device))
    for name, make in (("one by one", _launches), ("one graph", _captured)):
        record.add({"launches": name}, partial(_launch, make, device))
    return record.finish()


def _rates(kind: torch.dtype, device: str) -> dict[str, Any]:
    return Machine.measure(kind, device)._asdict()


def properties(device: str) -> dict[str, Any]:
    """Properties of a GPU, from CUDA."""
    if device != "cuda":
        return {}
    found = torch.cuda.get_device_properties(device)
    names = ("name", "major", "minor", "total_memory", "multi_processor_count", "L2_cache_size")
    return {name: getattr(found, name) for name in names} | {"cudnn": torch.backends.cudnn.version()}


def _launch(make: Callable[[str], Callable[[], Any]], device: str) -> dict[str, Any]:
    """Seconds a launch of a kernel that does next to nothing."""
    if device != "cuda" and make is _captured:
        return {"refused": [f"graphs are captured on cuda, not on {device}"]}
    return spread([seconds / LAUNCHES for seconds in timed(make(device), (), device)])


def _launches(device: str) -> Callable[[], Any]:
    x = torch.zeros(SMALL, device=device)

    def calls() -> None:
        for _ in range(LAUNCHES):
            x.add_(1)

    return calls


def _captured(device: str) -> Callable[[], Any]:
    calls = _launches(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        calls()
    return graph.replay

"""A story's chunks from sentence to picture: the libraries' way, the reference, and every backend that serves
on a CPU (those that compile for minutes with ``-m slow``).

``pytest bench/bench_chunk.py --benchmark-json FILE``; a round's time divided by ``extra_info["chunks"]`` is that of one
chunk (draw, correct, enter again). Right before each round the libraries draw the same story: a shared machine's speed
drifts, and so only the ratio of neighbours is a ratio of the ways.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch

from acdc.bench.baselines import Baseline
from acdc.bench.workloads import backends_to_time, skip_refused
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from acdc.engine.runtime.backends import refusals

SENTENCES = EXAMPLES["benny"][:3]
ROUNDED = "auto, precision bf16"
WAYS = ["libraries", ROUNDED, *backends_to_time()]


@cache
def libraries() -> Baseline:
    return Baseline(Engine.from_pretrained("storyworld", backend="eager"))


def runner(way: str) -> Callable[[], Any]:
    """Draws the story once; models are loaded and plans built here, outside of what is timed."""
    if way == "libraries":
        return lambda: libraries().generate(SENTENCES)
    backend, precision = ("auto", "bf16") if way == ROUNDED else (way, "exact")
    engine = Engine.from_pretrained("storyworld", backend=backend, precision=precision)
    return lambda: engine.generate(SENTENCES, seed=0).images


@pytest.mark.benchmark(group="chunk, float32")
@pytest.mark.parametrize("way", WAYS)
def test_chunk(benchmark: Any, way: str) -> None:
    if way not in ("libraries", ROUNDED):
        refused = refusals(torch.device("cpu"))[way].values()
        skip_refused(way, list(dict.fromkeys(reason for reasons in refused for reason in reasons)))
    others: list[float] = []

    def neighbour() -> None:
        began = time.perf_counter()
        libraries().generate(SENTENCES)
        others.append(time.perf_counter() - began)

    pictures = benchmark.pedantic(runner(way), setup=neighbour, rounds=9, warmup_rounds=2)
    benchmark.extra_info.update(way=way, chunks=len(SENTENCES))
    if benchmark.enabled:
        own = benchmark.stats.stats.data
        ratios = [theirs / ours for theirs, ours in zip(others[-len(own) :], own, strict=True)]
        benchmark.extra_info["times_libraries"] = sorted(ratios)
    assert len(pictures) == len(SENTENCES)

"""A story's chunks from sentence to picture: the libraries' way, the reference, and every backend that serves
on a CPU (those that compile for minutes with ``-m slow``).

``pytest bench/bench_chunk.py --benchmark-json FILE``; a round's time divided by ``extra_info["chunks"]`` is that of one
chunk (draw, correct, enter again).
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from acdc.bench.baselines import Baseline
from acdc.bench.workloads import backends_to_time, skip_refused
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from acdc.engine.plans import refusals

SENTENCES = EXAMPLES["benny"][:3]
WAYS = ["libraries", *backends_to_time()]


def runner(way: str) -> Callable[[], Any]:
    """Draws the story once; models are loaded and plans built here, outside of what is timed."""
    if way == "libraries":
        baseline = Baseline(Engine.from_pretrained("storyworld"))
        return lambda: baseline.generate(SENTENCES)
    engine = Engine.from_pretrained("storyworld", backend=way)
    return lambda: engine.generate(SENTENCES, seed=0).images


@pytest.mark.benchmark(group="chunk, float32")
@pytest.mark.parametrize("way", WAYS)
def test_chunk(benchmark: Any, way: str) -> None:
    if way != "libraries":
        refused = refusals(torch.device("cpu"))[way].values()
        skip_refused(way, list(dict.fromkeys(reason for reasons in refused for reason in reasons)))
    pictures = benchmark.pedantic(runner(way), rounds=7, warmup_rounds=2)
    benchmark.extra_info.update(way=way, chunks=len(SENTENCES))
    assert len(pictures) == len(SENTENCES)

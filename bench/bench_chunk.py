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
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES

SENTENCES = EXAMPLES["benny"][:3]
WAYS: list[Any] = ["libraries", "eager", "openvino"]
WAYS += [pytest.param(name, marks=pytest.mark.slow) for name in ("inductor", "inductor-jit")]


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
    pictures = benchmark.pedantic(runner(way), rounds=7, warmup_rounds=2)
    benchmark.extra_info.update(chunks=len(SENTENCES), threads=torch.get_num_threads(), torch=torch.__version__)
    assert len(pictures) == len(SENTENCES)

"""One story of the embedded bundle, plain and corrected: ``pytest bench/bench_story.py``."""

from typing import Any

import pytest

from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES

SENTENCES = EXAMPLES["benny"][:2]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.from_pretrained("storyworld", backend="eager")


@pytest.mark.parametrize("correction", [False, True], ids=["plain", "acdc"])
def test_two_frames(benchmark: Any, engine: Engine, correction: bool) -> None:
    """Seconds for two frames, memory to picture; the phases' medians are in ``extra_info``."""
    result = benchmark.pedantic(
        engine.generate, (SENTENCES,), {"seed": 0, "correction": correction}, rounds=5, warmup_rounds=1
    )
    benchmark.extra_info["phases_ms"] = result.frames[-1].phases_ms
    benchmark.extra_info["settings"] = dict(result.settings)
    assert [frame.corrected for frame in result.frames] == [correction] * len(SENTENCES)

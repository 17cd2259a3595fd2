"""The draw of a frame, one code after another and many in a pass: ``pytest bench/bench_decoding.py``.

Six frames of held-out stories of the embedded bundle, 1, 2, 4 and 16 side by side, on every backend that serves here
(those that compile for minutes with ``-m slow``). ``python -m acdc.bench.decoding.page`` turns the JSON into a page.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.bench.decoding.frames import Start, starts
from acdc.bench.workloads import LOSSY, backends_to_time, skip_refused
from acdc.engine.engine import Engine
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.models.tokens_per_pass import SEQUENTIAL, choose_tokens_per_pass
from acdc.engine.runtime.backends import refusals
from acdc.engine.utils.weights import read_json

STORIES = [1, 2, 4, 16]
WINDOWS = [(1,), (4,), (8,), (16,), (32,)]


@cache
def engine_on(backend: str) -> Engine:
    return Engine.from_pretrained("storyworld", backend=f"arm_draw={backend}")


@cache
def frames_on(backend: str, stories: int, frames: int) -> list[Start]:
    return starts(engine_on(backend), stories, frames)


@cache
def one_after_another(stories: int, frames: int) -> list[Tensor]:
    """The reference: eager, one row a pass."""
    return [start.draw(None, (1,))[0] for start in frames_on("eager", stories, frames)]


def drawn_by_default() -> list[tuple[int, str, tuple[int, ...]]]:
    """(stories, backend, windows) wherever the bundle's table draws more than one code a pass."""
    table = read_json(find_bundle("storyworld").parts["arm"].folders["path"] / "config.json")["stream"]["windows"]
    found = [
        (stories, backend, choose_tokens_per_pass("auto", table, "cpu", backend, stories))
        for backend in ("eager", "openvino")
        for stories in STORIES
    ]
    return [row for row in found if row[2] != SEQUENTIAL]


@pytest.mark.benchmark(group="a frame's draw, float32")
@pytest.mark.parametrize("windows", WINDOWS, ids=lambda windows: f"window{windows[0]}")
@pytest.mark.parametrize("backend", backends_to_time())
@pytest.mark.parametrize("stories", STORIES)
@torch.inference_mode()
def test_draw(benchmark: Any, stories: int, backend: str, windows: tuple[int, ...]) -> None:
    """A round draws all frames; copies of the caches are made outside of what is timed."""
    skip_refused(backend, refusals(torch.device("cpu"))[backend]["arm_draw"])
    count = 6 if benchmark.enabled else 2
    frames = frames_on(backend, stories, count)

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        return ([(start.session.fork(), start) for start in frames],), {}

    def draw(sessions: Any) -> list[tuple[Tensor, int]]:
        return [start.draw_in(session, start.previous, windows) for session, start in sessions]

    found = benchmark.pedantic(draw, setup=setup, rounds=4, warmup_rounds=1)
    wanted = one_after_another(stories, count)
    differ = sum(int((mine != theirs).any(1).sum()) for (mine, _), theirs in zip(found, wanted, strict=True))
    assert backend in LOSSY or differ <= 1 + stories // 4, "near ties explain one frame, not many"
    benchmark.extra_info.update(
        stories=stories,
        backend=backend,
        windows=list(windows),
        frames=len(frames),
        passes=sum(passes for _, passes in found) / len(frames),
        frames_that_differ=differ,
    )


@pytest.mark.benchmark(group="a frame's draw by default, float32")
@pytest.mark.parametrize(("stories", "backend", "windows"), drawn_by_default())
@torch.inference_mode()
def test_default(benchmark: Any, stories: int, backend: str, windows: tuple[int, ...]) -> None:
    """Time the draw of ``--decoding auto``. Right before each round the same frames are drawn one code a pass, by the
    same backend and by the fastest (OpenVINO): a shared machine's speed drifts, the ratio of neighbours does not."""
    count = 6 if benchmark.enabled else 2
    measured: dict[str, list[float]] = {backend: [], "openvino": []}

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        for name, times in measured.items():
            ready = [(start.session.fork(), start) for start in frames_on(name, stories, count)]
            began = time.perf_counter()
            for session, start in ready:
                start.draw_in(session, start.previous, SEQUENTIAL)
            times.append(time.perf_counter() - began)
        return ([(start.session.fork(), start) for start in frames_on(backend, stories, count)],), {}

    def draw(sessions: Any) -> None:
        for session, start in sessions:
            start.draw_in(session, start.previous, windows)

    benchmark.pedantic(draw, setup=setup, rounds=7, warmup_rounds=1)
    benchmark.extra_info.update(stories=stories, backend=backend, windows=list(windows), frames=count)
    if benchmark.enabled:
        own = benchmark.stats.stats.data
        for key, name in (("times_own", backend), ("times_fastest", "openvino")):
            ratios = [theirs / ours for theirs, ours in zip(measured[name][-len(own) :], own, strict=True)]
            benchmark.extra_info[key] = sorted(ratios)

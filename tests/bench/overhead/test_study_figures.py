"""Figures of a study: percentiles, ratios, overlaps, peak memory, and a video's chunks."""

import json
import platform
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.bench.overhead.figures import FrameSample, RunSample, figures, percentile, ratios, summarise
from acdc.bench.overhead.measure import make_stories
from acdc.bench.overhead.overlap import overlap
from acdc.bench.overhead.run import run_once
from acdc.bench.overhead.sweeps import Around, sweep_points
from acdc.engine.options import make_options
from acdc.engine.outputs import Phase, Ran
from acdc.engine.scheduler.policy import SchedulerConfig

PRESSED = """
import ctypes, sys
import torch
from acdc.engine.utils.malloc import keep_freed_memory
from acdc.bench.overhead.peak import Peak
if sys.argv[1] == "shared":
    keep_freed_memory()
libc, cpu = ctypes.CDLL(None), torch.device("cpu")
libc.malloc.restype = ctypes.c_void_p
blocks = [libc.malloc(1 << 16) for _ in range(1024)]
for block in blocks:
    ctypes.memset(block, 1, 1 << 16)
before = Peak(cpu).rss_mib()
for block in blocks[:-1]:  # the last one holds the heap's end where it is
    libc.free(ctypes.c_void_p(block))
print(before - Peak(cpu).rss_mib())
"""


def run_of(number: int, seconds: float, latencies: list[float], waited: float = 0.0) -> RunSample:
    frames = tuple(
        FrameSample("max", index, latency, waited, sum(latencies[: index + 1]) / 1e3)
        for index, latency in enumerate(latencies)
    )
    return RunSample(number, seconds, frames, 100.0, 0.0)


class TestFigures:
    def test_percentiles_by_nearest_rank(self):
        values = [30.0, 10.0, 40.0, 20.0]
        assert [percentile(values, p) for p in (25, 50, 51, 75, 90, 100)] == [10.0, 20.0, 30.0, 30.0, 40.0, 40.0]
        assert percentile([7.0], 50) == 7.0

    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.integers(1, 100))
    def test_a_percentile_is_the_least_sample_that_its_share_does_not_exceed(self, values, percent):
        found = percentile(values, percent)
        share = len(values) * percent
        assert 100 * sum(value <= found for value in values) >= share
        assert 100 * sum(value < found for value in values) < share
        assert found in values

    def test_figures_of_two_runs(self):
        runs = [run_of(0, 2.0, [100.0, 300.0], 10.0), run_of(1, 4.0, [200.0, 400.0], 40.0)]
        found = figures(runs)
        assert found["frames"] == 4
        assert found["seconds_a_frame"] == 1.5
        assert found["frames_a_second"] == pytest.approx(2 / 3)
        assert found["latency_ms"] == {"P50": 200.0, "P90": None, "P99": None, "P100": 400.0}
        assert found["jitter"] == {"P99/P50": None, "P100/P50": 2.0}
        assert found["latency_samples"] == 4
        assert found["first_frame_ms"] == {"of_a_story": 150.0, "of_the_run": 150.0}
        assert found["exposed_memory_ms"] == {"mean": 25.0, "P100": 40.0}
        assert found["exposed_memory_share"] == 0.1
        assert found["joules_a_frame"] is None
        assert found["overlap"] is None

    @pytest.mark.parametrize(("samples", "shown"), [(9, set()), (10, {"P90"}), (99, {"P90"}), (100, {"P90", "P99"})])
    def test_a_percentile_that_is_the_largest_sample_is_not_shown(self, samples, shown):
        found = figures([run_of(0, 1.0, [float(k + 1) for k in range(samples)])])
        assert {name for name in ("P90", "P99") if found["latency_ms"][name] is not None} == shown
        assert (found["jitter"]["P99/P50"] is None) == ("P99" not in shown)

    def test_a_chunk_of_a_video_is_a_sample_of_several_frames(self):
        chunks = tuple(FrameSample("max", 4 * k, 800.0, None, 0.8 * (k + 1), 4) for k in range(2))
        found = figures([RunSample(0, 1.6, chunks, 1.0, 0.0)])
        assert (found["frames"], found["latency_samples"], found["seconds_a_frame"]) == (8, 2, 0.2)
        assert found["latency_ms"]["P50"] == found["first_frame_ms"]["of_a_story"] == 800.0
        assert found["exposed_memory_ms"] is found["exposed_memory_share"] is None

    def test_the_overlap_is_the_median_of_the_runs(self):
        shares = [{"arm_dm": share, "dm_dm": 0.0, "arm_arm": 0.0} for share in (0.1, 0.5, 0.2)]
        runs = [replace(run_of(k, 1.0, [1.0]), overlap=one) for k, one in enumerate(shares)]
        assert figures(runs)["overlap"] == {"arm_dm": 0.2, "dm_dm": 0.0, "arm_arm": 0.0}

    def test_ratios_pair_runs_of_a_round(self):
        plain = [run_of(0, 1.0, [1.0]), run_of(1, 2.0, [1.0])]
        acdc = [run_of(1, 8.0, [1.0]), run_of(0, 3.0, [1.0])]
        assert ratios(acdc, plain) == {"median": 3.5, "min": 3.0, "max": 4.0}

    def test_the_better_plain_is_a_baseline_too(self):
        measured = {
            name: [run_of(0, s, [1.0])] for name, s in (("plain", 2.0), ("plain_overlapped", 1.0), ("serial", 4.0))
        }
        found = summarise(measured)
        assert found["serial"]["overhead"]["median"] == 2.0
        assert found["serial"]["overhead_of_best"] == {
            "median": 4.0,
            "min": 4.0,
            "max": 4.0,
            "baseline": "plain_overlapped",
        }
        assert json.loads(json.dumps(found)) == found


def lane(slot: int | None, *spans: tuple[Phase, float, float]) -> list[Ran]:
    return [Ran(slot, phase, ("max",), start, end) for phase, start, end in spans]


class TestBeside:
    def test_the_example(self):
        first = lane(0, (Phase.SAMPLE, 0, 2))
        second = lane(1, (Phase.SAMPLE, 0, 1), (Phase.SDEDIT, 1, 4))
        assert overlap([*second, *first]) == {"arm_dm": 0.25, "dm_dm": 0.0, "arm_arm": 0.25}

    def test_one_after_another_and_memory_do_not_overlap(self):
        ran = lane(0, (Phase.SAMPLE, 0, 1), (Phase.SDEDIT, 1, 2)) + lane(None, (Phase.MEMORY, 0, 2))
        assert set(overlap(ran).values()) == set(overlap([]).values()) == {0.0}

    @given(
        st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from(list(Phase)[1:]), st.integers(0, 9), st.integers(0, 9)),
            min_size=1,
        )
    )
    def test_counted_second_by_second(self, launches):
        ran = [Ran(slot, phase, (), min(a, b), max(a, b)) for slot, phase, a, b in launches]
        edges = sorted({time for one in ran for time in (one.start, one.end)})
        counted = {"arm_dm": 0, "dm_dm": 0, "arm_arm": 0}
        for start, end in pairwise(edges):
            there = [one.phase for one in ran if one.start <= start and end <= one.end]
            arms = sum(phase in (Phase.PREFILL, Phase.SAMPLE, Phase.UPDATE_CONTEXT) for phase in there)
            dms = len(there) - arms
            kind = "arm_dm" if arms and dms else "dm_dm" if dms > 1 else "arm_arm" if arms > 1 else None
            if kind is not None:
                counted[kind] += end - start
        whole = edges[-1] - edges[0]
        assert overlap(ran) == {kind: pytest.approx(time / whole if whole else 0) for kind, time in counted.items()}


class TestPeak:
    @pytest.mark.long
    @pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="free memory of glibc")
    @pytest.mark.parametrize("heap", ["shared", "as it is"])
    def test_memory_that_an_earlier_run_released_is_not_in_it(self, heap):
        root = Path(__file__).parents[4]
        done = subprocess.run(
            [sys.executable, "-c", PRESSED, heap], capture_output=True, text=True, check=True, cwd=root
        )
        assert float(done.stdout) > 50, "of 64 MiB in small blocks below one that is held"


@pytest.mark.long
def test_a_video_tells_its_first_chunk_and_no_memory(tiny_engine, monkeypatch):
    monkeypatch.setattr("acdc.bench.overhead.run.VIDEO_FRAMES", 4)
    options = make_options(num_inference_steps=2)
    around = Around(options, 1, SchedulerConfig(), "eager", tiny_engine.start)
    (point, *_), _ = sweep_points(["chunk_frames"], around, asked=True)
    point = replace(point, chunk_frames=2)
    sample, timeline = run_once(tiny_engine, point, point.variants[1], make_stories(1, 1, 0), 0, None)
    assert [(one.index, one.frames, one.waited_ms) for one in sample.frames] == [(0, 2, None), (2, 2, None)]
    assert [one.at_s for one in sample.frames] == pytest.approx(
        [sample.frames[0].latency_ms / 1e3, sum(one.latency_ms for one in sample.frames) / 1e3]
    )
    assert sample.made == 4
    assert (sample.overlap, list(timeline)) == (None, [])

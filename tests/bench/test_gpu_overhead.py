"""The table of what ACDC costs, run on the CPU at toy sizes."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from acdc.bench.gpu.__main__ import gpu
from acdc.bench.gpu.clocks import ASKED, clocks
from acdc.bench.gpu.overhead import SYSTEMS, Floors, of_a_frame
from acdc.bench.gpu.systems import System
from acdc.bench.roofline import Cost
from acdc.engine.bundle import published_names
from acdc.engine.floors import Need, Rates
from acdc.engine.policy import Pipelining
from acdc.engine.story import Phase
from acdc.engine.study.variants import Variant
from tests.small_systems import small_systems

QUICK = {"num_inference_steps": 2, "correction_size": 16}
STORIES = System("stories", "show-o+sd15", {**QUICK, "arm_steps": 2})
CLIPS = System("clips", "lwm+animatediff", {"num_inference_steps": 2}, frames=2)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    small_systems(tmp_path / "published", monkeypatch)
    monkeypatch.setattr("acdc.engine.floors.MATRIX", {"cpu": 64})
    monkeypatch.setattr("acdc.engine.floors.COPY_BYTES", 2**16)
    monkeypatch.setattr("acdc.engine.study.run.VIDEO_FRAMES", 2)
    monkeypatch.setattr("acdc.bench.gpu.overhead.LATENCY_S", 0.01)
    monkeypatch.setattr("acdc.bench.gpu.overhead.SYSTEMS", [STORIES, CLIPS])
    out = tmp_path / "deep" / "overhead.json"
    quick = ["--concurrency", "1,2", "--frames", "2", "--rounds", "1"]
    return out, ["overhead", "--out", str(out), "--device", "cpu", "--dtype", "float32", "--way", "plain", *quick]


@pytest.mark.parametrize(
    ("system", "counts", "names"),
    [
        (STORIES, [1, 2], ["plain", "serial", "overlapped", "overlapped_llm"]),
        pytest.param(CLIPS, [1], ["plain", "serial"], marks=pytest.mark.slow),  # 256 codes a frame, one after another
    ],
    ids=["stories", "clips"],
)
def test_every_way_has_its_figures_beside_its_floor(asked, system, counts, names):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, "--only", system.bundle])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert {"versions", "commit", "settings", "device"} <= record.keys()
    assert [(row["system"], row["n"]) for row in record["rows"]] == [(system.name, n) for n in counts]
    for row in record["rows"]:
        assert "failed" not in row, row
        assert list(row["variants"]) == names
        plain = row["variants"]["plain"]
        assert plain["overhead"]["median"] == 1.0
        for name, found in row["variants"].items():
            assert len(found["samples"]) == 1, "one round"
            assert found["frames"] == (system.frames or 2 * 2 * row["n"])
            assert found["frames_a_second"] > 0
            assert found["exposed_memory_ms"]["mean"] >= 0
            assert found["floor_seconds_a_frame"] > 0
            assert (found["floor_seconds_a_frame"] > plain["floor_seconds_a_frame"]) == (name != "plain")
    assert all(f"{name} " in result.output for name in names[:3])
    assert "floor" in result.output


def test_a_way_that_cannot_run_here_says_why(asked):
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--way", "ours", "--only", "show-o+sd15"]).exit_code == 0
    assert all("cuda" in row["failed"] for row in json.loads(out.read_text())["rows"])


def test_what_the_time_does_not_suffice_for_is_listed(asked):
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--seconds", "-1"]).exit_code == 0
    assert len(json.loads(out.read_text())["not_reached"]) == 3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--way=magic", "unknown way 'magic'; choose among plain, ours"),
        ("--only=show-o", "unknown bundle 'show-o'; choose among show-o+sd15, lwm+animatediff"),
        ("--concurrency=0,1", "concurrency 0 is too small; choose 1 or more"),
        ("--frames=0", "0 is not in the range"),
    ],
)
def test_a_bad_option_is_refused(asked, option, message):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, option])
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()


def test_floors_grow_with_the_stories_where_computing_is_the_limit():
    """Reading 8 bytes at 1 a second bounds the draw, 4 products at 1 a second the correction."""
    floors = Floors(Rates(1.0, 1.0, 0), {Phase.DRAW: Need(2, 8), Phase.CORRECT: Need(4, 1)})
    one, two = Pipelining(slots=1), Pipelining(slots=2)
    plain, serial, beside = Variant("p", "", one, correction=False), Variant("s", "", one), Variant("o", "", two)
    assert [floors.seconds_a_frame(way, 1) for way in (plain, serial, beside)] == [8, 8 + 4, 9]
    assert [floors.seconds_a_frame(way, 4) for way in (plain, serial, beside)] == [2, 2 + 4, 6]


def test_a_clip_counts_its_first_frame_once_and_the_others_alike():
    assert of_a_frame(Phase.DRAW, [Cost(8, 80), Cost(4, 40)], 16) == Need((8 + 15 * 4) // 16, (80 + 15 * 40) // 16)
    assert of_a_frame(Phase.CORRECT, [Cost(20, 64)], 16) == Need(10, 4)


def test_clocks_are_read_where_there_are_any(monkeypatch):
    assert clocks("cpu") == {"told": "nothing of cpu"}
    said = "NVIDIA H100, 570.1, 1980 MHz, 2619 MHz, 401.20 W, 55, 0x0\n"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: SimpleNamespace(stdout=said))
    assert clocks("cuda:0")[ASKED[2]] == "1980 MHz"

    def missing(command, **_):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert clocks("cuda") == {"told": "nothing: FileNotFoundError"}


def test_every_published_bundle_of_a_256_pixel_system_has_a_row():
    assert {system.bundle for system in SYSTEMS} == {"storyworld", *published_names()} - {"show-o-512+sd15"}

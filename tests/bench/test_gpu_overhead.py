"""The table of what ACDC costs, run on the CPU at toy sizes."""

import json
import subprocess
import time
from itertools import count, pairwise
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.gpu.__main__ import gpu
from acdc.bench.gpu.clip_floors import ClipFloors, of_a_frame
from acdc.bench.gpu.clocks import Clocks, watched
from acdc.bench.gpu.overhead import SYSTEMS, Size, run
from acdc.bench.gpu.record import Output
from acdc.bench.gpu.systems import System
from acdc.bench.overhead.energy import Found
from acdc.bench.overhead.floors import Need, Rates
from acdc.bench.overhead.variants import Variant
from acdc.bench.roofline import Cost
from acdc.engine.loading.bundle_place import published_names
from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import SchedulerConfig
from tests.helpers.small_systems import small_systems
from tests.helpers.studies import little_garbage

pytestmark = pytest.mark.measuring

QUICK = {"num_inference_steps": 2, "correction_size": 16}
STORIES = System("stories", "show-o+sd15", {**QUICK, "arm_steps": 2})
CLIPS = System("clips", "lwm+animatediff", {"num_inference_steps": 2}, frames=2)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    small_systems(tmp_path / "published", monkeypatch)
    monkeypatch.setattr("acdc.bench.overhead.floors.MATRIX", {"cpu": 64})
    monkeypatch.setattr("acdc.bench.overhead.floors.COPY_BYTES", 2**16)
    monkeypatch.setattr("acdc.bench.overhead.run.VIDEO_FRAMES", 2)
    monkeypatch.setattr("acdc.bench.gpu.overhead.LATENCY_S", 0.01)
    monkeypatch.setattr("acdc.bench.gpu.overhead.SYSTEMS", [STORIES, CLIPS])
    out = tmp_path / "deep" / "overhead.json"
    quick = ["--concurrency", "1,2", "--frames", "2", "--rounds", "1"]
    with little_garbage():
        yield out, ["overhead", "--out", str(out), "--device", "cpu", "--dtype", "float32", "--way", "plain", *quick]


class Meter:
    """A counter that goes up by 3 J from reading to reading."""

    def __init__(self):
        self.counted = count(0, 3)

    def read(self):
        return (next(self.counted),)

    def joules(self, before, after):
        return float(after[0] - before[0])


@pytest.mark.parametrize(
    ("system", "counts", "names"),
    [
        (STORIES, [1, 2], ["plain", "plain_overlapped", "serial", "overlapped", "overlapped_llm"]),
        pytest.param(CLIPS, [1], ["plain", "serial"], marks=pytest.mark.slow),  # 256 codes a frame, one after another
    ],
    ids=["stories", "clips"],
)
def test_every_way_has_its_figures_and_its_floor(asked, monkeypatch, system, counts, names):
    monkeypatch.setattr("acdc.bench.gpu.overhead.find_meter", lambda device: Found(Meter(), "a stand-in"))
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, "--only", system.bundle])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert {"processes", "settings", "device"} <= record.keys()
    assert record["energy"] == "a stand-in"
    assert [(row["system"], row["n"]) for row in record["rows"]] == [(system.name, n) for n in counts]
    for row in record["rows"]:
        assert "failed" not in row, row
        assert list(row["variants"]) == [name for name in names if row["n"] > 1 or name != "plain_overlapped"]
        assert len(row["needs"]) == (1 if system.frames else 2)
        plain = row["variants"]["plain"]
        assert plain["overhead"]["median"] == 1.0
        for name, found in row["variants"].items():
            assert len(found["samples"]) == 1, "one round"
            assert found["frames"] == (system.frames or 2 * 2 * row["n"])
            assert found["joules_a_frame"] == 3 / found["frames"]
            assert found["frames_a_second"] > 0
            assert system.frames or found["exposed_memory_ms"]["mean"] >= 0
            assert found["floor_seconds_a_frame"] > 0
            corrected = not name.startswith("plain")
            least = plain["floor_seconds_a_frame"] * (1 + 1e-9)  # sums in another order differ by rounding
            assert (found["floor_seconds_a_frame"] > least) == corrected
    for few, many in pairwise(row["needs"][-1] for row in record["rows"]):  # counted again for twice the stories
        for phase in ("decode", "correct", "encode"):
            assert many[phase]["bytes"] == few[phase]["bytes"], "a reading of the weights serves all"
            assert few[phase]["flops"] < many[phase]["flops"] <= 2 * few[phase]["flops"]
    assert all(f"{name} " in result.output for name in names[:-1])
    assert "floor" in result.output
    assert "J plain" in result.output


@pytest.mark.slow  # every launch is timed, alone and next to others
def test_every_way_has_a_prediction(asked):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, "--only", STORIES.bundle, "--predict", "--concurrency", "2"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    assert all(found["prediction"]["seconds_a_frame"] > 0 for found in row["variants"].values())
    assert {found["prediction"]["costs"] for found in row["variants"].values()} == {one["name"] for one in row["costs"]}
    assert "predicted" in result.output


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
        ("--concurrency=0,1", "concurrency 0 is not a power of two, as launches are; choose among 1, 2, 4, 8, ..."),
        ("--concurrency=3", "concurrency 3 is not a power of two"),
        ("--frames=0", "0 is not in the range"),
    ],
)
def test_a_bad_option_is_refused(asked, option, message):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, option])
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()


def test_phases_of_a_clip_run_in_turn_or_concurrently():
    """Reading 8 bytes at 1 a second bounds the draw, 4 products at 1 a second the correction."""
    floors = ClipFloors(Rates(1.0, 1.0, 0), {Phase.SAMPLE: Need(2, 8), Phase.SDEDIT: Need(4, 1)})
    one, two = SchedulerConfig(slots=1), SchedulerConfig(slots=2)
    plain, serial, next_to = Variant("p", "", one, correction=False), Variant("s", "", one), Variant("o", "", two)
    assert [floors.seconds_a_frame(way) for way in (plain, serial, next_to)] == [8, 8 + 4, 9]


def test_a_clip_counts_its_first_frame_once_and_the_others_alike():
    assert of_a_frame(Phase.SAMPLE, [Cost(8, 80), Cost(4, 40)], 16) == Need((8 + 15 * 4) // 16, (80 + 15 * 40) // 16)
    assert of_a_frame(Phase.SDEDIT, [Cost(20, 64)], 16) == Need(10, 4)


CUDA = torch.device("cuda:1")
SAID = "NVIDIA H100, 570.1, 1980 MHz, 2619 MHz, 401.20 W, 55"


@pytest.fixture
def smi(monkeypatch):
    """A stand-in for ``nvidia-smi`` of a driver that knows these fields' names only; returns the commands it got."""
    commands = []

    def install(known="clocks_event_reasons.active"):
        def answer(command, **_):
            commands.append(command)
            fields = command[1].partition("=")[2].split(",")
            reasons = [field for field in fields if "reasons" in field]
            if reasons not in ([], [known]):
                raise subprocess.CalledProcessError(2, command)
            return SimpleNamespace(stdout=f"{SAID}{', 0x0' * len(reasons)}\n")

        monkeypatch.setattr(subprocess, "run", answer)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"12-{device}"))
        return commands

    return install


@pytest.mark.parametrize("known", ["clocks_event_reasons.active", "clocks_throttle_reasons.active", None])
def test_an_older_driver_tells_what_it_knows(smi, known):
    commands, clocks = smi(known), Clocks(CUDA)
    for _ in range(2):
        found = clocks.read()
        assert found["clocks.sm"] == "1980 MHz"
        assert [value for name, value in found.items() if "reasons" in name] == ([] if known is None else ["0x0"])
        assert known is None or known in found
    assert commands[-1] == commands[-2], "what it does not know is asked once"


def test_a_gpu_is_addressed_by_what_the_driver_calls_it(smi):
    commands = smi()
    Clocks(CUDA).read()
    assert commands[0][-1] == "--id=GPU-12-cuda:1"


def test_clocks_of_nothing(smi, monkeypatch):
    assert Clocks(torch.device("cpu")).read() == {"missing": "nothing of cpu"}
    smi()

    def missing(command, **_):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert Clocks(CUDA).read() == {"missing": "nothing: FileNotFoundError"}
    with watched(CUDA, every_s=0.001) as samples:
        time.sleep(0.05)
    assert [sample["missing"] for sample in samples] == ["nothing: FileNotFoundError"], "asked once"


def test_clocks_are_read_while_the_device_works_and_not_after(smi):
    commands = smi()
    with watched(CUDA, every_s=0.001) as samples:
        while len(samples) < 3:
            time.sleep(0.001)
    calls = len(commands)
    time.sleep(0.02)
    assert len(commands) == calls
    assert all(sample["clocks.sm"] == "1980 MHz" for sample in samples)
    assert [sample["at_s"] for sample in samples] == sorted(sample["at_s"] for sample in samples)


def test_the_record_names_the_device_that_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"the GPU {device}")
    monkeypatch.setattr("acdc.bench.gpu.overhead.find_meter", lambda device: Found(None, f"unknown for {device}"))
    monkeypatch.setattr("acdc.bench.gpu.record.Clocks", lambda device: SimpleNamespace(read=dict))
    found = run([], "ours", "cuda:1", "float32", Size([1], 1, 1), Output(tmp_path / "overhead.json", 1.0))
    assert (found["device"], found["energy"]) == ("the GPU cuda:1", "unknown for cuda:1")


def test_every_published_bundle_has_a_row():
    """But the one with a ControlNet, which steers frames that have a depth map (gpu/systems.py)."""
    assert {system.bundle for system in SYSTEMS} == {"storyworld", *published_names()} - {"show-o+sd15-depth"}

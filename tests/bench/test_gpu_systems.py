"""The systems' table, run on the CPU at toy sizes."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from acdc.bench.gpu import reference, systems
from acdc.bench.gpu.__main__ import gpu
from acdc.bench.gpu.systems import SYSTEMS, System
from acdc.bench.roofline import Cost, Machine
from acdc.engine.loading import stable_diffusion_xl
from acdc.engine.loading.bundle_place import published_names
from acdc.engine.outputs import Phase
from tests.helpers.small_roofline import small_roofline
from tests.helpers.small_sdxl import SIZES as SDXL_SIZES
from tests.helpers.small_systems import small_systems

pytestmark = pytest.mark.measuring

SIZES = (16, 32)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    small_systems(tmp_path / "published", monkeypatch)
    small_roofline(monkeypatch)
    monkeypatch.setattr("acdc.bench.gpu.systems.SENTENCES", ("Benny sat.", "He ran."))
    rows = [System(f"at {size}", "show-o+sd15", {"correction_size": size, "num_inference_steps": 4}) for size in SIZES]
    monkeypatch.setattr("acdc.bench.gpu.systems.SYSTEMS", rows)
    out = tmp_path / "deep" / "systems.json"
    return out, ["systems", "--out", str(out), "--device", "cpu", "--dtype", "float32", "--only", "show-o+sd15"]


def test_every_phase_has_a_time_and_a_floor_and_what_cannot_run_says_why(asked):
    out, arguments = asked
    result = CliRunner().invoke(gpu, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert [(row["system"], row["way"]) for row in rows] == [
        ("at 16", "plain"),
        ("at 16", "ours"),
        ("at 32", "plain"),
        ("at 32", "ours"),
    ]
    for row in rows[::2]:
        assert {"prefill", "draw", "decode", "correct", "encode"} <= row["phases"].keys()
        for phase in ("draw", "decode", "correct", "encode"):
            assert row["phases"][phase]["median"] > 0
            assert row["phases"][phase]["floor"] > 0
            assert row["phases"][phase]["flops"] > 0
    small, large = rows[0]["phases"]["correct"], rows[2]["phases"]["correct"]
    assert large["flops"] > 3 * small["flops"], "four times the pixels"
    assert large["bytes"] == small["bytes"], "the same weights, as often"
    assert "cuda" in rows[1]["failed"]


def test_what_the_time_does_not_suffice_for_is_listed(asked):
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--seconds", "0"]).exit_code == 0
    assert len(json.loads(out.read_text())["not_reached"]) == 4


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ways=magic", "unknown way 'magic'; choose among plain, ours"),
        ("--only=show-o", "unknown bundle 'show-o'; choose among show-o+sd15"),
    ],
)
def test_an_unknown_way_or_bundle_is_refused(asked, option, message):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, option])
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()


def test_a_rows_peak_is_not_that_of_the_row_before_which_failed(monkeypatch):
    peak = {"bytes": 0}

    class Engine:
        @classmethod
        def from_pretrained(cls, bundle, **_):
            peak["bytes"] = max(peak["bytes"], 10 if bundle == "large" else 1)
            if bundle == "large":
                raise RuntimeError("out of memory")
            return cls()

    monkeypatch.setattr(systems, "Engine", Engine)
    monkeypatch.setattr(systems, "count", lambda *_: {})
    monkeypatch.setattr(systems, "draw", lambda *_: [])
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: None)
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda: peak.update(bytes=0))
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: peak["bytes"])
    with pytest.raises(RuntimeError):
        systems.measure(System("large", "large", {}), "plain", "cuda", "float32", Machine(1, 1), {})
    found = systems.measure(System("small", "small", {}), "plain", "cuda", "float32", Machine(1, 1), {})
    assert found["peak_bytes"] == 1


def test_what_was_counted_is_known_to_a_process_that_goes_on():
    phases = {"draw": {"median": 1.0, "flops": 3, "bytes": 4}, "memory": {"median": 0.1}}
    rows = [{"system": name, "way": way, "phases": phases} for name, way in (("b", "plain"), ("a", "ours"))]
    record = SimpleNamespace(found={"rows": rows})
    assert systems.counted_before(record, System("b", "b", {})) == {Phase.SAMPLE: Cost(3, 4)}
    assert systems.counted_before(record, System("a", "a", {})) == {}


def test_every_published_bundle_has_a_row():
    rows = {system.bundle for system in SYSTEMS if system.corrects}
    assert rows == {"storyworld", *published_names()}


def test_the_reference_has_a_time_and_a_floor_by_network(asked, monkeypatch):
    monkeypatch.setattr(stable_diffusion_xl, "SIZES", SDXL_SIZES)
    monkeypatch.setattr("acdc.bench.gpu.systems.SYSTEMS", [System("SDXL", reference.BUNDLE, {})])
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments[:-1], reference.BUNDLE])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    assert list(row["phases"]) == ["text", "unet", "decode"]
    for phase in row["phases"].values():
        assert phase["median"] > 0
        assert phase["floor"] > 0
        assert min(phase["flops"], phase["bytes"]) > 0

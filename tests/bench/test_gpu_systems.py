"""The systems' table, run on the CPU at toy sizes."""

import json

import pytest
from click.testing import CliRunner

from acdc.bench.gpu.__main__ import gpu
from acdc.bench.gpu.systems import SYSTEMS, System
from acdc.engine.bundle import published_names
from tests.small_systems import small_systems

SIZES = (16, 32)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    small_systems(tmp_path / "published", monkeypatch)
    monkeypatch.setattr("acdc.bench.roofline.MATRIX", 64)
    monkeypatch.setattr("acdc.bench.roofline.COPY_BYTES", 2**16)
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


def test_an_unknown_way_is_refused(asked):
    _, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, "--ways", "magic"])
    assert result.exit_code == 2
    assert "unknown way 'magic'; choose among plain, ours" in result.output


def test_every_published_bundle_has_a_row():
    assert {system.bundle for system in SYSTEMS} == set(published_names())

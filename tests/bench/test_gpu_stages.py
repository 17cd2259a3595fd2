"""The GPU's stage table, run on the CPU: rows are written as they come, and nothing ends the run."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from acdc.bench.gpu import stages as module
from acdc.bench.gpu.__main__ import gpu, said
from acdc.bench.roofline import Cost
from acdc.bench.workloads import Workload
from acdc.engine.runtime.backends import STAGES
from tests.helpers.small_roofline import small_roofline

pytestmark = pytest.mark.measuring


@pytest.fixture
def asked(tiny_path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROUNDS", 3)
    small_roofline(monkeypatch)
    out = tmp_path / "deep" / "stages.json"
    return out, ["stages", "--out", str(out), "--bundle", str(tiny_path), "--device", "cpu", "--batches", "1,2"]


def test_every_stage_is_compared_and_timed_or_says_why_not(asked):
    out, arguments = asked
    result = CliRunner().invoke(gpu, [*arguments, "--backends", "eager,cudagraph"])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert [row["stage"] for row in found["rows"] if row["backend"] == "eager"] == [*STAGES] * 2
    for row in found["rows"]:
        if row["backend"] == "eager":
            assert row["error"] == 0
            assert 0 < row["low"] <= row["median"] <= row["high"]
            assert row["floor"] > 0
        elif not torch.cuda.is_available():
            assert "it runs on cuda, not on cpu" in row["refused"]
    assert f"{4 * len(STAGES)} rows" in result.output


def test_a_wrong_plan_shows_and_a_broken_one_does_not_end_the_run(asked, monkeypatch):
    out, arguments = asked

    def compile_stage(run, spec, backend, cache):
        if spec.name == "unet":
            raise RuntimeError("no such kernel\nlong story")
        return lambda *inputs: tuple(2 * o for o in module._tuple(run(*inputs)))

    monkeypatch.setattr(module, "compile_stage", compile_stage)
    assert CliRunner().invoke(gpu, [*arguments, "--backends", "eager"]).exit_code == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["failed"] for row in rows if row["stage"] == "unet"} == {"RuntimeError: no such kernel"}
    assert all(row["error"] == pytest.approx(1) for row in rows if row["stage"] != "unet")


class Pair(nn.Module):
    """One output that is well and one that is not."""

    def forward(self, x):
        return x, x.flip(0)


@pytest.mark.parametrize(
    ("flaw", "error"),
    [
        (lambda x: x, 0.0),
        (lambda x: x + 0.5, 0.25),
        (lambda x: x * torch.nan, module.WORST),
        (lambda x: x / 0, module.WORST),
    ],
)
def test_a_flaw_in_any_output_is_the_error(flaw, error):
    work = Workload("pair", Pair(), [torch.tensor([1.0, 2.0])])
    for plan in (lambda x: (x, flaw(x.flip(0))), lambda x: (flaw(x), x.flip(0))):
        assert module.error(work, plan) == error


def test_outputs_of_zeros_are_compared_too():
    work = Workload("pair", Pair(), [torch.zeros(2)])
    assert module.error(work, lambda x: (x, x)) == 0
    assert module.error(work, lambda x: (x, x + 1e-3)) == module.WORST


def test_a_plan_whose_replays_differ_is_reported():
    row = {"median": 1e-3, "floor": 1e-4, "error": 0.0, "replay": {"passed": False}}
    assert said(row).endswith("  REPLAYS DIFFER")
    assert said(row | {"replay": {"passed": True}}).endswith("error 0.0e+00")


def test_what_the_time_does_not_suffice_for_is_listed(asked, monkeypatch):
    """Nor is its cost counted, for which a stage would run."""
    monkeypatch.setattr(Cost, "of", None)
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--backends", "eager", "--seconds", "0"]).exit_code == 0
    found = json.loads(out.read_text())
    assert found["rows"] == []
    assert len(found["not_reached"]) == 2 * len(STAGES)


@pytest.mark.parametrize(
    ("option", "said"), [("--batches=1,x", "'1,x': give whole numbers"), ("--backends=fast", "unknown backend 'fast'")]
)
def test_mistakes(asked, option, said):
    result = CliRunner().invoke(gpu, [*asked[1], option])
    assert result.exit_code == 2
    assert said in result.output

"""The stages' floors and their page."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from acdc.bench.roofline import Cost, Machine
from acdc.bench.stage_page import condense, main
from acdc.bench.workloads import stages
from acdc.engine.runtime.backends import STAGES

pytestmark = pytest.mark.measuring


def test_a_linear_layers_cost_and_floor():
    cost = Cost.of(nn.Linear(30, 20), [torch.zeros(7, 30)])
    assert cost.flops == 2 * 7 * 30 * 20
    assert cost.bytes == 4 * (30 * 20 + 20 + 7 * 30 + 7 * 20)
    assert cost.floor(Machine(flops=cost.flops / 3, bandwidth=1e30)) == pytest.approx(3)
    assert cost.floor(Machine(flops=1e30, bandwidth=cost.bytes / 2)) == pytest.approx(2)


def test_workloads_are_the_stages_and_run(tiny_engine):
    for batch in (1, 3):
        found = list(stages(tiny_engine, batch))
        assert tuple(work.name for work in found) == STAGES
        for work in found:
            assert Cost.of(work.run, work.inputs).flops > 0


def row(median, **extra):
    return {
        "extra_info": extra,
        "stats": {"median": median, "iqr": 0.001, "min": 0, "max": 1, "rounds": 5, "data": [1]},
    }


def test_the_page_says_times_floors_and_ratios(tmp_path):
    rates = {"flops": 1e11, "bandwidth": 1e10}
    stage = {
        "stage": "unet",
        "batch": 4,
        "backend": "eager",
        "flops": 10**9,
        "bytes": 10**6,
        "floor": 0.01,
        "rates": rates,
    }
    raw = {
        "datetime": "2026-01-02T03:04:05",
        "machine_info": {"node": "secret", "cpu": {"brand_raw": "A CPU"}, "threads": 2, "torch": "2"},
        "benchmarks": [row(0.02, **stage), row(1.2, way="openvino", chunks=3, times_libraries=[2.0, 2.5, 3.5])],
    }
    assert "secret" not in json.dumps(condense(raw))
    path = tmp_path / "raw.json"
    path.write_text(json.dumps(raw))
    result = CliRunner().invoke(main, [str(path), "--out", str(tmp_path / "page")])
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert "| unet | 4 | eager | 20.00 | 1.00 | 1.000 | 1.0 | 10.00 | 50% |" in lines
    assert "| openvino | 0.400 | 0.000 | 2.50 | 2.00 to 3.50 |" in lines
    assert json.loads((tmp_path / "page.json").read_text())["rows"][0]["median"] == 0.02

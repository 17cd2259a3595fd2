"""The pass-time curve, run on the CPU at a tiny size."""

import json

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.gpu import decoding, stages
from acdc.bench.gpu.__main__ import gpu
from tests.helpers.small_roofline import small_roofline

pytestmark = pytest.mark.measuring


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "ROUNDS", 3)
    small_roofline(monkeypatch)
    out = tmp_path / "deep" / "decoding.json"
    return out, ["decoding", "--out", str(out), "--size", "tiny", "--device", "cpu", "--windows", "1,4,16"]


def test_every_window_is_timed_and_the_graph_says_why_not(asked):
    out, arguments = asked
    result = CliRunner().invoke(gpu, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert [row["window"] for row in rows] == [1, 4, 16]
    assert [row["flops"] for row in rows] == sorted(row["flops"] for row in rows)
    for row in rows:
        assert 0 < row["eager"]["low"] <= row["eager"]["median"]
        assert "it runs on cuda, not on cpu" in row["cudagraph"]["refused"]
    assert "3 rows" in result.output


def test_a_window_that_fails_ends_nothing(asked, monkeypatch):
    example = decoding.example

    def breaks(draw, device):
        if draw.window == 4:
            raise RuntimeError("out of memory\nand more")
        return example(draw, device)

    monkeypatch.setattr(decoding, "example", breaks)
    out, arguments = asked
    result = CliRunner().invoke(gpu, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert rows[1] == {"window": 4, "failed": "RuntimeError: out of memory"}
    assert "window    4  RuntimeError: out of memory" in result.output
    assert "median" in rows[2]["eager"]


def test_what_the_time_does_not_suffice_for_is_listed(asked):
    out, arguments = asked
    assert CliRunner().invoke(gpu, [*arguments, "--seconds", "0"]).exit_code == 0
    assert json.loads(out.read_text())["not_reached"] == [{"window": window} for window in (1, 4, 16)]


def test_the_full_size_is_lwms_and_counts_seven_billion():
    config, num_codes, codebook = decoding.SIZES["lwm-7b"]
    with torch.device("meta"):
        model = decoding.LWM(config)
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(6.8e9, rel=0.02)
    assert (num_codes, codebook, config.head_dim) == (256, 8192, 128)

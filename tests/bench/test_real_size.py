"""The comparison at real size, at toy size: all contenders read one directory and compute the same."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.real_size import __main__ as command
from acdc.bench.real_size.measure import turns
from acdc.bench.real_size.report import floor, page
from acdc.bench.real_size.weights import write_bundle
from acdc.bench.real_size.worker import count
from acdc.engine.loading.families.stable_diffusion import SIZES

pytestmark = pytest.mark.measuring

TOY = {
    "unet": {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 2,
        "cross_attention_dim": 32,
    },
    "vae": {**SIZES["vae"], "block_out_channels": (32, 32, 32, 32), "layers_per_block": 1},
    "text_encoder": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "projection_dim": 32,
    },
    "scheduler": SIZES["scheduler"],
}


def test_turns_go_there_and_back():
    assert list(turns(["a", "b"], 3)) == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_a_pass_at_full_size_is_counted_without_computing():
    """332 GFLOP of convolutions and linear layers, as counted when it is run on a CPU, whose attention the counter does
    not know, and 16 of attention: by hand 13.4 at 32 x 32 and 2.1 at 16 x 16 and below, own pixels and prompt."""
    found = count(256)
    assert found["flops"] == pytest.approx(348e9, rel=0.01)
    assert found["bytes"] > 2 * 815e6  # parameters without those of the time and of prompts' keys and values


def test_the_floor_is_the_longer_of_computing_and_reading():
    rates = [{"bf16_flops": 100.0, "float32_flops": 10.0, "bandwidth": 50.0}]
    table = {"work": "pass", "steps": 4, "rates": rates, "unet_pass": {"flops": 200, "bytes": 300}}
    assert floor(table, False) == 6
    assert floor(table, True) == 20
    assert floor({**table, "work": "correction"}, False) == 12


@pytest.mark.slow  # eight processes
@pytest.mark.parametrize(("work", "together"), [("pass", []), ("correction", ["--together"])])
def test_contenders_compute_the_same_and_are_reported(work, together, tmp_path):
    pytest.importorskip("diffusers")
    write_bundle(tmp_path / "model", TOY)
    out = tmp_path / "out.json"
    asked = ["--folder", str(tmp_path / "model"), "--work", work, "--size", "64", "--steps", "4", "--rounds", "2"]
    names = "diffusers-float32,eager-float32,eager-bf16"
    result = CliRunner().invoke(command.main, [*asked, "--contenders", names, "--out", str(out), *together])
    assert result.exit_code == 0, result.output
    (table,) = json.loads(out.read_text())["tables"]
    for row in table["rows"]:
        assert len(row["turns"]) == 2
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert 0 < row["mib"] <= row["peak_mib"]
    if work == "pass":  # each has its own noise in a correction
        assert table["relative_difference"]["eager-float32"] < 1e-4
        assert table["relative_difference"]["eager-bf16"] < 0.05
    assert all(f"| {name} |" in page({"tables": [table]}) for name in names.split(","))
    assert torch.get_num_threads() == table["threads"]


def test_an_unknown_contender_is_refused_by_name(tmp_path):
    out = ["--folder", str(tmp_path), "--out", str(tmp_path / "x.json")]
    result = CliRunner().invoke(command.main, ["--contenders", "onnx", *out])
    assert result.exit_code == 2
    assert "'onnx'" in result.output
    assert "eager-bf16" in result.output

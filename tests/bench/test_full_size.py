"""A published system draws and corrects a frame: at toy size always, at full size where minutes are allowed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.full_size import main
from acdc.engine.loading import stable_diffusion_xl
from acdc.engine.models.layers.half_precision import emulated
from tests.helpers.small_roofline import small_roofline
from tests.helpers.small_sdxl import SIZES as SDXL_SIZES
from tests.helpers.small_systems import small_systems

pytestmark = pytest.mark.measuring

LIMIT = 24 * 2**30  # what the machine is to have
IN_FLOAT32 = Path(__file__).parents[2] / "bench" / "results" / "full_size_cpu_2026-11-21.json"


def checked(found: dict, bundle: str, dtype: str) -> None:
    assert (found["settings"]["bundle"], found["settings"]["dtype"]) == (bundle, dtype)
    assert found["settings"]["weights"] == "random"
    assert 0 < found["changed_codes"] <= found["codes"], "the correction was entered"
    for phase in ("prefill", "draw", "decode", "correct", "encode"):
        assert found["seconds"][phase] > 0
    assert 0 < found["peak_bytes"] < LIMIT


def test_a_toy_is_drawn_and_corrected(tmp_path, monkeypatch) -> None:
    small_systems(tmp_path / "published", monkeypatch)
    small_roofline(monkeypatch)
    asked = ["--out", str(tmp_path / "found.json"), "--size", "32", "--arm-steps", "2", "--dtype", "float32"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    checked(json.loads((tmp_path / "found.json").read_text()), "show-o+sd15", "float32")


def test_the_layers_of_an_encoder_and_decoder_are_counted(tmp_path, monkeypatch) -> None:
    small_systems(tmp_path / "published", monkeypatch)
    small_roofline(monkeypatch)
    asked = ["--out", str(tmp_path / "found.json"), "--size", "32", "--dtype", "float32", "--bundle", "uio2-xl+sd15"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    checked(found, "uio2-xl+sd15", "float32")
    width, inner, layers = 32, 32, 2
    mlp, head, drawn = 3 * 48 * width, 64 * width, 15  # codes after the first, which the prefill draws
    a_pass = layers * (4 * width * inner + 2 * width * inner + mlp) + head  # cross-attention's keys are there already
    assert found["layers"]["draw"]["bytes"] == 4 * drawn * a_pass
    assert found["layers"]["draw"]["flops"] == 2 * 2 * drawn * a_pass, "both branches"
    for phase, row in found["layers"].items():
        assert row["floor"] == max(row["flops"] / found["rates"]["flops"], row["bytes"] / found["rates"]["bandwidth"])
        assert row["share"] == pytest.approx(row["floor"] / found["seconds"][phase])


def test_a_smaller_frame_of_a_toy_is_drawn(tmp_path, monkeypatch) -> None:
    small_systems(tmp_path / "published", monkeypatch)
    small_roofline(monkeypatch)
    asked = ["--out", str(tmp_path / "found.json"), "--size", "32", "--dtype", "float32", "--drawn", "32"]
    result = CliRunner().invoke(main, [*asked, "--bundle", "janus-pro-1b+sd15"])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    checked(found, "janus-pro-1b+sd15", "float32")
    assert found["codes"] == 64
    result = CliRunner().invoke(main, [*asked, "--bundle", "show-o+sd15"])
    assert "drawn 32 is for ARMs of kind janus, emu3, unified-io-2, not show-o" in str(result.exception)


def test_a_clip_of_a_toy_is_corrected(tmp_path, monkeypatch) -> None:
    small_systems(tmp_path / "published", monkeypatch)
    asked = ["--bundle", "lwm+videocrafter2", "--clip", "3", "--size", "16", "--width", "24", "--steps", "4"]
    result = CliRunner().invoke(main, [*asked, "--dtype", "float32", "--out", str(tmp_path / "found.json")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["unet_passes"]) == found["start"]["steps_run"] == 2, "both branches in one"
    assert found["settings"]["guidance_scale"] == 12
    seconds = found["seconds"]
    assert 0 < seconds["encode"] + seconds["unet"] + seconds["decode"] < seconds["correct"]
    assert found["mean_change"] > 0.01
    assert 0 < found["peak_bytes"] < LIMIT


def test_a_cascade_of_toys_is_timed_by_its_networks(tmp_path, monkeypatch) -> None:
    small_systems(tmp_path / "published", monkeypatch)
    asked = ["--bundle", "show-o+if", "--clip", "1", "--size", "32", "--steps", "4", "--t5-layers", "1"]
    result = CliRunner().invoke(main, [*asked, "--dtype", "float32", "--out", str(tmp_path / "found.json")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["settings"]["t5_layers"] == 1
    seconds = found["seconds"]
    assert seconds["encode"] == seconds["decode"] == 0, "pixels are their own latents"
    assert min(seconds["text"], seconds["stage_one"], seconds["unet"]) > 0
    assert seconds["text"] + seconds["stage_one"] + seconds["unet"] < seconds["correct"]


def test_a_toy_of_sdxl_draws_from_noise(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stable_diffusion_xl, "SIZES", SDXL_SIZES)
    asked = ["--reference", "--size", "64", "--steps", "3", "--dtype", "float32", "--out", str(tmp_path / "found.json")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["unet_passes"]) == 3
    assert found["settings"]["size"] == 64
    assert min(found["seconds"][name] for name in ("text", "unet", "decode")) > 0


@pytest.mark.slow
def test_show_o_with_stable_diffusion_fits_in_24_gib_at_full_size(tmp_path) -> None:
    """In bfloat16, whether or not the processor has units for it, and in a process of its own, for its peak memory:
    little more than half of what the same took in float32. ACDC_FULL_SIZE_REPORT names a file for the figures."""
    out = os.environ.get("ACDC_FULL_SIZE_REPORT", str(tmp_path / "found.json"))
    asked = ["--out", out, "--arm-steps", "1", "--dtype", "bfloat16"]
    subprocess.run([sys.executable, "-m", "acdc.bench.full_size", *asked], check=True)
    found = json.loads(Path(out).read_text())
    checked(found, "show-o+sd15", "bfloat16")
    assert found["codes"] == 256
    assert found["machine"]["widened"] == emulated(torch.device("cpu"), torch.bfloat16)
    in_float32 = json.loads(IN_FLOAT32.read_text())
    assert in_float32["settings"]["dtype"] == "float32"
    assert found["peak_bytes"] < 0.65 * in_float32["peak_bytes"]

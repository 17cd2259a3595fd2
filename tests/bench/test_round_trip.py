"""Round trips through the coders, measured and shown."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from acdc.bench.storyworld.train.dataset import build_dataset
from acdc.bench.storyworld.train.round_trip import main, travel
from acdc.bench.storyworld.train.tokenizer import export
from acdc.engine.models.tokenizers.vqgan import VQGAN, VQGANConfig

pytestmark = pytest.mark.training


def test_a_trip_that_changes_nothing_loses_nothing_and_one_that_does_is_measured():
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    same, decibels = travel(lambda pixels: pixels, frames)
    np.testing.assert_array_equal(same, frames)
    assert decibels > 90
    _, decibels = travel(lambda pixels: pixels * 0 + pixels.mean(), frames)
    assert decibels < 15


@pytest.mark.parametrize("stories", [1, 2])
def test_figures_and_sheet_are_written(tmp_path: Path, stories: int):
    torch.manual_seed(0)
    build_dataset(tmp_path, 2, "heldout", size=64, edition=2)
    config = VQGANConfig(64, 8, (1, 1, 1), num_res_blocks=1, z_channels=4, codebook_size=16, num_groups=4)
    export(VQGAN(config), tmp_path / "tokenizer")
    words = ("--data", tmp_path, "--stories", stories, "--tokenizer", tmp_path / "tokenizer", "--shown", 4)
    result = CliRunner().invoke(main, [str(word) for word in (*words, "--out", tmp_path / "trip")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "trip.json").read_text())
    assert found["pictures"] == 6 * stories
    assert found["tokenizer"]["psnr"] < 30
    assert found["truth"]["setting"] > 0.8
    assert Image.open(tmp_path / "trip.png").size == (4 * 128, 2 * 128)


def test_a_missing_data_set_is_named(tmp_path: Path):
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "frames.npy" in result.output

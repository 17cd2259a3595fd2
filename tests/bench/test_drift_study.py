"""The study of drift: slopes and identity as numbers, and the whole study on the tiny bundle."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.storyworld.judge.identity import IdentityJudge, save_identity
from acdc.bench.storyworld.study.drift import evaluate_drift, identity_distances, slopes

pytestmark = pytest.mark.measuring


@settings(deadline=None, max_examples=30)
@given(frames=st.integers(2, 40), slope=st.floats(-1, 1), start=st.floats(-3, 3), seed=st.integers(0, 1000))
def test_a_slope_is_that_of_the_line_whatever_even_noise_lies_on_it(frames, slope, start, seed):
    line = start + slope * np.arange(frames)
    noise = np.random.default_rng(seed).normal(size=frames)
    both = slopes(np.stack([line + noise, line - noise]))
    assert both.mean() == pytest.approx(slope, abs=1e-9)
    assert slopes(line[None])[0] == pytest.approx(slope, abs=1e-9)


def test_a_slope_needs_two_frames():
    with pytest.raises(ValueError, match=r"F >= 2"):
        slopes(np.zeros((3, 1)))


def test_equal_frames_keep_their_identity_and_others_lose_it():
    torch.manual_seed(0)
    judge = IdentityJudge(size=32).eval()
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3), dtype=np.uint8)
    frames[:, 1] = frames[:, 0]
    frames[:, 2] //= 4
    distance = identity_distances(judge, frames)
    assert distance.shape == (2, 2)
    assert (distance[:, 0] < distance[:, 1]).all()


@pytest.mark.slow  # half a minute
def test_a_small_study_of_drift(tiny_path, tmp_path):
    save_identity(IdentityJudge(), tmp_path / "identity")
    common = (
        "--bundle", tiny_path, "--edition", 2, "--stories", 2, "--frames", 4, "--batch", 2, "--out", tmp_path,
        "--identity", tmp_path / "identity", "--rows", "truth,plain,every_1,every_2",
    )  # fmt: skip
    result = CliRunner().invoke(evaluate_drift, [str(word) for word in common])
    assert result.exit_code == 0, result.output
    study = json.loads((tmp_path / "storyworld_drift_4.json").read_text())
    assert list(study["rows"]) == ["truth", "plain", "every_1", "every_2"]
    for row in study["rows"].values():
        assert len(row["shown"]["subject"]["by_frame"]) == 4
        assert len(row["shown"]["identity_kept"]["by_frame"]) == 3
        assert "by_story" not in row["shown"]["subject"]
    assert set(study["differences"]) == {"every_1 - plain", "every_2 - every_1"}
    page = (tmp_path / "storyworld_drift_4.md").read_text()
    assert all(row["title"] in page for row in study["rows"].values())
    assert (tmp_path / "storyworld_drift_4.png").stat().st_size > 1000
    assert (tmp_path / "storyworld_drift_4_sheet.png").stat().st_size > 1000


def test_unknown_rows_and_short_stories_are_named(tiny_path, tmp_path):
    for words, needle in ((("--rows", "elephants"), "every_4"), (("--frames", "2"), "3 frames")):
        result = CliRunner().invoke(evaluate_drift, ["--bundle", str(tiny_path), *words, "--out", str(tmp_path)])
        assert result.exit_code == 2
        assert needle in result.output

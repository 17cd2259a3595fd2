"""The start's measurement, on the tiny bundle."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from acdc.bench.start import launch, main

pytestmark = pytest.mark.measuring


@pytest.mark.slow  # half a minute
def test_cold_and_warm_launches_are_timed(tiny_path, tmp_path):
    out = tmp_path / "start.json"
    asked = ["--backends", "eager", "--bundle", str(tiny_path), "--times", "1", "--out", str(out)]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    for run in (row["cold"], *row["warm"], row["warm_median"]):
        assert 0 < run["first_frame"] <= run["all_frames"]
    assert "eager" in result.output


def test_a_command_that_fails_has_no_figure(tiny_path, tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        launch("no such backend", str(tiny_path), tmp_path / "story", tmp_path / "cache")

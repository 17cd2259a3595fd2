"""The study of few-step corrections: rows start at one timestep, and one call measures what another has drawn."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from acdc.bench.storyworld.__main__ import main as storyworld
from acdc.bench.storyworld.study.few_steps import DDIM, DISTILLED, REFERENCE, as_record, turns
from acdc.engine import Engine
from acdc.engine.options import make_options
from tests.helpers.lcm_bundle import edit

pytestmark = pytest.mark.measuring


@pytest.fixture(scope="module")
def few(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a distilled bundle's options."""
    path = tmp_path_factory.mktemp("few") / "bundle"
    shutil.copytree(tiny_path, path)
    defaults = {"sampler": "lcm", "num_inference_steps": 8, "strength": 0.5, "guidance_scale": 1.0, "context": "window"}
    edit(path / "bundle.json", defaults=defaults)
    return path


def test_every_row_starts_at_one_timestep_and_runs_what_its_name_says(tiny_engine: Engine, few: Path) -> None:
    distilled = Engine.from_pretrained(few)
    for engine, rows in ((tiny_engine, DDIM), (distilled, DISTILLED)):
        for row in rows:
            start = engine.start(make_options(**row.options))
            assert (start["timestep"], start["steps_run"]) == (499, int(row.name.split("_")[1]))


def test_turns_alternate() -> None:
    assert list(turns(["a", "b"], 3)) == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


def test_differences_are_paired_by_story() -> None:
    better = {"animal": np.array([1.0, 0.5, 0.5]), "frechet": 2.0}
    worse = {"animal": np.array([0.9, 0.4, 0.4]), "frechet": 3.0}
    record = as_record(worse, better)
    assert record["difference"]["animal"]["high"] == pytest.approx(-0.1), "the same in every story: no spread"
    assert record["animal"]["low"] < 0.45
    assert record["frechet"] == 3.0
    assert "difference" not in as_record(better, None)


@pytest.mark.slow  # six rows and their times
def test_a_small_study(tiny_path: Path, few: Path, tmp_path: Path) -> None:
    common = ["--bundle", str(tiny_path), "--few-steps", str(few), "--stories", "2", "--rounds", "2", "--batch", "2"]
    words = ["evaluate_steps", *common, "--out", str(tmp_path)]
    refused = CliRunner().invoke(storyworld, [*words, "--rows", "lcm_1"])
    assert "--rows needs --draw-only" in refused.output
    first = CliRunner().invoke(storyworld, [*words, "--rows", "lcm_1", "--draw-only"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    before = (tmp_path / "lcm_1.npz").read_bytes()
    result = CliRunner().invoke(storyworld, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "lcm_1.npz").read_bytes() == before
    (path,) = tmp_path.glob("storyworld_few_steps_*.json")
    found = json.loads(path.read_text())
    assert list(found["rows"]) == [row.name for row in (*DDIM, *DISTILLED)]
    assert [row["passes"] for row in found["rows"].values()] == [50, 8, 1, 2, 4, 8]
    assert found["rows"][REFERENCE]["time"]["times_quicker"] == 1
    assert found["rows"]["lcm_4"]["time"]["frames"] == 12
    assert "difference" in found["rows"]["lcm_4"]

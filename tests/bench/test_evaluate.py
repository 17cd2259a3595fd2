"""The quality study end to end on the tiny bundle: every row draws, the report holds every figure."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from acdc.bench.storyworld.study.evaluate import evaluate
from acdc.bench.storyworld.study.rows import Drawn, make_rows, matched_strength
from acdc.engine.models.diffusion.schedule import make_schedule
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.options import StoryOptions, make_options

pytestmark = pytest.mark.measuring


def run(*arguments):
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


@pytest.mark.slow  # half a minute
def test_a_small_study_in_two_parts(tiny_path, tmp_path):
    common = ("--bundle", tiny_path, "--stories", 3, "--paper-seeds", 1, "--batch", 2, "--out", tmp_path)
    rows = "truth,plain,first_2,diffusion_alone"
    assert run(*common, "--rows", "plain", "--draw-only").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.npz"]
    before = (tmp_path / "plain.npz").read_bytes()
    result = run(*common, "--rows", rows)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "plain.npz").read_bytes() == before, "a row that is there is kept"
    study = json.loads((tmp_path / "storyworld_quality.json").read_text())
    assert list(study["rows"]) == rows.split(",")
    assert "all" in study["left_out"]
    assert study["rows"]["truth"]["shown"]["accuracy"]["animal"]["overall"] > 0.2, "renders, even at 16 px"
    page = (tmp_path / "storyworld_quality.md").read_text()
    assert all(study["rows"][name]["title"] in page for name in study["rows"])
    later = tmp_path / "later"
    report = tmp_path / "storyworld_quality.json"
    again = ("--bundle", tiny_path, "--stories", 3, "--paper-seeds", 1, "--batch", 2, "--out", later)
    result = run(*again, "--rows", "steps_10", "--earlier", report)
    assert result.exit_code == 0, result.output
    joined = json.loads((later / "storyworld_quality.json").read_text())
    assert list(joined["rows"]) == [*rows.split(","), "steps_10"]
    assert {name: joined["rows"][name] for name in study["rows"]} == study["rows"]
    assert joined["differences"] == study["differences"]
    assert set(study["left_out"]) - set(joined["left_out"]) == {"steps_10"}
    assert not (later / "storyworld_quality.png").exists(), "its pictures are not here"
    report.write_text(json.dumps({**study, "first_seed": 7}))
    result = run(*again, "--rows", "steps_10", "--earlier", report)
    assert "first_seed is 7, but this study has 100000" in str(result.exception)
    plain = Drawn.load(tmp_path / "plain.npz")
    assert plain.shown.shape == (3, 6, 16, 16, 3)
    assert np.array_equal(plain.shown, plain.drafts)


def test_unknown_rows_are_named(tiny_path, tmp_path):
    result = run("--bundle", tiny_path, "--rows", "elephants", "--out", tmp_path)
    assert result.exit_code == 2
    assert "elephants" in result.output
    assert "no_memory" in result.output


@pytest.mark.parametrize("steps", [5, 10, 20, 50])
def test_matched_strength_starts_nearest_to_the_reference(tiny_engine, steps):
    config = SchedulerConfig.from_dict(tiny_engine.models.corrector.scheduler_config)
    reference = StoryOptions().resolved(tiny_engine.defaults)
    target = make_schedule(config, 50, reference.correction.num_steps_run).start.alpha
    chosen = make_options(num_inference_steps=steps, strength=matched_strength(config, steps, reference))
    gap = abs(make_schedule(config, steps, chosen.correction.num_steps_run).start.alpha - target)
    others = [abs(make_schedule(config, steps, run).start.alpha - target) for run in range(1, steps + 1)]
    assert gap == min(others)
    assert steps != 50 or chosen.correction.num_steps_run == reference.correction.num_steps_run


def test_rows_are_the_issues_ablations(tiny_engine):
    names = {row.name for row in make_rows(tiny_engine)}
    assert names == {
        "truth", "plain", "all", "first_2", "first_4", "no_memory", "no_feedback", "diffusion_alone", "strength_0.3",
        "strength_0.4", "strength_0.6", "steps_10", "steps_20", "full_plain", "full_all",
    }  # fmt: skip

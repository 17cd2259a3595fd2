"""Prediction and measurement, on the tiny bundle: structure, not speed."""

import json
from operator import truediv
from statistics import median

import pytest
from click.testing import CliRunner

from acdc.bench.predict import CALIBRATED_ON, held_out, main
from acdc.bench.simulator.calibrate import calibrate
from acdc.bench.simulator.cost_model import CostModel

pytestmark = pytest.mark.measuring


@pytest.fixture
def calibrated(monkeypatch):
    """The stories that cost models were measured on."""
    seen = []

    def spying(*given, stories, **named):
        seen.extend(stories)
        return calibrate(*given, stories=stories, **named)

    monkeypatch.setattr("acdc.bench.predict.calibrate", spying)
    return seen


def test_every_configuration_is_measured_and_predicted(tiny_path, tmp_path, calibrated):
    out = tmp_path / "results" / "predict.json"
    asked = ["--bundle", str(tiny_path), "--steps", "2", "--stories", "4", "--slots", "2", "--batches", "1,2"]
    result = CliRunner().invoke(main, [*asked, "--memory-ms", "5", "--repeats", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    (group,) = record["groups"]
    assert group["slots"] == 2
    assert CostModel.from_dict(group["costs"]).loop_s > 0
    assert [(row["batch"], row["memory_ms"]) for row in group["rows"]] == [(1, 5), (2, 5)]
    for row in group["rows"]:
        pairs = list(zip(row["predicted"], row["measured"], strict=True))
        assert row["ratios"] == [one["frames_per_second"] / two["frames_per_second"] for one, two in pairs]
        medians = (median(one["frames_per_second"] for one in row[which]) for which in ("predicted", "measured"))
        assert row["ratio"] == truediv(*medians)
        for predicted, measured in pairs:
            assert measured["latency"].keys() == predicted["latency"].keys()
            assert 0 <= predicted["exposed_memory"] <= 1
    lines = [line.split(": ") for line in result.output.splitlines()]
    order = ["calibrate", "measure", "measure", "calibrate"]
    assert [line[-1] for line in lines if "turn" in line[0]] == order
    assert len(lines) == 4 + 2 + 1
    assert "2 slots, batch 2, memory   5 ms" in result.output
    assert [len(sentences) for sentences in calibrated] == [3, 4, 5, 6] * 2
    drawn = {sentence for story in held_out(4) for sentence in story.sentences}
    assert not drawn & {sentence for sentences in calibrated for sentence in sentences}


def test_stories_are_of_every_length_and_always_the_same():
    stories = held_out(6)
    assert [len(story.sentences) for story in stories] == [3, 4, 5, 6, 3, 4]
    assert stories == held_out(6)
    assert len({story.id for story in stories}) == 6


def test_stories_to_calibrate_on_are_others():
    drawn, others = (
        {text for story in stories for text in story.sentences}
        for stories in (held_out(24), held_out(24, CALIBRATED_ON))
    )
    assert not drawn & others


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--batches", "3"],
            "--batches 3 does not occur with 1 slots and 8 stories in flight; choose among 1, 2, 4, 8",
        ),
        (["--batches", "8", "--slots", "2"], "with 2 slots and 8 stories in flight; choose among 1, 2, 4"),
        (["--batches", "4", "--stories", "2"], "with 1 slots and 2 stories in flight; choose among 1, 2"),
        (["--batches", "0"], "draw_batch 0 is too small"),
        (["--slots", "0"], "slots 0 is too small"),
        (["--memory-ms", "0,-1"], "--memory-ms -1 is negative; choose 0 or more"),
    ],
)
def test_a_launch_that_never_occurs_is_refused(tmp_path, given, message):
    result = CliRunner().invoke(main, [*given, "--out", str(tmp_path / "results" / "x.json")])
    assert result.exit_code == 2
    assert message in result.output
    assert not list(tmp_path.iterdir())

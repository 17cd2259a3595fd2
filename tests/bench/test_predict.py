"""Prediction beside measurement, on the tiny bundle: structure, not speed."""

import json

import pytest
from click.testing import CliRunner

from acdc.bench.predict import held_out, main
from acdc.engine.prediction.cost_model import CostModel


def test_every_configuration_is_measured_and_predicted(tiny_path, tmp_path):
    out = tmp_path / "results" / "predict.json"
    asked = ["--bundle", str(tiny_path), "--steps", "2", "--stories", "2", "--slots", "2", "--batches", "1,2"]
    result = CliRunner().invoke(main, [*asked, "--memory-ms", "5", "--repeats", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    (group,) = record["groups"]
    assert group["slots"] == 2
    assert CostModel.from_dict(group["costs"]).loop_s > 0
    assert [(row["batch"], row["memory_ms"]) for row in group["rows"]] == [(1, 5), (2, 5)]
    for row in group["rows"]:
        rates = [row[name]["frames_per_second"] for name in ("predicted", "measured")]
        assert row["ratio"] == pytest.approx(rates[0] / rates[1])
        assert row["measured"]["latency"].keys() == row["predicted"]["latency"].keys()
        assert 0 <= row["predicted"]["exposed_memory"] <= 1
    assert len(result.output.splitlines()) == 1 + 2 + 1
    assert "2 slots, batch 2, memory   5 ms" in result.output


def test_stories_are_of_every_length_and_always_the_same():
    told = held_out(6)
    assert [len(story.sentences) for story in told] == [3, 4, 5, 6, 3, 4]
    assert told == held_out(6)
    assert len({story.id for story in told}) == 6

"""Counters of a plan's nodes, on the tiny bundle."""

import json

import pytest
from click.testing import CliRunner

from acdc.bench.plan_nodes import main

pytestmark = pytest.mark.measuring


def test_kinds_of_nodes_have_times_for_each_precision_and_number_of_threads(tiny_path, tmp_path):
    out = tmp_path / "nodes.json"
    asked = ["--bundle", str(tiny_path), "--precisions", "f32", "--threads", "1,2", "--rounds", "2", "--out", str(out)]
    result = CliRunner().invoke(main, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert [(row["precision"], row["threads"], row["calls"]) for row in rows] == [("f32", 1, 2), ("f32", 2, 2)]
    for row in rows:
        assert 0 < row["min_ms"] <= row["median_ms"] <= row["max_ms"]
        convolutions = [found for kind, found in row["kinds"].items() if kind.startswith("Convolution")]
        assert sum(found["nodes"] for found in convolutions) > 10
        assert all(found["median_ms"] > 0 for found in row["kinds"].values())
    assert "Convolution" in result.output


@pytest.mark.parametrize(("option", "value"), [("--precisions", "f16"), ("--stage", "unett")])
def test_what_is_unknown_is_named_with_the_choices(tiny_path, tmp_path, option, value):
    asked = ["--bundle", str(tiny_path), option, value, "--out", str(tmp_path / "nodes.json")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code != 0
    said = result.output + str(result.exception)
    assert f"{value!r}; choose among " in said

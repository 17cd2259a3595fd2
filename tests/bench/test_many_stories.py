"""The benchmark of many stories runs, keeps its samples, and says what grew."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from acdc.bench.many import HUNDRED, SETTLED, growth, main
from tests.tiny import tiny_bundle


def test_both_loops_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "many.json"
    given = ["--bundle", str(tiny_bundle(tmp_path / "bundle")), "--backend", "eager", "--steps", "2", "--stories", "2"]
    result = CliRunner().invoke(
        main, [*given, "--memory-ms", "0", "--memory-ms", "5", "--thousand", "0", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["backends"][0]["rows"]
    assert [row["memory_ms"] for row in rows] == [0, 5]
    for row in rows:
        pairs = zip(row["serial_s_a_frame"], row["many_s_a_frame"], strict=True)
        assert row["ratios"] == pytest.approx([one / other for one, other in pairs])
        assert 0 <= min(row["exposed_memory"]) <= max(row["exposed_memory"]) < 1
    assert rows[1]["serial_s_a_frame"][0] > 0.005, "the serial loop waits for each call"


def test_growth_is_that_of_medians() -> None:
    samples = [100] * SETTLED + [110] * 2 * HUNDRED
    samples[-1] = 10**6  # one outlier moves no median
    assert growth(samples) == {
        "from_the_start": pytest.approx(0.1), "growth": pytest.approx(0.0), "settled": 110, "last": 110,
    }  # fmt: skip


def test_too_few_stories_for_growth(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--thousand", "10", "--out", str(tmp_path / "x.json")])
    assert result.exit_code == 2
    assert "10 is too few" in result.output

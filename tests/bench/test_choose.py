"""The measurement that decides the table of ``auto``."""

import json
import time

import pytest
from click.testing import CliRunner

from acdc.bench.choose import by_turns, main, medians
from acdc.engine.runtime.backends import STAGES

pytestmark = pytest.mark.measuring


def test_calls_go_there_and_back_and_the_first_rounds_do_not_count():
    order = []
    found = by_turns({name: lambda name=name: order.append(name) for name in "AB"}, rounds=3)
    assert "".join(order) == "ABBA" * 5
    assert {name: len(times) for name, times in found.items()} == {"A": 6, "B": 6}
    assert min(by_turns({"slow": lambda: time.sleep(0.01)}, rounds=1)["slow"]) >= 10


def test_the_spread_is_the_middle_half():
    assert medians({"A": [9, 1, 2, 3, 4, 5, 6, 7]}) == {"A": {"median": 4.5, "low": 3, "high": 6}}


@pytest.mark.slow  # half a minute: plans are built
def test_every_stage_and_the_correction_are_timed(tiny_path, tmp_path):
    out = tmp_path / "auto.json"
    result = CliRunner().invoke(main, ["--bundle", str(tiny_path), "--rounds", "1", "--no-whole", "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["ms"]
    assert set(rows) == {*STAGES, "correction"}
    for name, ways in rows.items():
        assert {"eager", "openvino"} <= {way.removeprefix("stages=") for way in ways}, name
        assert all(0 < row["low"] <= row["median"] <= row["high"] for row in ways.values())

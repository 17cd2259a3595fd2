"""The benchmark of many stories runs, keeps its samples, and says what grew."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from acdc.bench import many, tables
from acdc.bench.many import HUNDRED, SETTLED, growth, main
from acdc.bench.predict import FIRST_SEED
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.scheduler.policy import SchedulerConfig

pytestmark = pytest.mark.measuring


@pytest.fixture(scope="module")
def tiny_record(tiny_path, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("many") / "many.json"
    given = ["--bundle", str(tiny_path), "--backend", "eager", "--steps", "2", "--stories", "2", "--thousand", "0"]
    result = CliRunner().invoke(main, [*given, "--memory-ms", "0", "--memory-ms", "5", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return json.loads(out.read_text())


def test_both_loops_are_measured(tiny_record) -> None:
    record = tiny_record
    assert record["stories"] == {"count": 2, "frames": 3 + 4, "first_seed": FIRST_SEED}
    assert record["rounds"] == 2
    assert SchedulerConfig.from_record(record["pipelining"]) == SchedulerConfig()
    assert make_options(**record["backends"][0]["options"]).correction.num_inference_steps == 2
    rows = record["backends"][0]["rows"]
    assert [row["memory_ms"] for row in rows] == [0, 5]
    for row in rows:
        pairs = zip(row["serial_s_a_frame"], row["many_s_a_frame"], strict=True)
        assert len(row["ratios"]) == 2 * 2
        assert row["ratios"] == pytest.approx([one / other for one, other in pairs])
        assert 0 <= min(row["exposed_memory"]) <= max(row["exposed_memory"]) < 1
    assert rows[1]["serial_s_a_frame"][0] > 0.005, "the serial loop waits for each call"


def test_latencies_take_turns_in_each_round(monkeypatch) -> None:
    ran = []
    monkeypatch.setattr(many, "sample", lambda *given: ran.append((given[3]["memory_ms"], given[5])) or noted(*given))

    def noted(engine, stories, options, row, config, way):
        row[f"{way}_s_a_frame"].append(1.0)

    many.compare(None, [], StoryOptions(), [0, 300], SchedulerConfig(), rounds=2)
    there = [(0, "serial"), (0, "many"), (300, "serial"), (300, "many")]
    assert ran == [*there, *there[::-1]] * 2


def test_a_page_is_made_of_a_record_without_the_thousand(tiny_record, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    record = json.loads(json.dumps(tiny_record))
    (tmp_path / "many_cpu_2026-01-01.json").write_text(json.dumps(record))
    assert "2 stories of 7 frames in all, 4 runs of each. Source:" in tables.many_table()
    memory = {"stories": 500, "growth": 0.01, "from_the_start": 0.02, "settled_after": 200, "hundred": 50}
    record["backends"][0]["memory"] = memory
    (tmp_path / "many_cpu_2026-01-01.json").write_text(json.dumps(record))
    assert "after the first 200 grew the process by 1.00 %, those after the first 50 by 2.0 %." in tables.many_table()


def test_growth_is_that_of_medians() -> None:
    samples = [100] * SETTLED + [110] * 2 * HUNDRED
    samples[-1] = 10**6  # one outlier moves no median
    assert growth(samples) == {
        "from_the_start": pytest.approx(0.1), "growth": pytest.approx(0.0), "settled": 110, "last": 110,
        "hundred": HUNDRED, "settled_after": SETTLED,
    }  # fmt: skip


def test_too_few_stories_for_growth(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--thousand", "10", "--out", str(tmp_path / "x.json")])
    assert result.exit_code == 2
    assert "10 is too few" in result.output

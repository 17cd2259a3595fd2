"""Points of a study that fail or cannot be, equal work, and other backends: the record and the pages say so."""

import json

import pytest

from acdc.bench.overhead import study
from acdc.bench.overhead.measure import measure
from acdc.engine.cli.main import main
from acdc.engine.options import make_options
from tests.helpers.studies import parsed, quickly

SIZES = ["--stories", "1", "--frames", "2", "--rounds", "1", "--concurrency", "1", "--steps", "2"]


@pytest.fixture(autouse=True)
def quick():
    with quickly():
        yield


class TestWhatFails:
    """A study of two points by the command, of which the second runs out of memory."""

    @pytest.fixture
    def failed(self, tiniest_path, tmp_path, monkeypatch, capsys):
        def once(engine, point, *rest):
            if point.sweep != "concurrency":
                raise RuntimeError("CUDA out of memory (pretended)\nat <a place>")
            return measure(engine, point, *rest)

        monkeypatch.setattr(study, "measure", once)
        argv = ["overhead", "--study", "--bundle", str(tiniest_path), *SIZES, "--sweep", "correct_first"]
        assert main([*argv, "--out", str(tmp_path / "tiny")]) == 1
        assert "correct_first 1 failed: RuntimeError: CUDA out of memory" in capsys.readouterr().err
        return tmp_path

    @pytest.mark.long
    def test_a_row_says_why_and_the_report_is_written(self, failed):
        record = json.loads((failed / "tiny.json").read_text())
        first, *swept = record["points"]
        assert set(first["variants"]) >= {"plain", "serial", "overlapped"}
        assert [(point["value"], point.get("same_as")) for point in swept] == [
            (1, None),
            (2, "concurrency 1"),  # of stories of two frames that is all of them
            ("all", "concurrency 1"),
        ]
        expected = "RuntimeError: CUDA out of memory (pretended) at <a place>"
        assert swept[0]["failed"] == expected
        assert f"| 1 | failed: {expected} |" in (failed / "tiny.md").read_text()
        assert "| 2 (same as concurrency 1) |" in (failed / "tiny.md").read_text()
        found = parsed((failed / "tiny.html").read_text())
        assert f"failed: {expected}" in found.text
        assert "all (same as concurrency 1)" in found.text

    def test_what_equals_a_point_that_failed_is_not_tried_again(self, tiny_engine, monkeypatch):
        tried = []

        def once(engine, point, *rest):
            tried.append(point.name)
            raise MemoryError("full")

        monkeypatch.setattr(study, "measure", once)
        plan = study.Plan(1, 2, 1, 0, [1], ["correct_every"], "eager")
        options = make_options(num_inference_steps=2)
        record = study.run_study(tiny_engine, options, plan, {}, lambda name: tiny_engine, lambda text: None)
        assert tried == ["concurrency 1", "correct_every 2"]
        assert [point["failed"] for point in record["points"]] == [
            "MemoryError: full",
            "as concurrency 1",
            "MemoryError: full",
            "as correct_every 2",
        ]


def test_of_other_backends_rates_are_recorded_too(tiny_engine, monkeypatch):
    def once(*asked):
        raise MemoryError

    monkeypatch.setattr(study, "measure", once)
    plan = study.Plan(1, 1, 1, 0, [1], ["backend"], "sdpa")
    options = make_options(num_inference_steps=2)
    loaded = []
    record = study.run_study(
        tiny_engine, options, plan, {}, lambda b: loaded.append(b) or tiny_engine, lambda text: None
    )
    assert loaded == ["eager", "auto"]
    assert len(record["rates"]) == 3
    assert all({"backend", "flops", "bandwidth"} <= set(rates) for rates in record["rates"])


def test_the_defaults_skip_impossible_values_and_say_so(tiny_path, tmp_path, monkeypatch, capsys):
    def once(*asked):
        raise MemoryError

    monkeypatch.setattr(study, "measure", once)
    monkeypatch.setattr("acdc.bench.overhead.command.SWEEPS", {"strength": None})
    monkeypatch.setattr("acdc.bench.overhead.command.draws_videos", lambda engine: True)
    argv = ["overhead", "--study", "--bundle", str(tiny_path), *SIZES, "--out", str(tmp_path / "tiny")]
    assert main(argv) == 1
    assert "strength 0.3 is left out: strength 0.3 leaves no step of 2" in capsys.readouterr().err
    record = json.loads((tmp_path / "tiny.json").read_text())
    assert [(one["sweep"], one["value"]) for one in record["skipped"]] == [("strength", 0.3)]
    assert [point["value"] for point in record["points"]] == [1, 0.5, 0.7]
    assert "Left out: t' 0.3 (strength 0.3 leaves no step of 2" in (tmp_path / "tiny.md").read_text()

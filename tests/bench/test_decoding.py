"""The decoding benchmark's frames, drafts and page."""

import json

import pytest
import torch
from click.testing import CliRunner

from acdc.bench.decoding import drafts as module
from acdc.bench.decoding import flips as flips_module
from acdc.bench.decoding import turns
from acdc.bench.decoding.drafts import (
    ablation,
    copy_above,
    copy_above_where_it_moved,
    copy_left,
    count_passes,
    from_table,
)
from acdc.bench.decoding.flips import parted
from acdc.bench.decoding.frames import starts
from acdc.bench.decoding.page import main

pytestmark = pytest.mark.measuring


def test_frames_begin_at_the_storys_positions(tiny_engine):
    found = starts(tiny_engine, 2, 3)
    assert [len(start.before) for start in found] == [0, 1, 2]
    for start in found:
        assert start.session.drawn == len(start.before)
        one, passes = start.draw(start.previous, (1,))
        assert passes == tiny_engine.models.arm.stream.codes_per_frame - 1
        many, fewer = start.draw(start.previous, (8,))
        assert torch.equal(one, many)
        assert fewer <= 2 * passes  # launches of parts of the batch count too


@pytest.mark.parametrize("redraft", [copy_left, copy_above, copy_above_where_it_moved, from_table])
def test_a_redraft_changes_no_code_and_only_what_no_pass_has_computed(tiny_engine, redraft):
    start = starts(tiny_engine, 1, 2)[1]
    touched = []

    def watched(codes, first, at):
        before = codes.clone()
        redraft(codes, first, at)
        touched.append(torch.equal(codes[:first], before[:first]))

    assert 1 <= count_passes(start, start.previous, 4, watched) <= 15
    assert all(touched)
    assert len(touched) > 1


def test_the_ablation_covers_every_draft_window_and_first_frame(tiny_engine):
    rows = ablation(tiny_engine, 1, 2, [4, 16])
    assert len(rows) == 8 * 2 * 2
    assert all(1 <= row["passes"] <= row["most"] <= 15 for row in rows)


def test_flips_count_a_frame_once_and_its_codes_up_to_the_first():
    one = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 1, 1]])
    other = torch.tensor([[1, 2, 3, 4], [5, 0, 0, 8], [0, 1, 1, 1]])
    assert parted(one, other) == (2, 4 + 2 + 1)
    assert parted(one, one) == (0, 12)


def test_the_page_says_passes_times_and_gains(tmp_path, monkeypatch, tiny_engine):
    monkeypatch.setattr(module.Engine, "from_pretrained", lambda *_, **__: tiny_engine)
    flips = tmp_path / "flips.json"
    asked = ["--stories", "1", "--frames", "2", "--windows", "4", "--dtypes", "float32", "--out", str(flips)]
    assert CliRunner().invoke(flips_module.main, asked).exit_code == 0
    drafts = tmp_path / "drafts.json"
    asked = ["--stories", "1", "--frames", "2", "--windows", "4,16", "--out", str(drafts)]
    assert CliRunner().invoke(module.main, asked).exit_code == 0

    def row(backend, window, passes, median):
        extra = {"backend": backend, "windows": [window], "passes": passes}
        extra |= {"stories": 1, "frames": 6, "frames_that_differ": 0}
        stats = {"median": median, "iqr": 0.006, "min": 0, "max": 1, "rounds": 5}
        return {"extra_info": extra, "stats": stats}

    raw = tmp_path / "raw.json"
    machine = {"cpu": {"brand_raw": "A CPU"}, "threads": 2, "torch": "2"}
    rows = [row("eager", 1, 63.0, 1.2), row("openvino", 1, 63.0, 0.6), row("openvino", 8, 20.5, 0.3)]
    default = row("openvino", 8, 20.5, 0.3)
    del default["extra_info"]["passes"]
    rows.append(default | {"extra_info": default["extra_info"] | {"times_own": [1, 2, 4], "times_fastest": [3.0] * 3}})
    raw.write_text(json.dumps({"datetime": "2026-01-02", "machine_info": machine, "benchmarks": rows}))
    given = ["--drafts", str(drafts), "--flips", str(flips), "--out", str(tmp_path / "page")]
    result = CliRunner().invoke(main, [str(raw), *given])
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert "| 1 | eager | 1 | 63.0 | 200.0 | 1.0 | 0.50 | 0 of 6 |" in lines
    assert "| 1 | openvino | 8 | 20.5 | 50.0 | 1.0 | 2.00 | 0 of 6 |" in lines
    assert "| 1 | openvino | 8 | 2.00 (1.50 to 3.00) | 3.00 (3.00 to 3.00) |" in lines
    assert any(line.startswith("| float32 | 4 | 0 of 2 | ") for line in lines)
    assert "## Drafts: mean passes, 1 stories of 2 frames" in lines
    assert sum(line.startswith("| random | ") for line in lines) == 2
    assert json.loads((tmp_path / "page.json").read_text())["drafts"][0]["frames"] == 2


def test_windows_by_turns_are_compared_within_a_turn(tmp_path, monkeypatch, tiny_engine):
    monkeypatch.setattr(turns.Engine, "from_pretrained", lambda *_, **__: tiny_engine)
    out = tmp_path / "turns.json"
    asked = ["--stories", "1,2", "--windows", "1,4", "--frames", "2", "--rounds", "1", "--out", str(out)]
    result = CliRunner().invoke(turns.main, asked)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert [(row["stories"], row["window"]) for row in rows] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    assert all(row["clock_times"] == [1, 1, 1] for row in rows if row["window"] == 1)
    assert rows[0]["passes"] == 15 > rows[1]["passes"]
    assert "| 2 | 4 |" in out.with_suffix(".md").read_text()


def test_a_turns_ratio_is_that_of_its_own_neighbours():
    slow, fast = {"passes": 6, "processor": 4.0, "clock": 4.0}, {"passes": 2, "processor": 2.0, "clock": 1.0}
    found = turns.row([{1: slow, 8: fast}, {1: fast, 8: fast}], 1, 8, 2)
    assert found["passes"] == 1
    assert found["clock_ms"] == 500
    assert found["clock_times"] == [1.75, 2.5, 3.25]
    assert found["processor_times"] == [1.25, 1.5, 1.75]

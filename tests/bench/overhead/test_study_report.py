"""The study on a tiny bundle, and its report: structure, JSON round trip, pages that parse and escape."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from acdc.bench.overhead.report import ALSO, report
from acdc.bench.overhead.table import COLUMNS, page, sweep_table, table
from acdc.bench.overhead.timeline_svg import lanes, timelines
from acdc.engine.cli.main import main
from tests.helpers.studies import parsed, quickly

SIZES = ["--stories", "2", "--frames", "2", "--rounds", "2", "--concurrency", "2", "--steps", "2"]
PHASES = {"prefill", "draw", "decode", "correct", "encode"}


@pytest.fixture(scope="module")
def studied(tiniest_path, tmp_path_factory):
    """A whole study by the command: the folder of its files."""
    folder = tmp_path_factory.mktemp("study")
    argv = ["overhead", "--study", "--bundle", str(tiniest_path), *SIZES, "--sweep", "latency"]
    with quickly():
        assert main([*argv, "--out", str(folder / "tiny")]) == 0
    return folder


@pytest.fixture(scope="module")
def record(studied):
    return json.loads((studied / "tiny.json").read_text())


@pytest.fixture(scope="module")
def html(studied):
    return (studied / "tiny.html").read_text()


@pytest.fixture(scope="module")
def changed(record):
    """The record with figures that can be found again in its pages, and its HTML."""
    other = json.loads(json.dumps(record))
    variants = other["points"][0]["variants"]
    variants["overlapped"]["overlap"]["arm_dm"] = 0.4321
    row = variants["serial"]
    row |= {"joules_a_frame": 12.34, "exposed_memory_ms": {"mean": 5.67, "P100": 8.91}}
    row["overhead"] = {"median": 2.0, "min": 1.75, "max": 2.25}
    row["jitter"]["P99/P50"] = 1.234
    return other, report(other)


class TestStudy:
    @pytest.mark.long
    def test_three_files(self, studied):
        assert sorted(path.name for path in studied.iterdir()) == ["tiny.html", "tiny.json", "tiny.md"]

    @pytest.mark.long
    def test_conditions_are_recorded(self, record):
        assert {"versions", "commit", "machine", "rates", "energy", "settings", "stories"} <= set(record)
        assert record["settings"]["seed"] == 0
        assert [story["seed"] for story in record["stories"]] == [0, 1]

    def test_every_variant_ran_every_story_each_round(self, record):
        for point in record["points"]:
            for row in point["variants"].values():
                assert row["frames"] == 2 * 2 * 2
                for sample in row.get("samples", []):
                    assert {(frame["story"], frame["index"]) for frame in sample["frames"]} == {
                        (story["id"], index) for story in record["stories"] for index in range(2)
                    }

    def test_overhead_is_over_the_plain_arm_of_the_same_point(self, record):
        for point in record["points"]:
            rows = point["variants"]
            assert rows["plain"]["overhead"] == {"median": 1.0, "min": 1.0, "max": 1.0}
            for row in rows.values():
                assert 0 < row["overhead"]["min"] <= row["overhead"]["median"] <= row["overhead"]["max"]

    def test_rows_have_predictions_and_floors(self, record):
        for point in record["points"]:
            for row in point["variants"].values():
                assert row["predicted_of_measured"] > 0
                assert 0 < row["floor_seconds_a_frame"] < row["seconds_a_frame"]
            rows = point["variants"]
            assert rows["serial"]["floor_seconds_a_frame"] > rows["plain"]["floor_seconds_a_frame"]

    def test_a_serial_frame_waits_for_its_language_model(self, record):
        slow = next(point for point in record["points"] if point["latency_s"])
        serial = slow["variants"]["serial"]
        assert serial["exposed_memory_ms"]["mean"] >= 15.0  # of 20: the call begins a little before it is missed
        assert slow["variants"]["plain"]["exposed_memory_ms"]["mean"] < serial["exposed_memory_ms"]["mean"]
        for sample in serial["samples"]:
            assert all(frame["latency_ms"] >= frame["waited_ms"] for frame in sample["frames"])

    def test_the_middle_of_the_sweep_was_not_measured_again(self, record):
        middle = next(point for point in record["points"] if point["sweep"] == "latency" and not point["latency_s"])
        assert middle["same_as"] == "concurrency 2"

    def test_serial_stories_are_batched_and_their_phases_follow_one_another(self, record):
        kept = next(t for t in record["timelines"] if (t["point"], t["variant"]) == ("concurrency 2", "serial"))
        launches = [one for one in kept["ran"] if one["slot"] is not None]
        assert {one["slot"] for one in launches} == {0}
        assert {len(one["stories"]) for one in launches} == {2}
        assert {one["phase"] for one in launches} >= PHASES
        for one, after in pairwise(launches):
            assert one["end"] <= after["start"]

    def test_what_reads_the_record_gives_the_files(self, studied, record, html):
        assert (studied / "tiny.md").read_text() == page(record, "tiny")
        assert html == report(record)


class TestOverlap:
    def test_every_run_tells_it_and_one_slot_has_none(self, record):
        for point in record["points"]:
            for row in point["variants"].values():
                assert set(row["overlap"]) == {"arm_dm", "dm_dm", "arm_arm"}
                assert 0 <= sum(row["overlap"].values()) <= 1 + 1e-9
                if row["pipelining"]["slots"] == 1:
                    assert set(row["overlap"].values()) == {0.0}
        main = record["points"][0]["variants"]
        assert len(main["overlapped"]["samples"][0]["overlap"]) == 3
        assert sum(main["overlapped"]["overlap"].values()) > 0

    def test_the_pages_show_it(self, changed):
        other, html = changed
        assert "| 43.2 % |" in table(other)
        assert "<td>43.2 %</td>" in html
        assert "43.2 %</b>of the run: ARM and diffusion" in html


class TestPages:
    def test_the_spread_of_the_overhead_is_next_to_it(self, changed):
        other, html = changed
        assert "| 2.00x (1.75 to 2.25) |" in table(other)
        assert "<td>2.00x (1.75 to 2.25)</td>" in html

    def test_the_floors_overhead_is_over_the_plain_arms_floor(self, record):
        other = json.loads(json.dumps(record))
        rows = other["points"][0]["variants"]
        rows["plain"]["floor_seconds_a_frame"], rows["serial"]["floor_seconds_a_frame"] = 0.002, 0.0075
        lines = table(other).splitlines()
        place = COLUMNS.index("its overhead")
        cells = [line.split("|")[1 + place].strip() for line in lines[2:]]
        assert cells[0] == "1.00x"
        assert cells[list(rows).index("serial")] == "3.75x"

    def test_percentiles_that_are_the_largest_sample_are_blank(self, record):
        line = next(line for line in table(record).splitlines() if "serial" in line)
        cells = dict(zip(COLUMNS, (cell.strip() for cell in line.split("|")[1:-1]), strict=True))
        assert (cells["P90"], cells["P99"], cells["samples"]) == ("-", "-", "8")

    def test_energy_jitter_and_exposed_time_are_in_the_html(self, changed):
        _, html = changed
        assert "".join(f"<th>{head}</th>" for head in ALSO) in html
        assert "<td>1.23</td><td>5.7</td><td>8.9</td><td>12.3</td>" in html

    def test_an_earlier_record_can_be_read(self):
        """The committed one may be from before a change of the format."""
        newest = sorted((Path(__file__).parents[3] / "bench" / "results").glob("overhead_cpu_2*.json"))[-1]
        assert "plain ARM, batched" in table(json.loads(newest.read_text()))

    def test_the_table_has_a_line_a_variant(self, record):
        lines = table(record).splitlines()
        variants = sum(len(point["variants"]) for point in record["points"] if point["sweep"] == "concurrency")
        assert len(lines) == 2 + variants
        assert all(line.count("|") == len(COLUMNS) + 1 for line in lines)

    def test_a_cell_cannot_break_the_table(self, record):
        other = json.loads(json.dumps(record))
        point = {**other["points"][-1], "failed": "a | b", "variants": {}}
        text = sweep_table({**other, "points": [point]}, "latency")
        assert "a \\| b" in text

    def test_the_page_parses_is_self_contained_and_names_every_story(self, record, html):
        found = parsed(html)
        assert "script" not in found.tags
        assert all(address.startswith("#") for address in found.addresses)
        assert "@import" not in html
        text = " ".join(found.text)
        for story in record["stories"]:
            assert f"{story['id']}, seed {story['seed']}" in text
            assert any(story["id"] in part and "draw" in part for part in found.text)  # of the timeline
        assert found.tags.count("svg") == 5 + 2 + 1  # plots, timelines, the sweep

    @pytest.mark.long
    def test_what_came_from_outside_is_escaped(self, record):
        bad = '<script>alert("x")</script>'
        other = json.loads(json.dumps(record))
        other["settings"]["bundle"] = other["machine"]["processor"] = other["energy"] = bad
        other["stories"][0]["sentences"][0] = bad
        for timeline in other["timelines"]:
            for one in timeline["ran"]:
                one["stories"] = [bad for _ in one["stories"]]
        other["points"].append({**other["points"][-1], "failed": bad, "value": bad, "variants": {}})
        other["skipped"].append({"sweep": "strength", "value": bad, "why": bad})
        found = parsed(report(other))
        assert "script" not in found.tags
        assert any(bad in part for part in found.text)

    def test_ids_of_plots_do_not_meet_and_what_they_name_is_there(self, html):
        seen: set[str] = set()
        for svg in html.split("<svg")[1:]:
            ids = set(re.findall(r'\bid="([^"]+)"', svg))
            assert not ids & seen
            assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)) <= ids
            seen |= ids
        assert len(seen) > 100

    def test_a_page_of_nothing_but_failures(self, record):
        other = json.loads(json.dumps(record))
        for point in other["points"]:
            point |= {"failed": "no memory", "variants": {}}
        other["timelines"] = []
        assert table(other).count("failed: no memory") == 1
        assert "Nothing could be measured." in parsed(report(other)).text


class TestTimeline:
    RAN = (
        {"slot": 0, "phase": "draw", "stories": ["max", "ruby"], "start": 0.0, "end": 2.0},
        {"slot": 1, "phase": "correct", "stories": ["luna"], "start": 0.5, "end": 1.5},
        {"slot": None, "phase": "memory", "stories": ["max"], "start": 0.0, "end": 1.0},
        {"slot": None, "phase": "memory", "stories": ["ruby"], "start": 0.5, "end": 1.5},
        {"slot": None, "phase": "memory", "stories": ["luna"], "start": 1.0, "end": 2.0},
        {"slot": None, "phase": "memory", "stories": ["rules"], "start": 1.0, "end": 1.0001},
    )

    def test_calls_side_by_side_have_lanes_of_their_own(self):
        found = lanes(self.RAN)
        assert [(name, [one["stories"][0] for one in lane]) for name, lane in found] == [
            ("slot 0", ["max"]),
            ("slot 1", ["luna"]),
            ("memory", ["max", "luna"]),
            ("", ["ruby"]),
            ("", ["rules"]),
        ]

    def test_what_is_too_short_to_be_seen_has_a_bar(self):
        ran = [{**self.RAN[-1], "stories": [f"story {k}"]} for k in range(3)]
        svg = timelines([{"variant": "a", "ran": [*self.RAN[:5], *ran]}], {"a": "all"})
        bars = re.findall(r"<title>([^<]*)</title><rect[^>]* width=\"([0-9.]+)\"", svg)
        thin = {expected: float(width) for expected, width in bars if "story" in expected}
        assert len(thin) == 3
        assert set(thin.values()) == {1.0}

    def test_two_runs_share_an_axis(self):
        short = [{**one, "start": one["start"] / 2, "end": one["end"] / 2} for one in self.RAN]
        kept = [{"variant": "a", "ran": list(self.RAN)}, {"variant": "b", "ran": short}]
        svg = timelines(kept, {"a": "long", "b": "short"})
        parsed(svg)
        assert "long: 2.00 s" in svg
        assert "short: 1.00 s" in svg
        assert svg.index("long") < svg.index("short")
        widths = [float(part.split('"')[0]) for part in svg.split('width="')[1:]]
        assert sorted(set(widths))[-1] == 1000.0  # the longer run fills the axis
        assert 500.0 in widths

    def test_nothing_that_ran_is_a_picture_too(self):
        parsed(timelines([{"variant": "a", "ran": []}], {"a": "none"}))

"""``acdc overhead``: the order of runs, the statistics, the figures written."""

import json
from pathlib import Path

import pytest

from acdc.bench.overhead import quick as overhead
from acdc.engine.cli.main import main
from acdc.engine.examples import EXAMPLES
from acdc.engine.options import StoryOptions
from tests.helpers.cli_runs import STORY
from tests.helpers.fake_engine import FakeEngine

pytestmark = pytest.mark.usefixtures("own_folder")


class TestCommand:
    def test_overhead(self, capsys, fake):
        assert main(["overhead", "--stories", "2", "--json", "o.json"]) == 0
        text = capsys.readouterr().out
        assert all(word in text for word in ("overhead:", "correct", "total", "peak memory", "MAD"))
        record = json.loads(Path("o.json").read_text())
        assert {"versions", "machine", "settings", "ratio", "phases_ms", "peak_rss_mib", "measurements"} <= set(record)
        assert record["chunks"] == sum(len(EXAMPLES[name]) for name in list(EXAMPLES)[:2])

    def test_overhead_with_the_real_engine(self, capsys, tiny):
        assert main(["overhead", "--stories", "1", "--steps", "4", "--bundle", tiny, "--warmup", "0"]) == 0
        assert "overhead:" in capsys.readouterr().out


class TestOverhead:
    def test_spread_is_median_and_mad(self):
        assert overhead.spread([1.0, 2.0, 4.0, 100.0]) == (3.0, 1.5)
        assert overhead.spread([5.0]) == (5.0, 0.0)

    def test_the_variants_alternate_and_the_first_run_is_plain(self):
        seen = []
        result = overhead.measure(
            FakeEngine(), [STORY] * 3, StoryOptions(), warmup=1, on_story=lambda *run: seen.append(run)
        )
        assert seen[:2] == [("plain", -1), ("acdc", -1)]
        assert seen[2:] == [("plain", 0), ("acdc", 0), ("acdc", 1), ("plain", 1), ("plain", 2), ("acdc", 2)]
        assert len(result.chunks) == 2 * 3 * 3
        assert result.rss_mib["acdc"] >= result.rss_mib["plain"] > 0

    def test_ratios_pair_the_same_chunks(self):
        phases = dict.fromkeys(("memory", "prefill", "draw", "decode", "correct", "encode", "replace"), 1.0)
        rows = [("plain", 0, 10.0), ("plain", 1, 20.0), ("acdc", 1, 60.0), ("acdc", 0, 15.0)]
        summary = overhead.summarise([overhead.FrameTime(v, 0, f, ms, phases) for v, f, ms in rows])
        assert summary["ratio"] == {"median": 2.25, "mad": 0.75, "min": 1.5, "max": 3.0}
        assert summary["ratio_of_sums"] == 2.5
        assert summary["phases_ms"]["plain"]["total"] == {"median": 15.0, "mad": 5.0}
        assert summary["phases_ms"]["plain"]["outside_models"] == {"median": 10.0, "mad": 5.0}  # five models of 1 ms

"""``acdc plan``: simulated from what a study or the predictions recorded, without torch, and its mistakes."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from acdc.bench.overhead.predict import Predictor
from acdc.bench.overhead.sweeps import Point
from acdc.bench.overhead.variants import main_variants
from acdc.bench.simulator.simulator import simulate
from acdc.engine.cli.main import main
from acdc.engine.loading.fallbacks import FALLBACKS
from acdc.engine.options import make_options
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.scheduler.scheduler import phase_schedule
from tests.helpers.cli_runs import refuse
from tests.helpers.simulated import flat

OPTIONS = make_options(context="window", guidance_scale=3.0, correct_first=1).resolved(FALLBACKS)
COSTS = flat(memory_s=0.25)
SMALL = ["--stories", "24", "--frames", "3"]


def studied(n: int) -> dict:
    """A study's record, so far as it is read."""
    variants = tuple(main_variants(n, SchedulerConfig()))
    point = Point("concurrency", n, n, OPTIONS, variants)
    found = Predictor("eager", lambda *given: COSTS, lambda options: 0.0, lambda options: 25, n, OPTIONS)
    costs = found.prepare(point, [])
    rows = {one.name: {"title": one.title, "pipelining": asdict(one.config), "prediction": None} for one in variants}
    for one in variants:
        name, memory_s = found._name(OPTIONS, one.config), found.memory_seconds(point, one)
        rows[one.name]["prediction"] = {"costs": name, "memory_s": memory_s}
    described = {"sweep": "concurrency", "concurrency": n, "backend": "eager", "options": OPTIONS.flat()}
    return {"costs": costs, "points": [{**described, "variants": rows}]}


def predicted() -> dict:
    """The predictions' record, so far as it is read."""
    groups = [{"slots": 2, "costs": COSTS.to_dict(), "rows": [{"batch": 1}, {"batch": 4}]}]
    return {"settings": {"bundle": "storyworld", "threads": 2, "correct_first": 1}, "groups": groups}


@pytest.fixture
def given(own_folder) -> None:
    Path("study.json").write_text(json.dumps(studied(4)))
    Path("predict.json").write_text(json.dumps(predicted()))


def planned(*argv: str) -> list[dict]:
    assert main(["plan", *argv, "--json", "plan.json"]) == 0
    return json.loads(Path("plan.json").read_text())["rows"]


@pytest.mark.usefixtures("given")
class TestPlan:
    def test_it_is_the_simulators_word(self, capsys):
        rows = planned("--costs", "study.json", *SMALL, "--machines", "1,4")
        assert [row["machines"] for row in rows] == [1, 4] * 3
        for row, variant in zip(rows[::2], main_variants(4, SchedulerConfig()), strict=True):
            options = OPTIONS if variant.correction else OPTIONS.replace(correction=False)
            memory_s = 0.25 if variant.correction else 0.0
            run = simulate(COSTS, [3] * 24, phase_schedule(options, variant.config), variant.config, memory_s=memory_s)
            assert (row["title"], row["seconds"]) == (variant.title, run.seconds)
            assert row["latency_s"]["P99"] == run.latency(0.99)
        out = capsys.readouterr().out.splitlines()
        assert len(out) == 1 + 6
        assert len({len(line) for line in out}) == 1, "columns are aligned"

    def test_machines_share_the_work(self):
        rows = planned("--costs", "predict.json", *SMALL, "--machines", "4,1")
        assert [row["title"] for row in rows] == ["ACDC, 2 slots"] * 2
        assert 3 < rows[0]["seconds"] / rows[1]["seconds"] <= 4

    def test_a_slow_language_model_delays_the_stories_that_ask_it(self):
        plain, serial, overlapped = planned("--costs", "study.json", *SMALL, "--machines", "1", "--memory-ms", "9000")
        assert [row["memory_s"] for row in (plain, serial, overlapped)] == [0.0, 9.0, 9.0]
        assert plain["exposed_memory_share"] == 0 < overlapped["exposed_memory_share"] < serial["exposed_memory_share"]

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (["--machines", "0"], "machines '0' is not a list of counts"),
            (["--machines", "1,x"], "machines '1,x' is not a list of counts"),
            (["--memory-ms", "-1"], "latency -0.001 s is out of range"),
            (["--stories", "0"], "x<=1000000"),
            (["--json", "nowhere/x.json"], "is not a directory"),
            (["--json", "."], "is a directory"),
            (["--costs", "nothing.json"], "nothing.json"),
        ],
    )
    def test_refused_in_one_line(self, capsys, argv, message):
        assert message in refuse(capsys, "plan", "--costs", "study.json", *argv)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "'x.json': it is not JSON"),
            (b"\xff", "it is not UTF-8 text"),
            (b"[1]", "it holds no cost model"),
            (json.dumps({"points": [], "timelines": []}).encode(), "it holds no cost model; give the JSON of acdc"),
            (json.dumps({**studied(1), "points": []}).encode(), "nothing in it was measured"),
            (json.dumps({**studied(1), "points": [{"sweep": "concurrency"}]}).encode(), "KeyError at 'variants'"),
            (json.dumps({**predicted(), "groups": [{"costs": {"format": 9}, "rows": []}]}).encode(), "format 9"),
            (json.dumps({**predicted(), "groups": [3]}).encode(), "TypeError"),
        ],
    )
    def test_a_file_that_tells_nothing_is_named(self, capsys, content, message):
        Path("x.json").write_bytes(content)
        assert message in refuse(capsys, "plan", "--costs", "x.json")


def test_no_torch_is_needed(tmp_path):
    (tmp_path / "predict.json").write_text(json.dumps(predicted()))
    argv = ["plan", "--costs", str(tmp_path / "predict.json"), *SMALL]
    code = "import sys; "
    code += f"from acdc.engine.cli.main import main; assert main({argv}) == 0; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4], capture_output=True)

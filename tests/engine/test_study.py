"""``acdc overhead --study``: what is measured in which order, the figures made of it, and the command's mistakes."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.memory.rules import Rules
from acdc.engine.memory.simulated import Simulated
from acdc.engine.policy import Pipelining
from acdc.engine.story import StoryOptions
from acdc.engine.study.figures import FrameSample, RunSample, figures, percentile, ratios, summarise
from acdc.engine.study.measure import make_stories, order
from acdc.engine.study.sweeps import SWEEPS, Around, concurrency_points, parse_counts, sweep_points
from acdc.engine.study.variants import OVERLAPPED, PLAIN, SERIAL, ablations, all_variants, one_slot, overlapped
from tests.cli_runs import refuse

RESOLVED = StoryOptions(context="window", guidance_scale=3.0)
AROUND = Around(RESOLVED, 4, Pipelining(), "eager")


def run_of(number: int, seconds: float, latencies: list[float], waited: float = 0.0) -> RunSample:
    frames = tuple(
        FrameSample("max", index, latency, waited, sum(latencies[: index + 1]) / 1e3)
        for index, latency in enumerate(latencies)
    )
    return RunSample(number, seconds, frames, 100.0, 0.0)


class TestFigures:
    def test_percentiles_by_nearest_rank(self):
        values = [30.0, 10.0, 40.0, 20.0]
        assert [percentile(values, p) for p in (25, 50, 51, 75, 90, 100)] == [10.0, 20.0, 30.0, 30.0, 40.0, 40.0]
        assert percentile([7.0], 50) == 7.0

    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.integers(1, 100))
    def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(self, values, percent):
        found = percentile(values, percent)
        share = len(values) * percent
        assert 100 * sum(value <= found for value in values) >= share
        assert 100 * sum(value < found for value in values) < share
        assert found in values

    def test_figures_of_two_runs(self):
        runs = [run_of(0, 2.0, [100.0, 300.0], 10.0), run_of(1, 4.0, [200.0, 400.0], 40.0)]
        found = figures(runs)
        assert found["frames"] == 4
        assert found["seconds_a_frame"] == 1.5
        assert found["frames_a_second"] == pytest.approx(2 / 3)
        assert found["latency_ms"] == {"P50": 200.0, "P90": 400.0, "P99": 400.0, "P100": 400.0}
        assert found["jitter"] == {"P99/P50": 2.0, "P100/P50": 2.0}
        assert found["first_frame_ms"] == {"of_a_story": 150.0, "of_the_run": 150.0}
        assert found["exposed_memory_ms"] == {"mean": 25.0, "P100": 40.0}
        assert found["exposed_memory_share"] == 0.1
        assert found["joules_a_frame"] is None

    def test_ratios_pair_runs_of_a_round(self):
        plain = [run_of(0, 1.0, [1.0]), run_of(1, 2.0, [1.0])]
        acdc = [run_of(1, 8.0, [1.0]), run_of(0, 3.0, [1.0])]
        assert ratios(acdc, plain) == {"median": 3.5, "min": 3.0, "max": 4.0}

    def test_the_better_plain_is_a_baseline_too(self):
        measured = {
            name: [run_of(0, s, [1.0])] for name, s in (("plain", 2.0), ("plain_overlapped", 1.0), ("serial", 4.0))
        }
        found = summarise(measured)
        assert found["serial"]["overhead"]["median"] == 2.0
        assert found["serial"]["overhead_of_best"] == {
            "median": 4.0,
            "min": 4.0,
            "max": 4.0,
            "baseline": "plain_overlapped",
        }
        assert json.loads(json.dumps(found)) == found


class TestVariants:
    @pytest.mark.parametrize("n", [1, 2, 4, 16])
    def test_the_plain_arm_is_batched_at_n(self, n):
        plain, *others = all_variants(n, Pipelining())
        assert (plain.name, plain.how.draw_batch, plain.how.stories, plain.how.slots) == (PLAIN, n, n, 1)
        assert not plain.correction
        assert {SERIAL, OVERLAPPED} <= {variant.name for variant in others}
        assert len({variant.name for variant in (plain, *others)}) == 1 + len(others)

    def test_an_ablation_differs_in_one_thing(self):
        most = overlapped(4, Pipelining())
        changed = {
            "no_run_ahead": {"run_ahead"},
            "no_slots": {"slots"},
            "no_batching": {"draw_batch", "correct_batch"},
            "no_merged_replace": {"merge_replace"},
        }
        for variant in ablations(4, Pipelining()):
            names = {name for name in vars(most) if getattr(most, name) != getattr(variant.how, name)}
            assert names == changed.pop(variant.name)
        assert not changed

    def test_what_one_story_cannot_show_is_left_out(self):
        assert {variant.name for variant in ablations(1, Pipelining())} == {"no_run_ahead", "no_merged_replace"}

    def test_no_launch_is_larger_than_what_is_in_flight(self):
        how = overlapped(2, Pipelining(slots=3, draw_batch=16, correct_batch=8))
        assert (how.slots, how.stories, how.draw_batch, how.correct_batch) == (2, 2, 2, 2)


class TestPlan:
    def test_rounds_alternate(self):
        variants = all_variants(1, Pipelining())[:2]
        names = [(number, variant.name) for number, variant in order(variants, 3)]
        first, second = (variant.name for variant in variants)
        assert names == [(0, first), (0, second), (1, second), (1, first), (2, first), (2, second)]

    def test_stories_have_names_and_seeds_of_their_own(self):
        stories = make_stories(9, 3, 40)
        assert len({story.id for story in stories}) == 9
        assert [story.seed for story in stories] == list(range(40, 49))
        assert {len(story.sentences) for story in stories} == {3}
        assert stories[7].id == "max-2"

    def test_a_sweep_varies_one_thing(self):
        for name in ("strength", "steps", "correct_first", "correct_every", "memory"):
            for point in sweep_points([name], AROUND):
                fields = {"steps": "num_inference_steps"}
                differs = {key for key, value in vars(RESOLVED).items() if getattr(point.options, key) != value}
                assert differs <= {fields.get(name, name)}

    @pytest.mark.parametrize("sweep", [name for name in SWEEPS if name != "chunk_frames"])
    def test_the_middle_of_a_sweep_is_the_main_tables_point(self, sweep):
        main_point = concurrency_points(RESOLVED, [4], Pipelining())[0]
        same = [point for point in sweep_points([sweep], AROUND) if point.same_run(main_point)]
        assert len(same) == 1

    def test_a_users_own_value_is_among_the_swept_ones(self):
        around = Around(StoryOptions(strength=0.4), 1, Pipelining(), "eager")
        assert [point.value for point in sweep_points(["strength"], around)] == [0.3, 0.4, 0.5, 0.7]

    def test_batches_that_nobody_fills_are_left_out(self):
        around = Around(RESOLVED, 2, Pipelining(), "eager")
        points = sweep_points(["batch"], around)
        assert [point.value for point in points] == [1, 2]
        assert [point.variants[0].how.draw_batch for point in points] == [1, 2]
        assert one_slot(2).draw_batch == 2

    def test_counts(self):
        assert parse_counts("4, 1,2") == [1, 2, 4]

    @pytest.mark.parametrize("text", ["", "0", "1,,2", "-1", "1.5", "two", "1,1", "99999999999", "²"])
    def test_what_is_no_list_of_counts_is_refused(self, text):
        with pytest.raises(ValueError, match="concurrency"):
            parse_counts(text)


class TestSimulatedMemory:
    def test_it_answers_by_rules(self):
        told = ["Benny the beagle sat in a garden.", "He jumped."]
        assert Simulated(0.0).rewrite(told) == Rules().rewrite(told)

    @pytest.mark.parametrize("latency", [-0.1, float("inf"), float("nan")])
    def test_a_latency_that_cannot_be_is_refused(self, latency):
        with pytest.raises(ValueError, match="latency"):
            Simulated(latency)

    def test_it_sleeps_that_long(self, monkeypatch):
        slept = []
        monkeypatch.setattr("time.sleep", slept.append)
        Simulated(0.3).refine(["A cat sat."])
        assert slept == [0.3]


@pytest.mark.usefixtures("own_folder")
class TestMistakes:
    @pytest.mark.parametrize(
        ("argv", "told"),
        [
            (["--study", "--sweep", "colour"], "unknown sweep 'colour'; choose among strength"),
            (["--study", "--concurrency", "0,1"], "concurrency '0,1' is no list"),
            (["--study", "--out", "nowhere/x"], "is not a directory"),
            (["--study", "--out", "x.html"], "has a suffix"),
            (["--study", "--out", "."], "is a directory"),
            (["--study", "--json", "x.json"], "--json is not for a study"),
            (["--study", "--warmup", "2"], "--warmup is not for a study"),
            (["--sweep", "steps"], "--sweep is for a study"),
            (["--out", "x"], "--out is for a study"),
            (["--rounds", "2"], "--rounds is for a study"),
            (["--study", "--seed", str(2**64 - 1)], "too large for 4 stories"),
            (["--study", "--stories", "0"], "--stories"),
        ],
    )
    def test_refused_in_one_line(self, capsys, fake, argv, told):
        assert told in refuse(capsys, "overhead", *argv)
        assert not list(Path().iterdir())

    def test_without_matplotlib_nothing_is_measured(self, capsys, monkeypatch):
        monkeypatch.setattr("acdc.engine.study.command.find_spec", lambda name: None)
        monkeypatch.setattr("acdc.engine.commands.overhead.load_engine", lambda given: pytest.fail("loaded"))
        assert "acdc-engine[report]" in refuse(capsys, "overhead", "--study")

    def test_videos_of_a_bundle_without_them_are_refused(self, capsys, tiny_path, tmp_path):
        config = json.loads((tiny_path / "arm" / "config.json").read_text())
        del config["stream"]["recent_frames"]
        still = tmp_path / "still"
        shutil.copytree(tiny_path, still)
        (still / "arm" / "config.json").write_text(json.dumps(config))
        told = refuse(capsys, "overhead", "--study", "--sweep", "chunk_frames", "--bundle", str(still))
        assert "was not taught videos" in told

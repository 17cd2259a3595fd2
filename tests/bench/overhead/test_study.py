"""``acdc overhead --study``: what is measured in which order, the figures made of it, and the command's mistakes."""

import json
import shutil
from pathlib import Path

import pytest

from acdc.bench.overhead.measure import make_stories, order
from acdc.bench.overhead.sweeps import SWEEPS, Around, Skipped, concurrency_points, parse_counts, sweep_points
from acdc.bench.overhead.variants import (
    OVERLAPPED,
    PLAIN,
    SERIAL,
    ablations,
    all_variants,
    enters,
    one_slot,
    overlapped,
)
from acdc.bench.simulator.simulated_memory import Simulated
from acdc.engine.loading.fallbacks import FALLBACKS
from acdc.engine.memory.rules import Rules
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.scheduler.policy import SchedulerConfig
from tests.helpers.cli_runs import refuse

RESOLVED = make_options(context="window", guidance_scale=3.0).resolved(FALLBACKS)


def check(options: StoryOptions) -> int:
    """As an engine does whose corrector runs int(N t') steps."""
    return options.correction.check_steps_run()


AROUND = Around(RESOLVED, 4, SchedulerConfig(), "eager", check)


def points(sweep: str, around: Around = AROUND) -> list:
    found, skipped = sweep_points([sweep], around, asked=True)
    assert not skipped
    return found


class TestVariants:
    @pytest.mark.parametrize("n", [1, 2, 4, 16])
    def test_the_plain_arm_is_batched_at_n(self, n):
        plain, *others = all_variants(n, SchedulerConfig(), True)
        assert (plain.name, plain.config.draw_batch, plain.config.stories, plain.config.slots) == (PLAIN, n, n, 1)
        assert not plain.correction
        assert {SERIAL, OVERLAPPED} <= {variant.name for variant in others}
        assert len({variant.name for variant in (plain, *others)}) == 1 + len(others)

    def test_an_ablation_differs_in_one_thing(self):
        most = overlapped(4, SchedulerConfig())
        changed = {
            "no_run_ahead": {"prompt_lookahead"},
            "no_slots": {"slots"},
            "no_batching": {"draw_batch", "correct_batch"},
            "no_merged_replace": {"merge_replace"},
        }
        for variant in ablations(4, SchedulerConfig(), True):
            names = {name for name in vars(most) if getattr(most, name) != getattr(variant.config, name)}
            assert names == changed.pop(variant.name)
        assert not changed

    def test_what_one_story_cannot_show_is_left_out(self):
        assert {variant.name for variant in ablations(1, SchedulerConfig(), True)} == {
            "no_run_ahead",
            "no_merged_replace",
        }

    @pytest.mark.parametrize(
        ("changed", "there"),
        [
            ({}, False),
            ({"context": "full"}, True),
            ({"context": "full", "feed_back": False}, False),
            ({"context": "full", "layout": "block-causal"}, False),
        ],
    )
    def test_merged_replace_is_an_ablation_where_something_enters(self, changed, there):
        options = RESOLVED.replace(**changed)
        (point,) = concurrency_points(options, [4], SchedulerConfig(), {})
        assert enters(options) == there
        assert ("no_merged_replace" in {variant.name for variant in point.variants}) == there

    def test_no_launch_is_larger_than_what_is_in_flight(self):
        config = overlapped(2, SchedulerConfig(slots=3, draw_batch=16, correct_batch=8))
        assert (config.slots, config.stories, config.draw_batch, config.correct_batch) == (2, 2, 2, 2)


class TestPlan:
    def test_rounds_alternate(self):
        variants = all_variants(1, SchedulerConfig(), False)[:2]
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
            for point in points(name):
                fields = {"steps": "num_inference_steps"}
                differs = {key for key, value in RESOLVED.flat().items() if point.options.flat()[key] != value}
                assert differs <= {fields.get(name, name)}

    @pytest.mark.parametrize("sweep", [name for name in SWEEPS if name != "chunk_frames"])
    def test_the_middle_of_a_sweep_is_the_main_tables_point(self, sweep):
        main_point = concurrency_points(RESOLVED, [4], SchedulerConfig(), {})[0]
        same = [point for point in points(sweep) if point.same_run(main_point, 6)]
        assert len(same) == 1

    @pytest.mark.parametrize(
        ("sweep", "frames", "alike"),
        [
            ("correct_first", 2, {2, "all"}),
            ("correct_first", 3, set()),
            ("correct_every", 1, {1, 2, 3}),
            ("correct_every", 2, {2, 3}),
        ],
    )
    def test_rules_that_correct_the_same_frames_are_the_same_work(self, sweep, frames, alike):
        found = points(sweep)
        pairs = {(a.value, b.value) for a in found for b in found if a is not b and a.same_run(b, frames)}
        assert {value for pair in pairs for value in pair} == alike
        assert len(pairs) == len(alike) * (len(alike) - 1)

    def test_a_users_own_value_is_among_the_swept_ones(self):
        around = Around(RESOLVED.replace(strength=0.4), 1, SchedulerConfig(), "eager", check)
        assert [point.value for point in points("strength", around)] == [0.3, 0.4, 0.5, 0.7]

    def test_values_that_cannot_be_are_skipped_where_nobody_asked_for_the_sweep(self):
        around = Around(RESOLVED.replace(num_inference_steps=2), 1, SchedulerConfig(), "eager", check)
        found, skipped = sweep_points(["steps", "strength"], around, asked=False)
        assert [point.value for point in found] == [2, 10, 20, 50, 0.5, 0.7]
        assert [(one.sweep, one.value) for one in skipped] == [("strength", 0.3)]
        assert isinstance(skipped[0], Skipped)
        assert "leaves no step of 2" in skipped[0].why
        with pytest.raises(ValueError, match=r"sweep strength, value 0\.3: .* leaves no step of 2"):
            sweep_points(["strength"], around, asked=True)

    def test_batches_that_nobody_fills_are_left_out(self):
        around = Around(RESOLVED, 2, SchedulerConfig(), "eager", check)
        found = points("batch", around)
        assert [point.value for point in found] == [1, 2]
        for point in found:
            plain, serial, most = point.variants
            assert (serial.config.draw_batch, most.config.correct_batch) == (point.value, point.value)
            assert plain.config == one_slot(2), "the overhead is always over the plain ARM batched at n"

    def test_counts(self):
        assert parse_counts("4, 1,2", 4) == [1, 2, 4]
        assert [parse_counts(None, stories) for stories in (1, 3, 9)] == [[1], [1, 2], [1, 2, 4]]

    @pytest.mark.parametrize("text", ["", "0", "1,,2", "-1", "1.5", "two", "1,1", "99999999999", "²"])
    def test_a_wrong_list_of_counts_is_refused(self, text):
        with pytest.raises(ValueError, match="concurrency"):
            parse_counts(text, 4096)

    @pytest.mark.parametrize("n", [3, 5, 6, 12])
    def test_counts_that_no_launch_can_have_are_refused(self, n):
        with pytest.raises(ValueError, match=f"concurrency {n} is not a power of two.*choose among 1, 2, 4, 8, 16$"):
            parse_counts(f"1,{n}", 16)

    def test_more_in_flight_than_there_are_stories_is_refused(self):
        with pytest.raises(ValueError, match=r"8 is more than .* stories; choose among 1, 2, 4, or give --stories 8"):
            parse_counts("2,8", 4)


class TestSimulatedMemory:
    def test_it_answers_by_rules(self):
        sentences = ["Benny the beagle sat in a garden.", "He jumped."]
        assert Simulated(0.0).rewrite(sentences) == Rules().rewrite(sentences)

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
        ("argv", "message"),
        [
            (["--study", "--sweep", "colour"], "unknown sweep 'colour'; choose among strength"),
            (["--study", "--concurrency", "0,1"], "concurrency '0,1' is not a list"),
            (["--study", "--out", "nowhere/x"], "is not a directory"),
            (["--study", "--out", "x.html"], "has a suffix"),
            (["--study", "--out", "."], "is a directory"),
            (["--study", "--out", ""], "--out '' names no file"),
            (["--study", "--concurrency", ""], "concurrency '' is not a list"),
            (["--study", "--concurrency", "8"], "concurrency 8 is more than there are stories"),
            (["--study", "--concurrency", "3"], "concurrency 3 is not a power of two"),
            (["--study", "--sweep", "none", "--sweep", "steps"], "--sweep none is given together with others"),
            (["--study", "--frames", "7"], "--frames 7 is more than any of the stories has; choose 1 to 6"),
            (["--study", "--json", "x.json"], "--json is not for a study"),
            (["--study", "--warmup", "2"], "--warmup is not for a study"),
            (["--sweep", "steps"], "--sweep is for a study"),
            (["--out", "x"], "--out is for a study"),
            (["--rounds", "2"], "--rounds is for a study"),
            (["--study", "--seed", str(2**64 - 1)], "too large for 4 stories"),
            (["--study", "--stories", "0"], "--stories"),
        ],
    )
    def test_refused_in_one_line(self, capsys, fake, argv, message):
        assert message in refuse(capsys, "overhead", *argv)
        assert not list(Path().iterdir())

    def test_without_matplotlib_nothing_is_measured(self, capsys, monkeypatch):
        monkeypatch.setattr("acdc.bench.overhead.command.find_spec", lambda name: None)
        monkeypatch.setattr("acdc.bench.overhead.cli.load_engine", lambda given: pytest.fail("loaded"))
        assert "acdc-engine[report]" in refuse(capsys, "overhead", "--study")

    def test_videos_of_a_bundle_without_them_are_refused(self, capsys, tiny_path, tmp_path):
        config = json.loads((tiny_path / "arm" / "config.json").read_text())
        del config["stream"]["recent_frames"]
        still = tmp_path / "still"
        shutil.copytree(tiny_path, still)
        (still / "arm" / "config.json").write_text(json.dumps(config))
        message = refuse(capsys, "overhead", "--study", "--sweep", "chunk_frames", "--bundle", str(still))
        assert "was not taught videos" in message

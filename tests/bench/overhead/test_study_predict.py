"""Predictions of a study: calibrated before, on other stories, by whichever memory runs; and to be made again."""

import json
from dataclasses import replace
from functools import partial

import pytest

from acdc.bench.overhead import study
from acdc.bench.overhead.measure import make_stories
from acdc.bench.overhead.predict import Predictor, predictor
from acdc.bench.overhead.run import options_of
from acdc.bench.overhead.sweeps import Around, Point, sweep_points
from acdc.bench.overhead.variants import PLAIN, SERIAL, Variant, one_slot
from acdc.bench.simulator import calibrate as calibration
from acdc.bench.simulator.cost_model import CostModel
from acdc.bench.simulator.memory_calls import by_rules, call_seconds
from acdc.bench.simulator.rehearsal import Rehearsal
from acdc.bench.simulator.simulator import simulate
from acdc.bench.simulator.stories import BUILT_IN, SEED, stories_of
from acdc.engine.cli.main import main
from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from acdc.engine.loading.fallbacks import FALLBACKS
from acdc.engine.memory.rules import Rules
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.outputs import Phase
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.policy import UNITS, SchedulerConfig
from acdc.engine.scheduler.scheduler import phase_schedule
from tests.helpers.lcm_bundle import guided_lcm
from tests.helpers.studies import quickly

CHAT = {"memory": "chat", "memory_model": "m", "memory_url": "https://example.org/v1"}
OPTIONS = make_options(context="window", guidance_scale=3.0).resolved(FALLBACKS)
STORIES = [StoryRequest("a", ("one.", "two."), 0)]
RULES_S, CALL_S = 0.25, 5.0


def by_steps(options: StoryOptions, config: SchedulerConfig, lengths) -> CostModel:
    """1 s a launch; a correction 1 s a step."""
    rows = {phase: {1: 1.0} for phase in UNITS}
    return CostModel({**rows, Phase.SDEDIT: {1: float(options.correction.num_steps_run)}}, memory_s=RULES_S)


def made_up(options: StoryOptions = OPTIONS) -> Predictor:
    return Predictor("eager", by_steps, lambda asked: CALL_S, lambda asked: asked.correction.num_steps_run, 1, options)


def point_of(options: StoryOptions, n: int = 1) -> Point:
    config = one_slot(n)
    variants = Variant(PLAIN, "plain ARM", config, correction=False), Variant(SERIAL, "ACDC", config)
    return Point("concurrency", n, n, options, variants)


def variant_of(point, name):
    return next(variant for variant in point.variants if variant.name == name)


@pytest.mark.parametrize(("options", "serial_s"), [(OPTIONS, RULES_S), (OPTIONS.replace(**CHAT), CALL_S)])
def test_each_variant_waits_for_its_own_memory(options, serial_s):
    point = point_of(options)
    found = made_up(options)
    found.prepare(point, STORIES)
    for name, memory_s, launches in ((PLAIN, 0.0, 3), (SERIAL, serial_s, 4 + options.correction.num_steps_run)):
        said = found.predict(point, variant_of(point, name), STORIES)
        assert said["memory_s"] == memory_s
        replaced = 0.5 if name == SERIAL else 0.0  # of two frames one is entered again by itself
        assert said["seconds_a_frame"] == pytest.approx(launches + replaced + memory_s)


def test_a_sweep_over_memories_predicts_each():
    options = OPTIONS.replace(**CHAT)
    found, said = made_up(options), {}
    for asked in (options, by_rules(options), by_rules(options).replace(memory="none")):
        point = point_of(asked)
        found.prepare(point, STORIES)
        said[asked.memory.name] = found.predict(point, variant_of(point, SERIAL), STORIES)["memory_s"]
    assert said == {"none": 0.0, "rules": RULES_S, "chat": CALL_S}


def test_a_simulated_language_model_takes_its_latency_and_its_rules():
    point = replace(point_of(OPTIONS), latency_s=1.0)
    found = made_up()
    found.prepare(point, STORIES)
    seconds = {variant.name: found.memory_seconds(point, variant) for variant in point.variants}
    assert (seconds[PLAIN], seconds[SERIAL]) == (0.0, 1.0 + RULES_S)


def test_steps_that_were_not_measured_lie_on_a_line():
    options = OPTIONS.replace(strength=1.0, num_inference_steps=10)
    point = point_of(options)
    found = made_up(options.replace(num_inference_steps=30))
    found.prepare(point, STORIES)
    assert found.models["1 slots, 10 steps, share"].seconds[Phase.SDEDIT] == pytest.approx({1: 10.0})


def test_steps_are_counted_as_the_engine_says_them(tiny_path, tmp_path):
    """LCM with its guidance embedded runs N steps from t' on, not int(N t')."""
    engine = Engine.from_pretrained(guided_lcm(tiny_path, tmp_path / "bundle"))
    options = make_options(num_inference_steps=4, strength=0.4).resolved(engine.defaults)
    found = replace(predictor(engine, options, 1), calibrate=by_steps)
    found.prepare(point_of(options), STORIES)
    assert found.steps_run(options) == engine.start(options)["steps_run"] == 4
    assert "1 slots, 4 steps, share" in found.models
    around = Around(options, 1, SchedulerConfig(), "eager", engine.start)
    points, skipped = sweep_points(["strength", "steps"], around, asked=False)
    assert [point.value for point in points] == [0.3, 0.4, 0.5, 0.7, 4, 10, 20]
    assert [(one.value, "exceeds the 20 timesteps up to strength 0.4" in one.why) for one in skipped] == [(50, True)]


def test_a_prediction_can_be_made_again_from_the_record():
    point = point_of(OPTIONS, 2)
    found, stories = made_up(), make_stories(3, 4, 0)
    recorded = json.loads(json.dumps(found.prepare(point, stories)))
    models = {one["name"]: CostModel.from_dict(one["costs"]) for one in recorded}
    assert {one["backend"] for one in recorded} == {"eager"}
    assert found.prepare(point, stories) == [], "measured once"
    frames = [len(story.sentences) for story in stories]
    for variant in point.variants:
        said, config = found.predict(point, variant, stories), variant.config
        walks = phase_schedule(options_of(point, variant), config)
        again = simulate(models[said["costs"]], frames, walks, config, memory_s=said["memory_s"])
        assert again.frames_per_second == said["frames_a_second"]


def test_nothing_is_predicted_of_what_was_not_prepared():
    point = point_of(OPTIONS)
    with pytest.raises(AssertionError, match="prepare"):
        made_up().predict(point, variant_of(point, SERIAL), STORIES)


def test_what_was_measured_before_a_failure_is_recorded_later():
    options = OPTIONS.replace(**CHAT)
    found = made_up(options)
    found.call_seconds = failing
    with pytest.raises(OSError, match="no answer"):
        found.prepare(point_of(options), STORIES)
    assert [one["name"] for one in found.prepare(point_of(by_rules(options)), STORIES)] == ["1 slots, 25 steps, share"]


def failing(options):
    raise OSError("no answer")


# -- on an engine -----------------------------------------------------------------------------------------


@pytest.fixture
def spied(monkeypatch):
    """Stories of the rehearsals, and their memory."""
    seen = []

    class Spying(Rehearsal):
        def works(self, count, skip=0):
            made = super().works(count, skip)
            seen.extend(made)
            return made

    monkeypatch.setattr(calibration, "Rehearsal", Spying)
    monkeypatch.setattr("acdc.bench.overhead.predict.REPEATS", 1)
    return seen


@pytest.mark.long
def test_stages_are_timed_on_other_stories_of_the_same_lengths_and_by_rules(tiny_engine, spied):
    options = make_options(num_inference_steps=2, strength=1.0, **CHAT).resolved(tiny_engine.defaults)
    stories = make_stories(3, 2, 0)
    point = replace(point_of(options, 2), latency_s=0.0)
    predictor(tiny_engine, options, 2).prepare(point, stories)
    assert {len(work.request.sentences) for work in spied} == {2}
    measured = {sentence for story in EXAMPLES.values() for sentence in story}
    assert not measured & {sentence for work in spied for sentence in work.request.sentences}
    assert min(work.request.seed for work in spied) == SEED > max(story.seed for story in stories)
    assert all(type(work.memory) is Rules for work in spied), "no call that somebody pays for"


def test_a_language_model_is_asked_for_one_story(tiny_engine, monkeypatch):
    asked = []

    class Slow(Rules):
        def refine(self, prompts):
            asked.append(tuple(prompts))
            return super().refine(prompts)

    monkeypatch.setattr(tiny_engine, "generate_many", partial(tiny_engine.generate_many, load_memory=Slow))
    assert call_seconds(tiny_engine, make_options(**CHAT)) > 0
    assert len(asked) == len(BUILT_IN[0])


def test_other_stories_have_the_lengths_that_are_asked_for():
    assert [len(story) for story in stories_of([2, 3])] == [2, 3, 2, 3]
    assert [len(story) for story in stories_of([9, 1, 1, 1, 4])] == [9, 1, 1, 1, 4]
    assert stories_of([9])[0][:6] == BUILT_IN[0]
    assert len({story[0] for story in stories_of([1])}) == len(BUILT_IN)


@pytest.mark.long
def test_a_study_predicts_first_and_its_record_serves_to_plan(tiniest_path, tmp_path, monkeypatch):
    order = []

    def noting(name, function):
        return lambda *given, **named: order.append(name) or function(*given, **named)

    monkeypatch.setattr(calibration, "calibrate", noting("calibrated", calibration.calibrate))
    monkeypatch.setattr(study, "measure", noting("measured", study.measure))
    sizes = ["--stories", "1", "--frames", "2", "--rounds", "1", "--concurrency", "1", "--steps", "2"]
    argv = ["overhead", "--study", "--bundle", str(tiniest_path), *sizes, "--sweep", "none"]
    with quickly():
        assert main([*argv, "--out", str(tmp_path / "tiny")]) == 0
    assert order == ["calibrated", "measured"]
    record = json.loads((tmp_path / "tiny.json").read_text())
    models = {one["name"]: CostModel.from_dict(one["costs"]) for one in record["costs"]}
    (point,) = record["points"]
    for name, row in point["variants"].items():
        said, config = row["prediction"], SchedulerConfig.from_record(row["pipelining"])
        options = make_options(**point["options"]).replace(correction=not name.startswith(PLAIN))
        run = simulate(models[said["costs"]], [2], phase_schedule(options, config), config, memory_s=said["memory_s"])
        assert run.frames_per_second == said["frames_a_second"]
    assert main(["plan", "--costs", str(tmp_path / "tiny.json"), "--stories", "20"]) == 0

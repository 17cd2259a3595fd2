"""Costs between the measured batches, what disturbs what, and the way through JSON."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.simulator.calibrate import calibrate
from acdc.bench.simulator.cost_model import CostModel, between
from acdc.bench.simulator.simulator import simulate
from acdc.engine.engine import Engine
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import UNITS, SchedulerConfig
from acdc.engine.scheduler.scheduler import phase_schedule

positive = st.floats(1e-6, 1e3)
rows = st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), positive, min_size=1)
slower = st.dictionaries(st.sampled_from([1, 2, 4]), st.floats(1, 4), min_size=1)
models = st.builds(
    CostModel,
    st.dictionaries(st.sampled_from(list(UNITS)), rows, min_size=1),
    st.dictionaries(st.sampled_from([1, 2, 4]), st.floats(1, 300)),
    st.dictionaries(st.tuples(st.sampled_from(["arm", "dm"]), st.sampled_from(["arm", "dm"])), slower),
    positive,
    positive,
)


def test_between_the_measured_ones_on_a_line():
    assert [between({1: 3.0, 4: 6.0}, at) for at in (1, 2, 3, 4, 8)] == [3.0, 4.0, 5.0, 6.0, 10.0]
    assert [between({2: 3.0}, at) for at in (1, 2, 8)] == [3.0] * 3
    assert between({1: 3.0, 2: 2.0}, 4) == 2.0  # noise makes no batch free


@settings(deadline=None)
@given(rows, st.integers(1, 40))
def test_no_value_leaves_the_range_of_its_neighbours(row, at):
    below, above = (
        [row[known] for known in row if known <= at] or [row[min(row)]],
        [row[known] for known in row if known >= at],
    )
    value = between(row, at)
    if above:
        assert min(*below, *above, 1e9) - 1e-9 <= value <= max(*below, *above, 0) + 1e-9
    else:
        assert value >= row[max(row)]


@settings(deadline=None)
@given(models)
def test_json_gives_the_same_model(model):
    assert CostModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_a_draw_by_its_passes():
    model = CostModel({Phase.SAMPLE: {1: 2.0, 4: 4.0}}, {1: 20, 4: 40})
    assert model.launch_seconds(Phase.SAMPLE, 1) == 2.0
    assert model.launch_seconds(Phase.SAMPLE, 1, passes=5) == 0.5
    assert model.launch_seconds(Phase.SAMPLE, 4, passes=5) == 0.5
    assert model.passes_a_frame(2) == pytest.approx(80 / 3)
    assert CostModel({Phase.SAMPLE: {1: 2.0}}).passes_a_frame() == 1.0


def test_disturbances_add_up():
    model = CostModel({}, contention={("arm", "dm"): {1: 1.25, 3: 2.25}, ("arm", "arm"): {1: 1.5}})
    assert model.slowdown("arm", 1, []) == 1.0
    assert model.slowdown("arm", 1, ["dm", "arm", "dm"]) == 2.0
    assert model.slowdown("arm", 2, ["dm", "arm"]) == 2.25
    assert model.slowdown("dm", 1, ["dm", "arm"]) == 1.0


def test_a_model_with_one_contention_for_all_batches_can_be_read():
    model = CostModel({Phase.SAMPLE: {1: 1.0}}, contention={("arm", "dm"): {1: 1.25}})
    older = {**model.to_dict(), "format": 1, "contention": {"arm beside dm": 1.25}}
    assert CostModel.from_dict(older) == model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 7}, "format 7"),
        ({"seconds": {"paint": {"1": 1.0}}}, "paint"),
        ({"seconds": {"draw": {}}}, "seconds of draw: nothing"),
        ({"seconds": {"draw": {"1": -1.0}}}, "seconds of draw: -1.0 for 1 stories"),
        ({"seconds": {"draw": {"0": 1.0}}}, "for 0 stories"),
        ({"seconds": {"draw": {"1": float("nan")}}}, "nan"),
        ({"seconds": {"draw": 3.0}}, "measure it again"),
        ({"passes": {"1": 0.5}}, "passes: 0.5"),
        ({"contention": {"arm beside cpu": {"1": 1.0}}}, "arm beside cpu"),
        ({"contention": {"arm beside dm": {"1": 0.5}}}, "contention of arm beside dm: 0.5 for 1 stories"),
        ({"contention": {"arm beside dm": {}}}, "contention of arm beside dm: nothing was measured"),
        ({"memory_s": -1}, "memory_s -1"),
        ({"loop_s": float("inf")}, "loop_s inf"),
    ],
)
def test_impossible_costs_are_refused_in_one_line(change, message):
    good = CostModel({Phase.SAMPLE: {1: 1.0}}).to_dict()
    with pytest.raises(ValueError, match=message) as error:
        CostModel.from_dict({**good, **change})
    assert "\n" not in str(error.value)


def test_a_lacking_key_is_named():
    record = CostModel({Phase.SAMPLE: {1: 1.0}}).to_dict()
    del record["loop_s"]
    with pytest.raises(ValueError, match="loop_s"):
        CostModel.from_dict(record)


def test_a_phase_that_was_not_measured_is_named():
    with pytest.raises(ValueError, match="phase correct was not measured; measured: draw"):
        CostModel({Phase.SAMPLE: {1: 1.0}}).launch_seconds(Phase.SDEDIT, 1)


CONFIGURATIONS = [
    ({}, SchedulerConfig(), [1, 2, 4], 3),
    ({"context": "full"}, SchedulerConfig(slots=3, max_passes_per_launch=2, merge_replace=False), [1, 2], 3),
    ({"correction": False}, SchedulerConfig(slots=1, draw_batch=2), [1, 2, 4], 3),
]


@pytest.mark.long
@pytest.mark.parametrize(("chosen", "config", "batches", "passes"), CONFIGURATIONS)
def test_an_engine_is_measured(tiniest_path, chosen, config, batches, passes):
    options = make_options(num_inference_steps=2, decoding="sequential", **chosen)
    costs = calibrate(Engine.from_pretrained(tiniest_path), options, config, repeats=1)
    walks = phase_schedule(options, config)
    walked = {phase for index in range(6) for phase in walks(6)(index)}
    assert set(costs.seconds) == walked
    for phase, row in costs.seconds.items():
        limited = [batch for batch in batches if UNITS[phase] == "dm" or batch <= config.draw_batch]
        assert sorted(row) == limited
        assert min(row.values()) > 0
    assert costs.passes == {batch: passes for batch in batches if batch <= config.draw_batch}
    pairs = {(unit, other) for unit in ("arm", "dm") for other in ("arm", "dm")}
    assert set(costs.contention) == (pairs if config.slots > 1 else set())
    assert all(sorted(row) == batches for row in costs.contention.values())
    assert costs.memory_s > 0
    assert costs.loop_s > 0
    assert simulate(costs, [3, 6, 4], walks, config).frames == 13


def test_calibration_wants_a_repeat(tiny_engine):
    with pytest.raises(ValueError, match="repeats 0"):
        calibrate(tiny_engine, StoryOptions(), repeats=0)

"""Simulated runs: what holds of every schedule, times that none can beat, and what helps how much."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acdc.bench.simulator.cost_model import CostModel
from acdc.bench.simulator.simulator import Simulated, shared_out
from acdc.engine.options import make_options
from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import SERIAL, SchedulerConfig
from acdc.engine.scheduler.scheduler import phase_schedule
from tests.helpers.simulated import CLOSE, costs_of, flat, hows, lengths, options_of, run, times


def alone(costs: CostModel, launch, config: SchedulerConfig) -> tuple[float, float]:
    """The least and the most seconds that a launch may have been given."""
    batch = len(launch.stories)
    if launch.phase is not Phase.SAMPLE or config.max_passes_per_launch is None:
        return (costs.launch_seconds(launch.phase, batch),) * 2
    passes = min(config.max_passes_per_launch, costs.passes_a_frame())
    return 0.0, costs.launch_seconds(Phase.SAMPLE, batch, passes)


def launches(simulated: Simulated) -> list:
    return [ran for ran in simulated.ran if ran.slot is not None]


# -- what holds of every run ------------------------------------------------------------------------------


@settings(deadline=None)
@given(costs_of, lengths, hows, options_of)
def test_no_slot_holds_two_launches_and_stories_walk_in_order(costs, frames, config, options):
    simulated = run(costs, frames, config, options)
    by_slot, by_story, memory_calls = defaultdict(list), defaultdict(list), defaultdict(list)
    for ran in simulated.ran:
        for name in ran.stories:
            (memory_calls if ran.slot is None else by_story)[name].append(ran)
        if ran.slot is not None:
            by_slot[ran.slot].append(ran)
    for ran_there in by_slot.values():
        assert all(first.end <= second.start + CLOSE for first, second in pairwise(ran_there))
    for number, count in enumerate(frames, 1):
        mine, walks = by_story[f"{number:06d}"], phase_schedule(options, config)(count)
        assert all(first.end <= second.start + CLOSE for first, second in pairwise(mine))
        kept = [ran for ran, after in pairwise([*mine, None]) if after is None or not drawn_on(ran, after)]
        assert [ran.phase for ran in kept] == [phase for index in range(count) for phase in walks(index)]
        calls, corrections = memory_calls[f"{number:06d}"], [ran.start for ran in mine if ran.phase is Phase.SDEDIT]
        assert len(calls) == count
        corrected = [index for index in range(count) if Phase.SDEDIT in walks(index)]
        for index, start in zip(corrected, corrections, strict=True):
            assert calls[index].end <= start + CLOSE


def drawn_on(ran, after) -> bool:
    """Another launch of the same frame's draw follows."""
    return ran.phase is Phase.SAMPLE and after.phase is Phase.SAMPLE


@settings(deadline=None)
@given(costs_of, lengths, hows, options_of)
def test_launches_take_their_time_and_no_run_beats_the_bounds(costs, frames, config, options):
    simulated = run(costs, frames, config, options)
    slowest = 1 + (config.slots - 1) * (max(max(row.values()) for row in costs.contention.values()) - 1)
    for launch in launches(simulated):
        least, most = alone(costs, launch, config)
        assert least - CLOSE <= launch.end - launch.start <= most * slowest + CLOSE
    if config.max_passes_per_launch is None:
        work = sum(alone(costs, launch, config)[0] for launch in launches(simulated))
        assert simulated.seconds >= work / config.slots - CLOSE
    walks = phase_schedule(options, config)
    call = costs.memory_s if config.prompt_lookahead == 0 else 0.0
    for count in frames:
        path = sum(costs.launch_seconds(phase, 1) for index in range(count) for phase in walks(count)(index))
        if config.max_passes_per_launch is None:
            assert simulated.seconds >= path + call * count - CLOSE
    assert simulated.frames == sum(frames)
    assert simulated.first_frame_s <= simulated.seconds
    assert 0 <= simulated.exposed_memory_s <= sum(simulated.latencies) + CLOSE


@settings(deadline=None)
@given(lengths, hows, costs_of)
def test_no_slot_idles_while_a_story_could_run(frames, config, costs):
    config = SchedulerConfig(**{**vars(config), "split_across_slots": True})
    costs = CostModel(costs.seconds, costs.passes, costs.contention)  # without delays
    simulated = run(costs, frames, config, memory_s=0.0)
    ran = launches(simulated)
    ends = {name: launch.end for launch in ran for name in launch.stories}
    moments = sorted({moment for launch in ran for moment in launch[3:]})
    for low, high in pairwise(moments):
        if high - low < CLOSE:
            continue
        at = (low + high) / 2
        busy = [launch for launch in ran if launch.start < at < launch.end]
        running = {name for launch in busy for name in launch.stories}
        alive = sum(end > at for end in ends.values())
        assert len(busy) == config.slots or len(running) == min(alive, config.stories)


@settings(deadline=None)
@given(costs_of, lengths, options_of)
def test_one_after_another_takes_the_sum_of_all(costs, frames, options):
    simulated = run(costs, frames, SERIAL, options)
    walks = phase_schedule(options, SERIAL)
    walked = [phase for count in frames for index in range(count) for phase in walks(count)(index)]
    turns = len(walked) + sum(frames)
    total = sum(costs.launch_seconds(phase, 1) for phase in walked)
    assert simulated.seconds == pytest.approx(total + sum(frames) * costs.memory_s + turns * costs.loop_s)
    assert simulated.exposed_memory_s == pytest.approx(sum(frames) * costs.memory_s)
    assert simulated.seconds == pytest.approx(sum(simulated.latencies))


# -- what helps, and how much -----------------------------------------------------------------------------


@pytest.mark.long
@settings(deadline=None)
@given(times, lengths, hows)
@example(1.0, [1], SchedulerConfig())
def test_a_second_slot_that_disturbs_nobody_does_not_slow_down(seconds, frames, config):
    one, two = (
        SchedulerConfig(**{**vars(config), "slots": slots, "split_across_slots": True, "max_passes_per_launch": None})
        for slots in (1, 2)
    )
    slower = run(flat(seconds), frames, two)
    longest = max(launch.end - launch.start for launch in launches(slower))
    assert slower.seconds <= run(flat(seconds), frames, one).seconds + longest + CLOSE


def test_two_slots_that_share_one_processor_gain_nothing():
    one, two = (run(flat(contention=2.0), [4] * 8, SchedulerConfig(slots=slots)) for slots in (1, 2))
    assert two.seconds == pytest.approx(one.seconds, rel=0.03)


def test_two_slots_that_share_nothing_take_half():
    one, two = (run(flat(), [4] * 16, SchedulerConfig(slots=slots)) for slots in (1, 2))
    assert two.seconds == pytest.approx(one.seconds / 2, rel=0.03)


@pytest.mark.long
@settings(deadline=None)
@given(times, st.floats(0, 3.0), st.integers(1, 3))
def test_memory_is_hidden_while_frames_are_drawn(seconds, share, prompt_lookahead):
    config = SchedulerConfig(prompt_lookahead=prompt_lookahead, calls=12)
    hidden = run(flat(seconds), [3] * 14, config, memory_s=share * seconds)  # three launches go before a correction
    assert hidden.exposed_memory_s == 0
    instant = run(flat(seconds), [3] * 14, config, memory_s=0.0)
    longest = max(launch.end - launch.start for launch in launches(instant))
    assert abs(hidden.seconds - instant.seconds) <= longest + CLOSE  # launches that end together may change places


def test_memory_that_is_not_asked_ahead_is_exposed():
    config = SchedulerConfig(stories=1, waiting=0, slots=1, prompt_lookahead=0)
    assert run(flat(), [3] * 2, config, memory_s=0.5).exposed_memory_s == pytest.approx(3.0)
    # Phases of 1 s, calls of 7 s one after another: the frames' prompts are there at 7, 14 and 21 s, and wanted at
    # 3 s (after prefill, draw and decode), 12 s (after correct and encode) and 19 s.
    assert run(flat(), [3], SchedulerConfig(stories=1, slots=1), memory_s=7.0).waited == pytest.approx([4.0, 2.0, 2.0])


@pytest.mark.long
@settings(deadline=None)
@given(times, lengths, hows)
def test_twice_the_stories_are_not_done_sooner(seconds, frames, config):
    assert run(flat(seconds), frames * 2, config).seconds >= run(flat(seconds), frames, config).seconds - CLOSE


@pytest.mark.parametrize("config", [SERIAL, SchedulerConfig(), SchedulerConfig(slots=3, stories=24, draw_batch=8)])
def test_time_grows_with_the_stories(config):
    seconds = [run(flat(), [3] * count, config).seconds for count in (24, 48, 96)]
    assert seconds[1] / seconds[0] == pytest.approx(2, rel=0.1)
    assert seconds[2] / seconds[1] == pytest.approx(2, rel=0.1)


@pytest.mark.long
def test_64_machines_are_64_times_as_fast():
    frames = [3 + number % 4 for number in range(1280)]
    config, costs = SchedulerConfig(), flat(memory_s=0.3, loop_s=0.001)
    one, many = (run(costs, frames, config, machines=machines) for machines in (1, 64))
    assert 55 < one.seconds / many.seconds <= 65
    assert many.frames == one.frames == sum(frames)
    assert {ran.slot for ran in launches(many)} == set(range(128))


@settings(deadline=None, max_examples=30)
@given(costs_of, lengths, hows, st.integers(1, 3))
def test_frames_of_several_machines_come_in_the_order_of_their_ends(costs, frames, config, machines):
    many = run(costs, frames, config, machines=machines)
    assert list(many.ends) == sorted(many.ends)
    assert [ran.end for ran in many.ran] == sorted(ran.end for ran in many.ran)
    shares = shared_out(frames, machines)
    alone = [run(costs, [count for _, count in share], config) for share in shares]
    noted = {(end, at) for one in alone for end, at in zip(one.ends, one.latencies, strict=True)}
    assert set(zip(many.ends, many.latencies, strict=True)) == noted
    assert many.first_frame_s == min(one.first_frame_s for one in alone if one.frames)
    for machine, share in enumerate(shares):
        there = range(machine * config.slots, (machine + 1) * config.slots)
        assert {name for ran in many.ran if ran.slot in there for name in ran.stories} == {name for name, _ in share}


def test_a_story_in_flight_that_waits_for_a_slot_counts_that_time():
    """Two stories of one frame, prefill, draw and decode of 1 s each on one slot that takes one at a time: the second
    one's first launch is at 3 s, and it is there at 6 s. With room for one story in flight it is begun at 3 s only."""
    plain = make_options(correction=False)
    crowded, one = (SchedulerConfig(slots=1, stories=n, draw_batch=1, correct_batch=1) for n in (2, 1))
    assert max(run(flat(), [1, 1], crowded, plain).latencies) == pytest.approx(6.0)
    assert max(run(flat(), [1, 1], one, plain).latencies) == pytest.approx(3.0)


@pytest.mark.slow
def test_ten_thousand_stories_on_one_machine_and_on_many():
    """Time to simulate grows with the frames alone."""
    config, costs = SchedulerConfig(), flat(memory_s=0.3, loop_s=0.001)
    rates = {machines: run(costs, [6] * 10_000, config, machines=machines).frames_per_second for machines in (1, 8, 64)}
    assert rates[8] / rates[1] == pytest.approx(8, rel=0.02)
    assert rates[64] / rates[1] == pytest.approx(64, rel=0.05)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 9))
def test_stories_go_where_the_fewest_frames_are(frames, machines):
    shares = shared_out(frames, machines)
    assert sorted(story for share in shares for story in share) == [
        (f"{number:06d}", count) for number, count in enumerate(frames, 1)
    ]
    loads = [sum(count for _, count in share) for share in shares]
    assert max(loads) - min(loads) <= max(frames, default=0)


def test_latencies_are_ranked():
    simulated = Simulated(10.0, [4.0, 1.0, 3.0, 2.0], [0.0] * 4, [1.0, 2.0, 3.0, 10.0], [])
    assert [simulated.latency(share) for share in (0.25, 0.5, 0.9, 1.0)] == [1.0, 2.0, 4.0, 4.0]
    assert simulated.frames_per_second == 0.4


def test_nothing_takes_no_time():
    nothing = run(flat(), [], SchedulerConfig())
    assert (nothing.seconds, nothing.frames, nothing.frames_per_second, nothing.latency(0.5)) == (0.0, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("frames", "given", "message"),
    [([1, 0], {}, "story 2 has 0 frames"), ([1], {"machines": 0}, "machines 0"), ([1], {"memory_s": -1.0}, "memory_s")],
)
def test_impossible_input_is_refused(frames, given, message):
    with pytest.raises(ValueError, match=message):
        run(flat(), frames, SchedulerConfig(), **given)


def test_a_phase_without_a_time_is_named():
    with pytest.raises(ValueError, match="phase prefill was not measured"):
        run(CostModel({Phase.SAMPLE: {1: 1.0}}), [1], SchedulerConfig())

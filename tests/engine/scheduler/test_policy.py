"""The next launch of a free slot: ARM and DM overlap, drain, patience, and the number of stories."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import ORDER, PATIENCE, SERIAL, UNITS, SchedulerConfig, choose

HOW = SchedulerConfig()
TOGETHER = SchedulerConfig(split_across_slots=False)


@dataclass(frozen=True)
class Waiting:
    """A story that is ready."""

    phase: Phase
    times_skipped: int = 0
    retry_alone: bool = False
    batch_key: str = ""


def ready(*phases: Phase) -> list[Waiting]:
    return [Waiting(phase) for phase in phases]


def chosen(*args: object) -> Phase:
    choice = choose(*args)  # type: ignore[arg-type]
    assert choice is not None
    return choice.phase


def test_every_phase_that_takes_a_slot_belongs_to_a_model():
    assert set(UNITS) == set(Phase) - {Phase.MEMORY}


def test_nobody_ready_runs_nothing():
    assert choose([], [], 0, HOW) is None


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        ([Phase.SDEDIT], Phase.SAMPLE),
        ([Phase.VQ_DECODE], Phase.SAMPLE),
        ([Phase.VQ_ENCODE], Phase.SAMPLE),
        ([Phase.PREFILL], Phase.SDEDIT),
        ([Phase.SAMPLE], Phase.SDEDIT),
        ([Phase.UPDATE_CONTEXT], Phase.SDEDIT),
        ([], Phase.SDEDIT),
        ([Phase.SAMPLE, Phase.SDEDIT], Phase.SDEDIT),
    ],
)
def test_the_arm_runs_concurrently_with_the_diffusion_model(running, expected):
    assert chosen(ready(Phase.PREFILL, Phase.SDEDIT, Phase.SAMPLE), running, 8, HOW) is expected


@given(st.lists(st.sampled_from(list(UNITS)), min_size=1), st.permutations([[], [Phase.SAMPLE, Phase.SDEDIT]]))
def test_what_is_nearest_to_its_end_goes_first(phases, runnings):
    """No model is idle, or all are."""
    for running in runnings:
        assert chosen(ready(*phases), running, 8, HOW) is max(phases, key=ORDER.index)


def test_who_was_passed_over_too_often_goes_first():
    waiting = [Waiting(Phase.PREFILL, PATIENCE - 1), *ready(Phase.SDEDIT)]
    assert chosen(waiting, [], 8, HOW) is Phase.SDEDIT
    starved = [*ready(Phase.SDEDIT), Waiting(Phase.PREFILL, PATIENCE), Waiting(Phase.VQ_ENCODE, PATIENCE)]
    assert chosen(starved, [], 8, HOW) is Phase.PREFILL, "the longest waiting of them"
    assert chosen(starved, [Phase.SAMPLE], 8, HOW) is Phase.PREFILL, "although the ARM is running"


def test_without_share_one_draw_runs_at_a_time():
    assert choose(ready(Phase.SAMPLE), [Phase.SAMPLE], 8, TOGETHER) is None
    assert choose([Waiting(Phase.SAMPLE, PATIENCE)], [Phase.SAMPLE], 8, TOGETHER) is None, "they join when it ends"
    assert chosen(ready(Phase.SAMPLE, Phase.PREFILL), [Phase.SAMPLE], 8, TOGETHER) is Phase.PREFILL
    assert chosen(ready(Phase.SAMPLE), [Phase.PREFILL], 8, TOGETHER) is Phase.SAMPLE
    assert chosen(ready(Phase.SAMPLE), [Phase.SAMPLE], 8, HOW) is Phase.SAMPLE


@pytest.mark.parametrize(
    ("able", "in_flight", "config", "count"),
    [
        (1, 8, HOW, 1),
        (2, 8, HOW, 2),
        (3, 8, HOW, 2),
        (4, 8, HOW, 4),
        (9, 8, HOW, 4),
        (4, 3, HOW, 2),  # 3 stories for 2 slots: 2 and 1
        (4, 2, HOW, 1),
        (4, 1, HOW, 1),
        (4, 2, TOGETHER, 4),
        (9, 9, replace(TOGETHER, draw_batch=16), 8),
        (9, 9, replace(TOGETHER, draw_batch=6), 4),
        (9, 9, replace(HOW, slots=1, draw_batch=8), 8),
        (9, 9, SERIAL, 1),
    ],
)
def test_a_launch_takes_a_power_of_two_and_its_share(able, in_flight, config, count):
    choice = choose(ready(*[Phase.SAMPLE] * able), [], in_flight, config)
    assert choice is not None
    assert choice == (Phase.SAMPLE, count, False)


def test_either_model_has_a_limit_of_its_own():
    config = SchedulerConfig(slots=1, stories=16, draw_batch=8, correct_batch=2)
    for phase, unit in UNITS.items():
        choice = choose(ready(*[phase] * 16), [], 16, config)
        assert choice is not None
        assert choice.size == (8 if unit == "arm" else 2)


@pytest.mark.parametrize(
    ("max_batch", "size"), [({}, 4), ({Phase.SAMPLE: 2}, 2), ({Phase.SAMPLE: 1}, 1), ({Phase.VQ_DECODE: 1}, 4)]
)
def test_a_phase_takes_no_more_than_fits_in_memory(max_batch, size):
    assert choose(ready(*[Phase.SAMPLE] * 8), [], 8, HOW, max_batch) == (Phase.SAMPLE, size, False)


def test_who_failed_with_others_runs_alone_and_keeps_its_turn():
    retry_alone, other = Waiting(Phase.SAMPLE, retry_alone=True), Waiting(Phase.SAMPLE)
    assert choose([retry_alone, other, other], [], 8, HOW) == (Phase.SAMPLE, 1, True)
    assert choose([other, retry_alone, other], [], 8, HOW) == (Phase.SAMPLE, 2, False), "the two others"


def test_a_launch_takes_stories_of_one_key_the_longest_waiting_first():
    a, b = Waiting(Phase.SDEDIT, batch_key="a"), Waiting(Phase.SDEDIT, batch_key="b")
    config = SchedulerConfig(slots=1)
    assert choose([a, b, b, b, a], [], 8, config) == (Phase.SDEDIT, 2, False)
    assert choose([b, a, b, b, b], [], 8, config) == (Phase.SDEDIT, 4, False)


@pytest.mark.parametrize("name", ["slots", "stories", "draw_batch", "correct_batch", "calls", "max_passes_per_launch"])
@pytest.mark.parametrize("value", [0, -1])
def test_what_must_be_one_at_least_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} {value} is too small; choose 1 or more$"):
        SchedulerConfig(**{name: value})


@pytest.mark.parametrize("name", ["waiting", "prompt_lookahead"])
def test_what_must_not_be_negative_is_refused(name):
    with pytest.raises(ValueError, match=rf"^{name} -1 is negative; choose 0 or more$"):
        SchedulerConfig(**{name: -1})


def test_everything_can_be_turned_off():
    """Each field at its least, to see what it is worth."""
    least = {
        "slots": 1,
        "stories": 1,
        "waiting": 0,
        "draw_batch": 1,
        "correct_batch": 1,
        "prompt_lookahead": 0,
        "calls": 1,
    }
    off = SchedulerConfig(**least, max_passes_per_launch=1, split_across_slots=False, merge_replace=False)
    assert {field.name for field in fields(off)} == {
        *least,
        "max_passes_per_launch",
        "split_across_slots",
        "merge_replace",
    }


def test_records_of_earlier_versions_are_read():
    record = {"slots": 3, "run_ahead": 1, "quantum": 5, "share": False}
    expected = SchedulerConfig(slots=3, prompt_lookahead=1, max_passes_per_launch=5, split_across_slots=False)
    assert SchedulerConfig.from_record(record) == SchedulerConfig.from_record(vars(expected)) == expected

"""The schedule's invariants, over random stories, limits, completion orders, failures, answers and cancellations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import SERIAL, UNITS, SchedulerConfig
from acdc.engine.scheduler.scheduler import ScheduledStory, Scheduler, State, frame_phases
from tests.helpers.plots import CONFIGS, PLOTS
from tests.helpers.schedules import World

ROOT = Path(__file__).parents[3]


@pytest.mark.long
@given(
    config=CONFIGS, plots=st.lists(PLOTS, min_size=1, max_size=14), seed=st.integers(0, 2**32), trouble=st.booleans()
)
@settings(max_examples=400, deadline=None)
def test_any_schedule_takes_every_story_to_its_end(config, plots, seed, trouble):
    world = World(config, plots, seed, trouble)
    world.run()
    for seen in world.seen.values():
        frames = list(range(seen.plot.done, seen.plot.frames))
        assert seen.shown == frames[: len(seen.shown)], "each frame once, in order"
        if seen.end == "finished":
            assert seen.shown == frames
        elif not trouble:  # then only those fail that always do, there and nowhere else
            assert seen.end == "failed"
            assert seen.plot.breaks is not None
            assert seen.shown == frames[: seen.plot.breaks[0] - seen.plot.done]
        if not trouble and (breaks := seen.plot.breaks) is not None:
            reached = seen.plot.done <= breaks[0] < seen.plot.frames and breaks[1] < len(
                seen.phases_of_frames[breaks[0]]
            )
            assert (seen.end == "failed") == reached


@given(
    config=CONFIGS,
    plots=st.lists(PLOTS, min_size=1, max_size=14),
    seed=st.integers(0, 2**32),
    trouble=st.booleans(),
    fits=st.dictionaries(st.sampled_from(list(UNITS)), st.integers(1, 4)),
)
@settings(max_examples=200, deadline=None)
def test_a_batch_that_does_not_fit_is_halved_for_good(config, plots, seed, trouble, fits):
    world = World(config, plots, seed, trouble, fits)
    world.run()
    for phase, sizes in world.ran_out.items():
        in_flight_at_once = [size for size in sizes if size == max(sizes)]
        assert len(in_flight_at_once) <= config.slots, "only launches that ran before the first came back"
        assert world.scheduler.max_batch[phase] == min(sizes) // 2


@given(plots=st.lists(PLOTS, min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_serial_runs_one_story_after_another(plots, seed):
    world = World(SERIAL, plots, seed, trouble=False)
    began: list[ScheduledStory] = []
    fill = world.fill

    def watched() -> None:
        fill()
        began.extend(task for launch in world.launches.values() for task in launch.stories if task not in began)
        assert sum(seen.end is None for seen in world.seen.values()) <= 1

    world.fill = watched  # type: ignore[method-assign]
    world.run()
    assert began == list(world.seen)


@pytest.mark.parametrize(
    ("corrected", "feed_back", "last", "merge", "after"),
    [
        (False, True, False, False, []),
        (True, False, False, False, [Phase.SDEDIT]),
        (True, True, False, True, [Phase.SDEDIT, Phase.VQ_ENCODE]),
        (True, True, False, False, [Phase.SDEDIT, Phase.VQ_ENCODE, Phase.UPDATE_CONTEXT]),
        (True, True, True, False, [Phase.SDEDIT, Phase.VQ_ENCODE]),
    ],
)
def test_the_walk_of_a_frame(corrected, feed_back, last, merge, after):
    first = [Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE]
    assert list(frame_phases(corrected, feed_back, last, merge)) == [*first, *after]


def task(name: str, frames: int = 2) -> ScheduledStory:
    phases = [frame_phases(True, True, index + 1 == frames, True) for index in range(frames)]
    return ScheduledStory(name, frames, phases.__getitem__)


def test_stories_beyond_the_limit_wait_and_are_rewritten_meanwhile():
    scheduler = Scheduler(SchedulerConfig(stories=2, waiting=2, calls=3, prompt_lookahead=1))
    tasks = [task(name) for name in "abcd"]
    for one in tasks:
        scheduler.add(one)
    assert not scheduler.room
    assert [one.state for one in tasks] == [State.READY] * 2 + [State.WAITING] * 2
    assert scheduler.calls() == [*tasks[:2], tasks[2]], "those that were begun come first"
    assert scheduler.calls() == []
    scheduler.complete_call(tasks[0])
    assert scheduler.calls() == [tasks[3]], "the prompt of the first frame before that of the second"
    with pytest.raises(AssertionError, match="the queue is full"):
        scheduler.add(task("e"))


def test_a_dropped_storys_call_counts_until_it_comes_back():
    scheduler = Scheduler(SchedulerConfig(stories=1, waiting=1, calls=1))
    one, other = task("one"), task("other")
    scheduler.add(one)
    scheduler.add(other)
    assert scheduler.calls() == [one]
    scheduler.drop(one)
    assert one.state is State.GONE
    assert scheduler.calls() == [], "the caller is still taken"
    scheduler.complete_call(one)
    assert scheduler.calls() == [other]


def test_a_dropped_story_in_a_launch_holds_its_place_until_that_comes_back():
    scheduler = Scheduler(SchedulerConfig(slots=2, stories=1, waiting=1))
    one, other = task("one"), task("other")
    scheduler.add(one)
    scheduler.add(other)
    assert scheduler.calls() == [one, other]
    (launch,) = scheduler.schedule()
    scheduler.drop(one)
    scheduler.complete_call(one)
    assert one.state is State.RUNNING, "its caches are held"
    assert other.state is State.WAITING
    assert scheduler.complete(launch) == []
    assert one.state is State.GONE
    assert other.state is State.READY


def test_news_of_what_does_not_run_is_refused():
    scheduler = Scheduler(SchedulerConfig())
    one = task("one")
    scheduler.add(one)
    with pytest.raises(AssertionError, match="nobody asked"):
        scheduler.complete_call(one)
    with pytest.raises(AssertionError, match="one has no frame to show"):
        scheduler.shown(one)
    (launch,) = scheduler.schedule()
    scheduler.complete(launch)
    with pytest.raises(AssertionError, match="slot 0 does not run that"):
        scheduler.complete(launch)


@pytest.mark.parametrize("module", ["scheduler.scheduler", "scheduler.policy", "scheduler.events", "request"])
def test_decisions_about_many_stories_import_no_torch(module):
    code = f"import sys, acdc.engine.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)

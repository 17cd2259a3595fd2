"""A fleet's driver over engines on threads: starts, ends, mistakes, feeds and cancellations."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from acdc.engine.fleet.fleet import Fleet, NoEngineLeft
from acdc.engine.fleet.host import EngineHost
from acdc.engine.fleet.limits import Limits
from acdc.engine.outputs import StoryResult
from acdc.engine.scheduler.events import Cancelled, FrameDone, StoryFailed
from acdc.engine.scheduler.story_feed import StoryFeed
from tests.helpers.fleet_engines import FakeRecipe, Trouble, drawn, lines, stories

QUICK = Limits(pause_s=0.01, longest_pause_s=0.02, answer_s=0.05)


class ThreadEngines:
    """Engines of this process; ``recipes[i]`` is engine i's, the last one that of all further ones."""

    def __init__(self, *recipes):
        self.recipes, self.started = recipes, []

    def start(self, number):
        self.started.append(number)
        return ThreadEngine(self, EngineHost(self.recipes[min(number, len(self.recipes) - 1)]))

    def close(self):
        pass


class ThreadEngine:
    """An engine that cannot be killed: its thread ends after the frame under way."""

    def __init__(self, engines, host):
        self.engines, self.host, self.thread = engines, host, ThreadPoolExecutor(1)

    def exchange(self, message):
        return self.thread.submit(self.host.exchange, message)

    def end(self, hangs=False):
        self.host.stop()
        self.thread.shutdown(wait=False)


class Deaf:
    """An engine that never answers, as one that waits for a place in a cluster."""

    def exchange(self, message):
        return Future()

    def end(self, hangs=False):
        pass


@pytest.fixture
def notes():
    return []


@pytest.fixture
def fleet_of(tmp_path, notes):
    """Fleets of one recipe or of several, whose settings are keywords."""
    fleets = []

    def make(count=2, limits=QUICK, recipes=None, **settings):
        engines = ThreadEngines(*(recipes or [FakeRecipe(str(tmp_path), **settings)]))
        fleets.append(Fleet(engines, count, limits, note=notes.append))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


@pytest.fixture(autouse=True)
def threads_end():
    yield
    end = time.monotonic() + 10
    while [thread for thread in threading.enumerate() if thread.name == "acdc-engine"]:
        assert time.monotonic() < end, "a thread of an engine is left"
        time.sleep(0.01)


def results(run):
    ended = {}
    for one in run:
        name = one.id if isinstance(one, StoryResult) else one.request.id
        assert name not in ended
        ended[name] = one
    return ended


def test_it_is_one_engine_to_its_user(fleet_of, tmp_path):
    run = fleet_of().generate_many(stories(6))
    ended = results(run)
    assert [len(ended[f"s{n}"].frames) for n in range(6)] == [1, 2, 3, 1, 2, 3]
    assert ended["s1"].settings == run.settings == {"bundle": "fake", "threads": 1}
    assert (ended["s1"].versions, ended["s1"].start) == ({"acdc": "0"}, {"timestep": 501})
    assert len(drawn(tmp_path)) == 12
    with pytest.raises(ValueError, match="has been read already"):
        next(run.events())


def test_a_story_goes_on_when_the_event_after_its_frame_is_asked_for(fleet_of, tmp_path):
    events = fleet_of(count=1, stories=1).generate_many(stories(3)[2:]).events()
    assert next(events).frame.index == 0
    threading.Event().wait(0.2)
    assert drawn(tmp_path) == [("s2", 0)]
    assert next(events).frame.index == 1
    events.close()


def test_a_second_run_goes_on_with_the_same_engines(fleet_of):
    fleet = fleet_of()
    assert len(results(fleet.generate_many(stories(3)))) == 3
    assert len(results(fleet.generate_many(stories(4)))) == 4
    assert fleet._engines.started == [0, 1]


def test_one_run_at_a_time(fleet_of):
    fleet = fleet_of()
    next(fleet.generate_many(stories(6)).events())
    with pytest.raises(ValueError, match="a run of this fleet is not over"):
        fleet.generate_many(stories(1))


def test_an_engine_that_raises_gives_its_stories_back(fleet_of, notes):
    troubles = (Trouble("s2", 1, "raise"), Trouble("s4", 0, "raise"))
    ended = results(fleet_of(troubles=troubles).generate_many(stories(6)))
    assert all(isinstance(one, StoryResult) for one in ended.values())
    assert len(notes) == 2
    assert "RuntimeError: the engine broke; " in notes[0]


def test_a_story_that_ends_every_engine_fails_alone(fleet_of, tmp_path):
    trouble = Trouble("s2", 1, "raise", times=99)
    ended = results(fleet_of(count=1, stories=4, troubles=(trouble,)).generate_many(stories(5)))
    assert [name for name, one in ended.items() if isinstance(one, StoryFailed)] == ["s2"]
    assert str(ended["s2"].error) == (
        "its engine died 3 times at frame 2, the last time with this story alone: RuntimeError: the engine broke"
    )
    assert len(lines(tmp_path, "troubles.txt")) == 3
    assert len(ended) == 5


def test_a_users_mistake_is_raised_at_once(fleet_of):
    fleet = fleet_of(broken=ValueError("unknown bundle 'nothing'"))
    with pytest.raises(ValueError, match="unknown bundle 'nothing'"):
        _ = fleet.description
    assert len(fleet._engines.started) == 2


def test_an_engine_that_ends_at_its_start_is_tried_again_with_pauses(fleet_of, notes):
    fleet = fleet_of(count=1, broken=RuntimeError("CUDA error"))
    with pytest.raises(NoEngineLeft, match="no engine is left; engine 1: RuntimeError: CUDA error"):
        _ = fleet.description
    assert fleet._engines.started == [0] * 5
    assert [note.rpartition("; ")[2] for note in notes] == [
        "it starts again in 0.01 s",
        *["it starts again in 0.02 s"] * 3,
        "it is left out",
    ]


def test_the_others_go_on_without_an_engine_that_cannot_start(fleet_of, tmp_path):
    good, bad = FakeRecipe(str(tmp_path), seconds=0.01), FakeRecipe(str(tmp_path), broken=RuntimeError("no memory"))
    fleet = fleet_of(recipes=[good, bad])
    assert all(isinstance(one, StoryResult) for one in results(fleet.generate_many(stories(20))).values())


def test_an_engine_that_would_draw_otherwise_is_left_out(fleet_of, tmp_path, notes):
    class Other(FakeRecipe):
        def __call__(self):
            loaded = super().__call__()
            loaded.description = replace(loaded.description, versions={"acdc": "1"})
            return loaded

    fleet = fleet_of(recipes=[FakeRecipe(str(tmp_path)), Other(str(tmp_path))])
    assert len(results(fleet.generate_many(stories(30)))) == 30
    assert len(notes) == 1
    assert "would draw in another way: acdc is" in notes[0]
    assert notes[0].endswith("; it is left out")


def test_an_engine_without_a_place_delays_no_other(tmp_path, notes):
    class OnePlace(ThreadEngines):
        def start(self, number):
            return super().start(number) if number == 0 else Deaf()

    limits = replace(QUICK, silent_s=0.1, stall_s=0.1, start_s=0.1)
    with Fleet(OnePlace(FakeRecipe(str(tmp_path))), 3, limits, note=notes.append) as fleet:
        assert len(results(fleet.generate_many(stories(10)))) == 10
    assert notes == []


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_hanging_engine_is_ended(fleet_of, notes, deaths, monkeypatch):
    hung = threading.Event()
    monkeypatch.setattr("tests.helpers.fleet_engines.time.sleep", lambda s: hung.wait(min(s, 30)))
    limits = replace(QUICK, stall_s=0.2, deaths=deaths)
    ended = results(fleet_of(limits=limits, troubles=(Trouble("s1", 1, "sleep"),)).generate_many(stories(6)))
    hung.set()
    assert len(ended) == 6
    assert "no launch of it ended for 0.2 s" in notes[0]
    failed = [name for name, one in ended.items() if isinstance(one, StoryFailed)]
    assert "s1" in failed if deaths == 1 else not failed


def test_a_slow_reader_makes_no_engine_hang(fleet_of, notes):
    limits = replace(QUICK, silent_s=0.1, stall_s=0.1)
    for _ in fleet_of(limits=limits).generate_many(stories(2)).events():
        threading.Event().wait(0.3)
    assert notes == []


def test_a_feed_is_drawn_as_stories_arrive(fleet_of):
    feed, names = StoryFeed(), []
    events = fleet_of().generate_many(feed).events()
    for request in stories(3):
        feed.put(request)
        for event in events:
            assert isinstance(event, FrameDone)
            if event.last:
                names.append(event.request.id)
                break
    feed.close()
    assert list(events) == []
    assert names == ["s0", "s1", "s2"]
    assert "s0" not in feed


def test_an_engine_whose_answers_cannot_be_read_is_ended(tmp_path, notes):
    class Garbled(ThreadEngines):
        def start(self, number):
            engine = super().start(number)
            if number == 1:
                engine.host.exchange = lambda message: bytes(8)
            return engine

    with Fleet(Garbled(FakeRecipe(str(tmp_path), seconds=0.01)), 2, QUICK, note=notes.append) as fleet:
        assert len(results(fleet.generate_many(stories(20)))) == 20
    assert all("engine 2: its answer cannot be read" in note for note in notes)
    assert notes


def test_pauses_are_slept(fleet_of):
    fleet = fleet_of(count=1, limits=replace(QUICK, pause_s=0.3, starts=2), broken=RuntimeError("CUDA error"))
    begun = time.thread_time()
    with pytest.raises(NoEngineLeft):
        _ = fleet.description
    assert time.thread_time() - begun < 0.15


def test_cancelled_at_an_engine(fleet_of):
    feed = StoryFeed()
    run = fleet_of(count=1, stories=1).generate_many(feed)
    feed.put(stories(3)[2])
    feed.put(stories(2)[1])
    events = run.events()
    next(events)
    run.cancel("s2")
    run.cancel("s1")
    run.cancel("unknown")
    ended = {event.request.id: event for event in (next(events), next(events))}
    assert isinstance(ended["s1"].error, Cancelled)
    assert isinstance(ended["s2"], StoryFailed | FrameDone)
    feed.close()
    assert all(event.request.id == "s2" for event in events)
    assert "s1" not in feed


def test_settings_of_a_story_with_options_of_its_own_are_not_guessed(fleet_of):
    request = replace(stories(1)[0], options={"strength": 0.4})
    with pytest.raises(ValueError, match="story 's0' has options of its own; read the events"):
        list(fleet_of().generate_many([request]))


def test_impossible_limits_are_refused():
    with pytest.raises(ValueError, match="stall_s 0 of a fleet is too small"):
        Limits(stall_s=0)

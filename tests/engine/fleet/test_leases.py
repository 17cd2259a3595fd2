"""Leases of a fleet: whatever its engines do, every story ends once, with its frames in order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.fleet.leases import EngineDied, Leases
from acdc.engine.fleet.records import event_record
from acdc.engine.outputs import Phase, Span
from acdc.engine.scheduler.events import AlreadyComplete, Cancelled, FrameDone, StoryFailed
from acdc.engine.scheduler.story_feed import StoryFeed
from tests.helpers.fake_frame import draw, next_frame
from tests.helpers.fleet_engines import stories

ENGINES = 3
DEATH = EngineDied("it was ended by SIGKILL")
SPANS = (Span(Phase.SAMPLE, 5.0, 10.0),)


class Machines:
    """Engines that draw a frame of a story, or die, as a test decides."""

    def __init__(self, requests, poison=frozenset(), deaths=3):
        self.leases, self.poison = Leases(requests, deaths), poison
        self.has: dict[int, dict[str, list]] = {engine: {} for engine in range(ENGINES)}
        self.ended: dict[str, object] = {}
        self.frames: dict[str, list] = {}

    def fill(self, engine: int, most: int) -> None:
        for request in self.leases.give(engine, most, [other for other in range(ENGINES) if other != engine]):
            assert not any(request.id in has for has in self.has.values()), "two engines have a story"
            assert [frame.index for frame in request.done] == list(range(len(request.done)))
            self.has[engine][request.id] = [request, list(request.done)]

    def kill(self, engine: int, death: EngineDied = DEATH) -> None:
        self.has[engine].clear()
        for failed in self.leases.give_back(engine, death):
            self.end(failed)

    def draw(self, engine: int, place: int) -> None:
        """One frame of one of its stories."""
        if not self.has[engine]:
            return
        name = list(self.has[engine])[place % len(self.has[engine])]
        request, frames = self.has[engine][name]
        if (name, len(frames)) in self.poison:
            self.kill(engine)
            return
        made = AlreadyComplete(request)
        if len(frames) < len(request.sentences):
            frames.append(next_frame(request, frames))
            made = FrameDone(request, frames[-1], 1.0, 0.0)
        event = self.leases.take(engine, event_record(made))
        assert event is not None
        if isinstance(event, FrameDone):
            shown = self.frames.setdefault(name, [])
            assert event.frame.index == len(shown), "frames come in order, once each"
            shown.append(event.frame.codes)
        if not isinstance(event, FrameDone) or event.last:
            del self.has[engine][name]
            self.end(event)

    def end(self, event) -> None:
        assert event.request.id not in self.ended, "a story ends once"
        self.ended[event.request.id] = event

    def finish(self, most: int) -> None:
        """Draw what is left; no more deaths but those of the poison."""
        for _ in range(10_000):
            if self.leases.over:
                return
            for engine in range(ENGINES):
                self.fill(engine, most)
                self.draw(engine, 0)
        raise AssertionError("the run does not end")


def undisturbed(requests) -> dict[str, list]:
    machines = Machines(requests)
    machines.finish(1)
    return machines.frames


FEW = settings(max_examples=30)
ACTIONS = st.tuples(st.integers(0, ENGINES - 1), st.integers(0, 20), st.booleans())


@FEW
@given(st.lists(ACTIONS, max_size=80), st.integers(1, 5))
def test_any_deaths_lose_nothing(actions, most):
    """An engine that is taken away blames no story, whatever its number."""
    requests = stories(10)
    machines = Machines(requests)
    for engine, what, dies in actions:
        machines.fill(engine, most)
        if dies:
            machines.kill(engine, EngineDied("its node is gone", preempted=True))
        else:
            machines.draw(engine, what)
    machines.finish(most)
    assert machines.frames == undisturbed(requests)
    assert not [event for event in machines.ended.values() if isinstance(event, StoryFailed)]


@FEW
@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=4), st.integers(1, 5), st.integers(2, 4))
def test_a_story_that_kills_its_engines_fails_alone(places, most, deaths):
    requests = stories(10)
    poison = frozenset((f"s{story}", index) for story, index in places)
    machines = Machines(requests, poison, deaths)
    machines.finish(most)
    real = {name for name, index in poison if index < len(next(r for r in requests if r.id == name).sentences)}
    assert {name for name, event in machines.ended.items() if isinstance(event, StoryFailed)} == real
    assert machines.ended.keys() == {request.id for request in requests}
    whole = undisturbed(requests)
    for name, codes in machines.frames.items():
        assert codes == whole[name][: len(codes)]
        if name not in real:
            assert codes == whole[name]


def test_the_last_try_is_alone_and_another_frame_clears_a_story():
    leases = Leases(stories(4, frames=4), 3)
    for engine in (0, 1):
        assert len(leases.give(engine, 4)) == 4
        assert leases.give_back(engine, DEATH) == []
    (request,) = leases.give(2, 4)
    assert leases.give(2, 4) == []
    leases.take(2, event_record(FrameDone(request, draw(request.sentences[0], 0, request.seed), 1.0, 0.0)))
    leases.give_back(2, DEATH)
    assert leases.waiting[0].deaths == (1 if len(request.sentences) > 1 else 2)


def test_it_goes_to_another_engine_than_the_one_that_died():
    leases = Leases(stories(1), 3)
    assert leases.give(0, 1, [1])
    leases.give_back(0, DEATH)
    assert leases.give(0, 1, [1]) == []
    assert len(leases.give(1, 1, [0])) == 1


def test_stories_are_read_when_there_is_room():
    asked = []

    def source():
        for request in stories(10):
            asked.append(request.id)
            yield request

    leases = Leases(source(), 3)
    assert asked == []
    leases.give(0, 2)
    leases.give(0, 2)
    assert asked == ["s0", "s1"]


def test_an_error_of_the_source_is_raised_when_the_others_are_done():
    def source():
        yield stories(1)[0]
        raise ValueError("line 2 is damaged")

    machines = Machines(source())
    with pytest.raises(ValueError, match="line 2 is damaged"):
        machines.finish(2)
    assert list(machines.ended) == ["s0"]


def test_an_id_that_comes_twice_is_refused():
    with pytest.raises(ValueError, match="'s0' is given twice"):
        Machines(stories(1) * 2).finish(1)


def test_a_frame_out_of_order_is_the_engines_fault():
    leases = Leases(stories(3), 3)
    request = leases.give(0, 3)[2]
    event = FrameDone(request, draw("late", 1, 0), 1.0, 0.0)
    with pytest.raises(EngineDied, match="it sent frame 1 of story 's2', not 0"):
        leases.take(0, event_record(event))


def test_cancelled_while_it_waits():
    feed = StoryFeed()
    for request in stories(3):
        feed.put(request)
    leases = Leases(feed, 3)
    leases.give(0, 1)
    leases.give_back(0, DEATH)
    ended = leases.cancel({"s0", "s2"})
    assert [event.request.id for event in ended] == ["s0", "s2"]
    assert all(isinstance(event.error, Cancelled) for event in ended)
    assert [request.id for request in leases.give(0, 3)] == ["s1"]
    feed.put(stories(1)[0])  # its name is free again


def test_times_of_the_next_engine_follow_the_firsts():
    leases = Leases(stories(3), 3)
    request = leases.give(0, 3)[2]

    def hand_over(engine, index):
        frame = draw(request.sentences[index], index, 0, spans=SPANS)
        return leases.take(engine, event_record(FrameDone(request, frame, 1.0, 0.0))).frame.spans[0].start_ms

    assert hand_over(0, 0) == SPANS[0].start_ms
    leases.give_back(0, DEATH)
    leases.give(1, 3)
    assert hand_over(1, 1) == SPANS[0].start_ms + 15.0

"""Stories that arrive while others are drawn, and stories that are cancelled from other threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import AlreadyComplete, Cancelled, FrameDone, StoryFailed
from acdc.engine.scheduler.policy import SERIAL, SchedulerConfig
from acdc.engine.scheduler.run import Many
from acdc.engine.scheduler.story_feed import StoryFeed
from tests.helpers.many_stories import SMALL, STORIES, Forgetful, ended, many_of, same

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

SHORT = [STORIES[1], STORIES[2], StoryRequest("late", ("A dog slept.",), 3)]
ONE = SchedulerConfig(slots=1, stories=1, waiting=0)


class Reader:
    """Reads a run on a thread of its own, as a worker does."""

    def __init__(self, many: Many) -> None:
        self.seen: SimpleQueue[object] = SimpleQueue()
        self.thread = threading.Thread(target=self._read, args=(many,), daemon=True)
        self.thread.start()

    def _read(self, many: Many) -> None:
        for event in many.events():
            self.seen.put(event)

    def next(self) -> object:
        return self.seen.get(timeout=60)

    def end(self) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert self.seen.empty()


@settings(max_examples=6)
@given(
    order=st.permutations(SHORT),
    gaps=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    config=st.sampled_from([SMALL, ONE, SchedulerConfig(max_passes_per_launch=5, split_across_slots=False)]),
)
def test_a_story_does_not_depend_on_when_it_arrives(exact_engine, alone, order, gaps, config):
    """Each comes a number of frames after the one before it, or when nothing is left to draw."""
    feed = StoryFeed()
    events, frames, queue = many_of(exact_engine, config, feed).events(), {}, list(zip(gaps, order, strict=True))
    drawn = owed = 0
    while queue or owed:
        while queue and (owed == 0 or drawn >= queue[0][0]):
            _, request = queue.pop(0)
            feed.put(request)
            owed, drawn = owed + len(request.sentences), 0
        event = next(events)
        frames.setdefault(event.request.id, []).append(event.frame)
        drawn, owed = drawn + 1, owed - 1
    feed.close()
    assert list(events) == []
    for request in SHORT:
        same(frames[request.id], alone(request))


@pytest.mark.parametrize("config", [SMALL, SERIAL], ids=["slots", "inline"])
def test_a_run_without_stories_sleeps_until_one_comes(exact_engine, alone, config):
    feed = StoryFeed()
    reader = Reader(many_of(exact_engine, config, feed))
    for request in SHORT[:2]:
        spent = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - spent < 0.1, "it spins"
        feed.put(request)
        same([reader.next().frame for _ in request.sentences], alone(request))
    feed.close()
    reader.end()


def test_a_feed_that_is_closed_first_is_drawn_to_its_end(exact_engine, alone):
    feed = StoryFeed()
    for request in SHORT:
        feed.put(request)
    feed.close()
    assert len(feed) == 3
    results = {result.id: result for result in many_of(exact_engine, SMALL, feed)}
    assert len(feed) == 0
    for request in SHORT:
        same(results[request.id].frames, alone(request))
    empty = StoryFeed()
    empty.close()
    assert list(many_of(exact_engine, SMALL, empty)) == []


def test_an_arrival_does_not_wait_for_the_memory_of_another(exact_engine, alone):
    """Nothing runs but a language model that takes its time."""
    held, feed = threading.Event(), StoryFeed()

    class Held(Forgetful):
        def refine(self, prompts):
            if prompts[0] == "A bear slept.":
                held.wait(60)
            return super().refine(prompts)

    reader = Reader(many_of(exact_engine, SchedulerConfig(prompt_lookahead=0), feed, load_memory=Held))
    feed.put(SHORT[1])
    while not any(thread.name == "acdc-memory" for thread in threading.enumerate()):
        time.sleep(0.01)
    feed.put(SHORT[0])
    same([reader.next().frame], alone(SHORT[0]))
    feed.close()
    held.set()
    same([reader.next().frame for _ in range(2)], alone(SHORT[1]))
    reader.end()


def test_invalid_requests_are_refused(exact_engine):
    feed = StoryFeed()
    feed.put(SHORT[0])
    with pytest.raises(ValueError, match=r"^story id 'story-1' waits or is drawn; give each story its own$"):
        feed.put(SHORT[0])
    with pytest.raises(ValueError, match=r"^a feed takes StoryRequest and not list; name the story and its seed$"):
        feed.put(["A cat sat."])
    feed.close()
    with pytest.raises(ValueError, match=r"^story 'late' comes after the feed was closed; open another StoryFeed$"):
        feed.put(SHORT[2])
    assert (len(feed), "story-1" in feed, "late" in feed) == (1, True, False)


def test_the_id_of_a_story_that_has_ended_is_free(exact_engine, alone):
    """However it ended: drawn, whole already, impossible, cancelled."""
    feed, name = StoryFeed(), SHORT[0].id
    many = many_of(exact_engine, SMALL, feed)
    events = many.events()
    feed.put(SHORT[0])
    same([next(events).frame], alone(SHORT[0]))
    feed.put(StoryRequest("other", ("A dog slept.",), 3))
    assert next(events).request.id == "other"
    whole = StoryRequest(name, SHORT[0].sentences, SHORT[0].seed, done=alone(SHORT[0]))
    for request, kind in (
        (whole, AlreadyComplete),
        (StoryRequest(name, (" ".join(["extraordinarily"] * 40),)), StoryFailed),
        (SHORT[0], StoryFailed),
        (SHORT[0], FrameDone),
    ):
        feed.put(request)
        if request is SHORT[0] and kind is StoryFailed:
            many.cancel(name)
        assert isinstance(next(events), kind)
    feed.close()
    assert list(events) == []


def test_a_cancel_that_comes_too_late_spares_the_next_story_of_that_name(exact_engine, alone):
    feed = StoryFeed()
    many = many_of(exact_engine, SMALL, feed)
    reader = Reader(many)
    many.cancel("never seen")
    for _ in range(2):
        feed.put(SHORT[0])
        same([reader.next().frame], alone(SHORT[0]))
        while SHORT[0].id in feed:
            time.sleep(0.01)
        many.cancel(SHORT[0].id)
    feed.close()
    reader.end()


def test_stories_that_wait_drawn_and_in_the_middle_are_cancelled_from_another_thread(exact_engine, alone):
    """One place: the first is drawn, the second waits in the feed and ends at once, the third does not notice."""
    feed = StoryFeed()
    many, first = many_of(exact_engine, ONE, feed), STORIES[0]
    events = many.events()
    for request in (first, SHORT[1], SHORT[2]):
        feed.put(request)
    same([next(events).frame], alone(first)[:1])
    elsewhere(lambda: many.cancel(SHORT[1].id))
    event = next(events)
    assert (event.request.id, type(event.error)) == (SHORT[1].id, Cancelled), "although there is no room for it"
    elsewhere(lambda: many.cancel(first.id))
    assert next(events).request.id == first.id
    same([next(events).frame], alone(SHORT[2]))
    feed.close()
    assert list(events) == []


def elsewhere(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_feed_outlives_a_run(exact_engine, alone):
    feed = StoryFeed()
    for request in SHORT:
        feed.put(request)
    left = many_of(exact_engine, ONE, feed).events()
    same([next(left).frame], alone(SHORT[0]))
    left.close()
    feed.put(SHORT[0])  # its run is over, whatever became of it
    feed.close()
    frames, failed = ended(many_of(exact_engine, ONE, feed))
    assert not failed
    assert list(frames) == [SHORT[1].id, SHORT[2].id, SHORT[0].id]


def test_a_run_that_is_refused_leaves_the_feed_to_its_reader(exact_engine, alone):
    """Its reader knows its stories, and still wakes when one comes."""
    feed = StoryFeed()
    events = many_of(exact_engine, SMALL, feed).events()
    feed.put(SHORT[0])
    same([next(events).frame], alone(SHORT[0]))
    with pytest.raises(ValueError, match=r"^this feed is read by another run; give each run its own StoryFeed$"):
        next(many_of(exact_engine, SMALL, feed).events())
    with pytest.raises(ValueError, match=r"^story id 'story-1' waits or is drawn; give each story its own$"):
        feed.put(SHORT[0])
    late = threading.Timer(0.2, lambda: (feed.put(SHORT[2]), feed.close()))  # the run sleeps by then
    late.start()
    same([event.frame for event in events], alone(SHORT[2]))
    late.join()


def test_a_feed_may_be_closed_by_a_signal_handler():
    """Which interrupts the thread that is in the feed."""
    feed = StoryFeed()
    handlers = [feed.close]
    feed.attach(lambda: handlers.pop()() if handlers else None)  # called within put(), as a handler would be
    feed.put(SHORT[0])
    assert not feed.ended
    assert feed.take() is SHORT[0]
    assert feed.ended

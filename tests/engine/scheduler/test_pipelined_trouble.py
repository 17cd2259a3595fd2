"""Launches that raise, memory that fails, stories that are called off: the others are what they would have been."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
import torch

from acdc.engine.memory import Memory
from acdc.engine.outputs import Frame, Phase
from acdc.engine.pipeline.frame_state import build_frame
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler import loop as pipelined
from acdc.engine.scheduler.events import Cancelled, FrameDone, StoryFailed
from acdc.engine.scheduler.policy import SERIAL, SchedulerConfig
from acdc.engine.scheduler.story_state import StoryState
from tests.helpers.many_stories import PHASES, SMALL, STORIES, TEXTS, Forgetful, ended, many_of, same, spoil

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

FULL = {"context": "full"}
APART = SchedulerConfig(slots=2, stories=5, max_passes_per_launch=5, merge_replace=False)


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
def test_a_story_that_always_breaks_fails_alone(exact_engine, alone, phase):
    """At its second frame; in the middle of a launch with others, or after it."""
    many = many_of(exact_engine, APART, **FULL)
    spoil(
        many, phase, lambda works: any(w.request.id == "story-3" and w.index == 1 for w in works), phase in PHASES[1::2]
    )
    frames, failed = ended(many)
    assert list(failed) == ["story-3"]
    assert str(failed["story-3"]) == f"{phase} broke"
    for request in STORIES:
        same(frames[request.id], alone(request, **FULL)[: 1 if request.id in failed else None])


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
def test_what_breaks_once_is_done_again(exact_engine, alone, phase):
    """The first launch of that phase that each story is in."""
    many, broken = many_of(exact_engine, APART, **FULL), set()

    def once(works: Sequence[StoryState]) -> bool:
        fresh = {work.request.id for work in works} - broken
        broken.update(fresh)
        return bool(fresh)

    spoil(many, phase, once, phase not in PHASES[1::2])
    frames, failed = ended(many)
    assert not failed
    assert broken == {one.id for one in STORIES if phase is not Phase.UPDATE_CONTEXT or len(one.sentences) > 1}
    for request in STORIES:
        same(frames[request.id], alone(request, **FULL))


@pytest.mark.long
@pytest.mark.parametrize("config", [SchedulerConfig(), SERIAL])
@pytest.mark.parametrize(
    ("sentence", "before"), [("Max the fox ran in the snow.", 0), ("He jumped.", 1), ("He fell.", 2)]
)
def test_a_story_without_memory_fails_alone(exact_engine, alone, config, sentence, before):
    """At the frame that needs it, though the memory was asked long before."""
    many = many_of(exact_engine, config, load_memory=lambda: Forgetful(sentence))
    frames, failed = ended(many)
    assert {name: str(error) for name, error in failed.items()} == {"story-3": f"nothing to say of {sentence!r}"}
    for request in STORIES:
        same(frames.get(request.id, []), alone(request)[: before if request.id in failed else None])


def test_a_story_that_cannot_begin_fails_alone(exact_engine, alone):
    """Too long for the model, frames of another tokenizer, no memory to be had."""
    long = StoryRequest("long", (" ".join(["extraordinarily"] * 40),), 1)
    frame = alone(STORIES[2])[0]
    foreign = replace(STORIES[2], done=[replace(frame, codes=(99,) * 9)])
    frames, failed = ended(many_of(exact_engine, SMALL, [long, STORIES[1], foreign]))
    assert {name: type(error) for name, error in failed.items()} == {"long": ValueError, "story-2": ValueError}
    assert "the limit (max_text_tokens) is 400" in str(failed["long"])
    assert "9 codes from 0 to 31" in str(failed["story-2"])
    same(frames["story-1"], alone(STORIES[1]))

    def none() -> Memory:
        raise ValueError("no key")

    assert set(ended(many_of(exact_engine, SMALL, load_memory=none))[1]) == {one.id for one in STORIES}


@pytest.mark.long
@pytest.mark.parametrize("config", [SchedulerConfig(), SMALL, SERIAL])
@pytest.mark.parametrize("moment", [0, 2, 5])
def test_cancelled_stories_end_and_the_others_do_not_notice(exact_engine, alone, config, moment):
    """After that number of events, three of five: 0 is before anything has begun."""
    many, names = many_of(exact_engine, config), ["story-0", "story-3", "story-2"]
    frames: dict[str, list[Frame]] = {}
    failed: dict[str, Exception] = {}
    if moment == 0:
        for name in names:
            many.cancel(name)
    for number, event in enumerate(many.events(), 1):
        if isinstance(event, StoryFailed):
            failed[event.request.id] = event.error
        else:
            frames.setdefault(event.request.id, []).append(event.frame)
        if number == moment:
            for name in names:
                many.cancel(name)
    over = {one.id for one in STORIES if len(frames.get(one.id, [])) == len(one.sentences)}
    assert over | set(failed) == {one.id for one in STORIES}
    assert not over & set(failed)
    assert set(failed) <= set(names)
    assert all(isinstance(error, Cancelled) for error in failed.values())
    assert moment > 0 or set(failed) == set(names)
    for request in STORIES:
        made = frames.get(request.id, [])
        same(made, alone(request)[: len(made)])


def test_all_that_is_in_flight_may_be_cancelled_and_the_rest_is_drawn(exact_engine, alone):
    """One story at a time, cancelled when nothing is under way: its place is the next one's."""
    many = many_of(exact_engine, SERIAL)
    events = many.events()
    first = next(events)
    assert first.request.id == "story-0"
    many.cancel("story-0")
    rest = list(events)
    assert isinstance(rest[0], StoryFailed)
    assert [event.request.id for event in rest if isinstance(event, FrameDone) and event.last] == [
        request.id for request in STORIES[1:]
    ]


@pytest.mark.slow
def test_two_hundred_stories_with_cancellations_and_failures(exact_engine, alone):
    """Every story equals the serial one as far as it came, and only those end early that were to."""
    chance, options = Random(7), {"context": "full"}
    pool = [sentence for texts in TEXTS for sentence in texts]
    stories = [
        StoryRequest(f"n{number}", tuple(chance.choices(pool, k=chance.randint(1, 5))), number) for number in range(200)
    ]
    broken = {request.id: chance.randrange(len(request.sentences)) for request in chance.sample(stories, 12)}
    unwanted = {request.id for request in chance.sample(stories, 20)}
    config = SchedulerConfig(slots=3, stories=12, waiting=6, draw_batch=8, max_passes_per_launch=6, merge_replace=False)
    many, hiccups = many_of(exact_engine, config, iter(stories), **options), 0

    def fails(works: Sequence[StoryState]) -> bool:
        nonlocal hiccups
        hiccup = len(works) > 1 and chance.random() < 0.01
        hiccups += hiccup
        return hiccup or any(broken.get(work.request.id) == work.index for work in works)

    for place, phase in enumerate(PHASES[:5]):
        spoil(many, phase, fails, after=place % 2 == 0)
    frames: dict[str, list[Frame]] = {}
    failed: dict[str, Exception] = {}
    for event in many.events():
        if chance.random() < 0.06 and unwanted:
            many.cancel(unwanted.pop())
        if isinstance(event, StoryFailed):
            failed[event.request.id] = event.error
        else:
            frames.setdefault(event.request.id, []).append(event.frame)
    dropped = {name for name, error in failed.items() if isinstance(error, Cancelled)}
    assert dropped
    assert hiccups
    assert set(failed) - dropped <= set(broken) <= set(failed)
    for request in stories:
        made = frames.get(request.id, [])
        same(made, alone(request, **options)[: len(made)])
        assert request.id in failed or len(made) == len(request.sentences)
        assert request.id not in broken or request.id in dropped or len(made) == broken[request.id]


def test_a_frame_that_cannot_be_shown_is_its_storys_failure(exact_engine, alone, monkeypatch):
    def show(story):
        if story.request.id == "story-3" and story.index == 1:
            raise RuntimeError("no room for the picture")
        return build_frame(story)

    monkeypatch.setattr(pipelined, "build_frame", show)
    frames, failed = ended(many_of(exact_engine, SchedulerConfig()))
    assert {name: str(error) for name, error in failed.items()} == {"story-3": "no room for the picture"}
    for request in STORIES:
        same(frames[request.id], alone(request)[: 1 if request.id in failed else None])


def test_a_joint_failure_is_said(exact_engine, caplog):
    """A fault of batches alone would otherwise only cost time."""
    many = many_of(exact_engine, SchedulerConfig(slots=1))
    spoil(many, Phase.VQ_DECODE, lambda works: len(works) > 1, False)
    _, failed = ended(many)
    assert not failed
    assert "decode of 4 stories failed together and is done again for each alone: decode broke" in caplog.text


@pytest.mark.parametrize("phase", [Phase.PREFILL, Phase.SAMPLE, Phase.SDEDIT])
def test_what_does_not_fit_is_halved_once_and_for_all(exact_engine, alone, caplog, phase):
    many, sizes = many_of(exact_engine, SchedulerConfig(slots=1)), []

    def too_many(works: Sequence[StoryState]) -> bool:
        sizes.append(len(works))
        return len(works) > 2

    spoil(many, phase, too_many, False, torch.OutOfMemoryError)
    frames, failed = ended(many)
    assert not failed
    assert sizes.count(4) == 1
    assert max(sizes[sizes.index(4) + 1 :]) == 2, "not one by one, and never four again"
    assert f"{phase} of 4 stories ran out of memory and is done again; from now on it takes at most 2" in caplog.text
    for request in STORIES:
        same(frames[request.id], alone(request))


def test_a_story_that_does_not_fit_by_itself_fails(exact_engine, alone):
    many = many_of(exact_engine, SchedulerConfig(slots=1))
    spoil(many, Phase.SAMPLE, lambda works: any(w.request.id == "story-3" for w in works), False, MemoryError)
    frames, failed = ended(many)
    assert list(failed) == ["story-3"]
    for request in STORIES:
        same(frames.get(request.id, []), alone(request)[: 0 if request.id in failed else None])


def test_the_end_does_not_wait_for_the_memory_of_stories_that_are_gone(exact_engine):
    held = threading.Event()

    class Held(Forgetful):
        def refine(self, prompts):
            if len(prompts) > 1:
                held.wait(60)
            return super().refine(prompts)

    many, seen = many_of(exact_engine, SchedulerConfig(), STORIES[:1], load_memory=Held), []
    began = time.perf_counter()
    for event in many.events():
        seen.append(type(event))
        many.cancel("story-0")
    assert seen == [FrameDone, StoryFailed]
    assert time.perf_counter() - began < 30
    held.set()
    while any(thread.name == "acdc-memory" for thread in threading.enumerate()):
        time.sleep(0.01)

"""Concurrent stories are the stories of the serial loop, and are read and shown one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from acdc.engine.engine import Engine
from acdc.engine.examples import EXAMPLES
from acdc.engine.outputs import Phase, StoryResult
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import FrameDone, StoryFailed
from acdc.engine.scheduler.policy import SERIAL, SchedulerConfig
from acdc.engine.scheduler.run import Many
from tests.helpers.many_stories import SMALL, STORIES, Forgetful, ended, many_of, same
from tests.helpers.margin import check_same_story

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

CASES = [
    ({}, SchedulerConfig()),
    ({"context": "full"}, SchedulerConfig()),
    ({}, replace(SMALL, max_passes_per_launch=3)),
    ({"context": "full", "correct_every": 2}, replace(SMALL, max_passes_per_launch=5, merge_replace=False)),
    (
        {"context": "full", "arm_guidance_scale": 2.0},
        SchedulerConfig(slots=3, stories=5, max_passes_per_launch=7, split_across_slots=False),
    ),
    ({"context": "full", "decoding": "parallel"}, SchedulerConfig(slots=3, draw_batch=8, max_passes_per_launch=2)),
    ({"feed_back": False}, replace(SMALL, prompt_lookahead=0)),
    ({"correct_first": 1, "context": "full"}, replace(SMALL, calls=1)),
    ({"correction": False}, SchedulerConfig(stories=2, waiting=0)),
    ({"top_k": 5, "temperature": 0.7, "sample_posterior": True}, replace(SMALL, split_across_slots=False, slots=1)),
    ({"context": "full", "memory": "none"}, SERIAL),
    ({"sampler": "lcm"}, SMALL),
]
IDS = [" ".join(f"{k}={v}" for k, v in options.items()) or "defaults" for options, _ in CASES]


@pytest.mark.parametrize(("options", "config"), CASES, ids=IDS)
def test_side_by_side_equals_one_after_another(exact_engine, alone, options, config):
    many = many_of(exact_engine, config, **options)
    results = {result.seed: result for result in many}
    assert len(results) == len(STORIES)
    for request in STORIES:
        result = results[request.seed]
        assert isinstance(result, StoryResult)
        assert result.sentences == request.sentences
        same(result.frames, alone(request, **options))
    check_timeline(many, config)


def check_timeline(many: Many, config: SchedulerConfig) -> None:
    """No slot ran two launches at a time, no story was in two, and memory was as wide as it may be."""
    launches = [ran for ran in many.timeline if ran.slot is not None]
    assert {ran.slot for ran in launches} <= set(range(config.slots))
    for slot in range(config.slots):
        in_order([(ran.start, ran.end) for ran in launches if ran.slot == slot])
    for request in STORIES:
        in_order([(ran.start, ran.end) for ran in launches if request.id in ran.stories])
    calls = [ran for ran in many.timeline if ran.slot is None]
    assert {ran.phase for ran in calls} == {Phase.MEMORY}
    assert sorted(name for ran in calls for name in ran.stories) == sorted(
        request.id for request in STORIES for _ in request.sentences
    ), "one call a sentence"
    assert all(
        sum(a.start < b.end and b.start < a.end for b in calls) <= config.calls for a in calls if a.end > a.start
    )
    for ran in launches:
        limit = (
            config.draw_batch
            if ran.phase in (Phase.PREFILL, Phase.SAMPLE, Phase.UPDATE_CONTEXT)
            else config.correct_batch
        )
        assert len(ran.stories) <= limit
    replaced = any(ran.phase is Phase.UPDATE_CONTEXT for ran in launches)
    assert not (replaced and config.merge_replace)


def in_order(times: Sequence[tuple[float, float]]) -> None:
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(times)))


@pytest.mark.long
@pytest.mark.parametrize(
    "options", [{}, {"context": "full", "correct_every": 2, "sampler": "tcd"}], ids=["window", "full"]
)
def test_resumed_stories_go_on_as_if_undisturbed(exact_engine, alone, options):
    whole = {request.id: alone(request, **options) for request in STORIES}
    kept = {request.id: place % (len(request.sentences) + 1) for place, request in enumerate(STORIES, 1)}
    resumed = [replace(request, done=whole[request.id][: kept[request.id]]) for request in STORIES]
    assert any(len(one.done) == len(one.sentences) for one in resumed), "one is finished already: nothing is left of it"
    frames, failed = ended(many_of(exact_engine, SMALL, resumed, **options))
    assert not failed
    for request in STORIES:
        same(frames.get(request.id, []), whole[request.id][kept[request.id] :])
    for result in many_of(exact_engine, SMALL, resumed[2:], **options):  # results have the old frames too
        (request,) = (one for one in STORIES if one.seed == result.seed)
        same(result.frames, whole[request.id])


def test_the_memory_takes_over_what_was_rewritten_before(exact_engine, alone):
    """Stories that go on; others have nothing to take over."""
    taken = []

    class Restored(Forgetful):
        def restore(self, sentences, rewrites):
            taken.append((sentences, list(rewrites)))

    first, rest = alone(STORIES[3])[0], [frame.refined_prompt for frame in alone(STORIES[3])[1:]]
    begun = replace(STORIES[3], done=[replace(first, later_prompts=tuple(rest))])
    frames, failed = ended(many_of(exact_engine, SMALL, [STORIES[1], begun], load_memory=Restored))
    assert not failed
    assert taken == [(begun.sentences, [first.refined_prompt, *rest])]
    assert [frame.later_prompts for frame in frames[begun.id]] == [(), ()], "by rules, sentence by sentence"


def test_frames_say_how_long_they_took_and_waited(exact_engine):
    """Memory takes 50 ms: without lookahead every frame waits for it; spans count from the story's beginning."""
    seconds, config = 0.05, replace(SMALL, prompt_lookahead=0)
    events = list(many_of(exact_engine, config, STORIES[:1], load_memory=lambda: Forgetful(seconds=seconds)).events())
    assert [type(event) for event in events] == [FrameDone] * 3
    ends = 0.0
    for event in events:
        assert event.waited_ms >= 0.9e3 * seconds
        assert event.latency_ms >= event.waited_ms
        starts = [span.start_ms for span in event.frame.spans if span.phase is not Phase.MEMORY]
        assert starts == sorted(starts)
        assert starts[0] >= ends
        ends = starts[-1]
    assert [event.last for event in events] == [False, False, True]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_reader_that_stops_early_leaves_no_thread(exact_engine, count):
    """The fixture looks; also where the consumer raises, or never begins."""
    many = many_of(exact_engine)
    events = many.events()
    for _ in range(count):
        next(events)
    events.close()
    assert list(events) == []


def test_an_error_of_the_reader_stops_the_run(exact_engine):
    def stories() -> Iterator[StoryRequest]:
        yield STORIES[1]
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        list(many_of(exact_engine, SMALL, stories()))


def test_an_id_that_is_given_twice_is_refused(exact_engine):
    with pytest.raises(ValueError, match="story id 'story-1' is given twice"):
        list(many_of(exact_engine, SMALL, [STORIES[1], STORIES[2], STORIES[1]]))


def test_stories_are_read_when_there_is_room(exact_engine):
    config, read, over = SchedulerConfig(slots=2, stories=2, waiting=1), 0, 0

    def stories() -> Iterator[StoryRequest]:
        nonlocal read
        for request in STORIES * 3:
            read += 1
            yield replace(request, id=f"{request.id}-{read}")

    many = many_of(exact_engine, config, stories(), correction=False)
    assert read == 0, "nothing before it is asked for"
    for event in many.events():
        assert read <= over + config.stories + config.waiting
        over += isinstance(event, StoryFailed) or event.last
    assert read == over == 15


def test_nothing_runs_ahead_of_the_reader(exact_engine):
    """While a frame is looked at, slots finish what they have; that is all."""
    config = SchedulerConfig(slots=2, stories=4, calls=2)
    many = many_of(exact_engine, config)
    events = many.events()
    next(events)
    expected = len(many.timeline)
    time.sleep(0.5)
    assert len(many.timeline) == expected
    assert many.run.executor.done.qsize() <= many.run.executor.pending <= config.slots + config.calls
    assert len(list(events)) == sum(len(request.sentences) for request in STORIES) - 1


def test_a_run_without_stories_is_over_at_once(exact_engine):
    assert list(many_of(exact_engine, stories=[])) == []


@pytest.mark.slow
def test_float32_agrees_by_the_margin_rule():
    """The embedded bundle, six stories of the paper side by side."""
    engine, options = Engine.from_pretrained("storyworld"), {"num_inference_steps": 10}
    stories = [StoryRequest(name, tuple(texts), seed) for seed, (name, texts) in enumerate(list(EXAMPLES.items())[:6])]
    flips = 0
    for config in (SchedulerConfig(), SchedulerConfig(slots=3, max_passes_per_launch=20, split_across_slots=False)):
        results = {result.seed: result for result in engine.generate_many(stories, pipelining=config, **options)}
        for request in stories:
            one, other = engine.generate(request.sentences, seed=request.seed, **options), results[request.seed]
            assert isinstance(other, StoryResult)
            flips += check_same_story(engine, one, other)
    assert flips <= 2, f"{flips} near ties in 12 stories is more than rounding explains"

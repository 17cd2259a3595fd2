"""Before and after a run of many stories: requests, results, slots and their plans."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from acdc.compile.cache import PlanCache
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.outputs import Phase, StoryResult
from acdc.engine.request import MAX_ID, StoryRequest
from acdc.engine.scheduler.events import Cancelled, FrameDone, StoryFailed
from acdc.engine.scheduler.policy import SchedulerConfig, for_device
from acdc.engine.scheduler.run import SlotModels, as_requests, frames_of

CPU = torch.device("cpu")
STORIES = [["A cat sat.", "It ran."], ["A dog slept."], ["An owl flew.", "It sang.", "It slept."]]
QUICK = {"num_inference_steps": 4}


def test_sentences_alone_get_numbers_and_seeds():
    given = StoryRequest("mine", ("A cat sat.",), 5)
    requests = list(as_requests([["A cat sat."], given, ["  A dog   ran. "]], seed=40))
    assert [(one.id, one.seed, one.sentences) for one in requests] == [
        ("000001", 40, ("A cat sat.",)),
        ("mine", 5, ("A cat sat.",)),
        ("000003", 42, ("A dog ran.",)),
    ]


def test_an_id_belongs_to_one_story():
    with pytest.raises(ValueError, match=r"^story id '000002' is given twice; give each story its own$"):
        list(as_requests([StoryRequest("000002", ("A cat sat.",)), ["A dog ran."]], seed=0))


@pytest.mark.parametrize(
    "name", ["a", "0", "story-1", "a_b.c", "x" * MAX_ID, "été", "कहानी", "เรื่อง", "می\u200cروم", "狐"]
)
def test_names_that_can_be_folders(name):
    assert StoryRequest(name, ("A cat sat.",)).id == name


def test_a_name_is_one_however_it_was_typed():
    assert StoryRequest("e\u0301te\u0301", ("A cat sat.",)).id == "été"
    with pytest.raises(ValueError, match="cannot be a folder's name"):
        StoryRequest("\u0301a", ("A cat sat.",))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "_a", ".hidden", "a/b", "a\\b", "a b", "a\n", "x" * (MAX_ID + 1)]
)
def test_names_that_cannot(name):
    with pytest.raises(ValueError, match="cannot be a folder's name"):
        StoryRequest(name, ("A cat sat.",))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed):
    with pytest.raises(ValueError, match=rf"seed {seed} is out of range"):
        StoryRequest("a", ("A cat sat.",), seed)


def test_what_is_done_is_part_of_the_story(tiny_engine):
    frames = tiny_engine.generate(STORIES[0], **QUICK).frames
    with pytest.raises(ValueError, match="story 'a' has 2 finished frames of 1 sentences"):
        StoryRequest("a", ("A cat sat.",), done=frames)
    with pytest.raises(ValueError, match="sentence 2 is empty"):
        StoryRequest("a", ("A cat sat.", " "))


def test_results_are_those_of_a_story(tiny_engine):
    """With settings, versions and start, as ``generate`` gives them; the old frames in front."""
    options = make_options(num_inference_steps=4)
    alone = [tiny_engine.generate(story, seed=7 + place, options=options) for place, story in enumerate(STORIES)]
    requests = [StoryRequest(f"n{place}", one.sentences, one.seed) for place, one in enumerate(alone)]
    requests[2] = replace(requests[2], done=alone[2].frames[:1])
    results = sorted(tiny_engine.generate_many(requests, options=options), key=lambda result: result.seed)
    for one, other in zip(alone, results, strict=True):
        assert isinstance(other, StoryResult)
        for name in ("sentences", "seed", "settings", "versions", "start", "refined_prompts"):
            assert getattr(one, name) == getattr(other, name)
        assert [frame.index for frame in other.frames] == list(range(len(one.sentences)))
    assert results[2].frames[0] is alone[2].frames[0]


def test_a_story_that_is_whole_already_is_a_result_too(tiny_engine):
    alone = tiny_engine.generate(STORIES[0], **QUICK)
    whole = StoryRequest("whole", alone.sentences, done=alone.frames)
    other = StoryRequest("other", alone.sentences)
    results = list(tiny_engine.generate_many([whole, other], **QUICK))
    assert [len(result.frames) for result in results] == [len(alone.frames)] * 2
    assert results[0].frames[0] is alone.frames[0]


def test_events_are_all_frames_and_phases_are_timed(tiny_engine):
    many = tiny_engine.generate_many(STORIES, seed=3, **QUICK)
    frames = [event.frame for event in frames_of(many.events())]
    assert len(frames) == 6
    for frame in frames:
        ran = {phase for phase, spent in frame.phases_ms.items() if spent > 0}
        assert ran == {phase.value for phase in Phase if phase is not Phase.UPDATE_CONTEXT}
    assert {name for ran in many.timeline for name in ran.stories} == {"000001", "000002", "000003"}
    assert all(0 <= ran.start <= ran.end for ran in many.timeline)


def test_the_first_failure_is_raised_where_frames_alone_are_asked_for(tiny_engine):
    request = StoryRequest("a", ("A cat sat.",))
    made = FrameDone(request, tiny_engine.generate(STORIES[1], **QUICK).frames[0], 1.0, 0.0)
    frames = frames_of([made, StoryFailed(request, Cancelled("enough")), made])
    assert next(frames) is made
    with pytest.raises(Cancelled, match="enough"):
        next(frames)


def test_options_that_cannot_be_met_are_refused_at_once(tiny_engine):
    with pytest.raises(ValueError, match="unknown option 'colour'"):
        tiny_engine.generate_many(STORIES, colour="blue")
    with pytest.raises(ValueError, match="layout 'carry-over' is for Show-o"):
        tiny_engine.generate_many(STORIES, layout="carry-over")
    with pytest.raises(ValueError, match="give options or keywords, not both"):
        tiny_engine.generate_many(STORIES, options=StoryOptions(), strength=0.4)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("acdc-")]


def test_a_device_has_its_own_way_unless_one_is_given():
    mine = SchedulerConfig(slots=3)
    assert for_device(mine, CPU) is for_device(mine, torch.device("cuda")) is mine
    assert for_device(None, CPU) == SchedulerConfig()
    assert not for_device(None, torch.device("cuda")).split_across_slots, "one reading of the weights for all"


def test_slots_share_weights_and_divide_threads_and_plans_are_kept(tiny_engine):
    loaded, before = tiny_engine.models, torch.get_num_threads()
    copies = SlotModels(loaded, tiny_engine.copies.backends, PlanCache())
    try:
        torch.set_num_threads(4)
        first, again, three = copies.slots(2, CPU), copies.slots(2, CPU), copies.slots(3, CPU)
    finally:
        torch.set_num_threads(before)
    assert [slot.threads for slot, _ in first] == [2, 2]
    assert [slot.threads for slot, _ in three] == [1, 1, 1]
    assert first[0][1] is not first[1][1]
    assert [models for _, models in first] == [models for _, models in again]
    for _, models in first:
        assert models.arm.blocks is loaded.arm.blocks


@pytest.mark.parametrize(
    ("stories", "message"),
    [
        ([STORIES[0], ["A cat.", " "], STORIES[1]], "story 2: sentence 2 is empty"),
        (["A cat sat.", "It ran."], "story 1: sentences is one string"),
        ([STORIES[0], StoryRequest("000001", ("A cat sat.",))], "story id '000001' is given twice"),
    ],
)
def test_an_impossible_story_ends_the_run_after_those_before_it(tiny_engine, stories, message):
    finished, run = [], tiny_engine.generate_many(stories, **QUICK)
    with pytest.raises(ValueError, match=message):
        finished.extend(run)
    assert [story.id for story in finished] == ["000001"] * (stories[0] is STORIES[0])


def test_a_run_is_read_once(tiny_engine):
    run = tiny_engine.generate_many(STORIES[:1], **QUICK)
    (story,) = run
    assert story.id == "000001"
    with pytest.raises(ValueError, match=r"read already; call generate_many\(\) again"):
        list(run)


@pytest.mark.parametrize(("name", "value"), [("seed", 1.5), ("seed", "7"), ("id", 5)])
def test_what_a_request_is_made_of(name, value):
    with pytest.raises(ValueError, match=rf"^{name} {value!r} of a story is no (int|str)$"):
        StoryRequest(**{"id": "a", "sentences": ("A cat sat.",), name: value})


def test_a_memory_that_cannot_be_is_refused_before_anything_is_drawn(tiny_engine, monkeypatch):
    for name in ("ACDC_CHAT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="key"):
        tiny_engine.generate_many(
            STORIES, memory="chat", memory_model="m", memory_url="https://example.com/v1", **QUICK
        )

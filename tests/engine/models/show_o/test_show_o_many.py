"""Show-o's concurrent stories draw what each draws alone, in float64, code for code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acdc.engine.engine import Engine
from acdc.engine.outputs import Phase, StoryResult
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import StoryFailed
from acdc.engine.scheduler.policy import SERIAL, SchedulerConfig
from tests.helpers.small_show_o import small_engine

LINES = ["Lu, a very small cat, lived far away.", "She hid.", "He ran to the lake at night.", "Lu slept."]
STORIES = [StoryRequest(f"story-{k}", tuple(LINES[k % 2 :][: 1 + k % 3]), seed=k) for k in range(5)]
QUICK = {"num_inference_steps": 2, "arm_steps": 4}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"arm_guidance_scale": 2.75, "correct_every": 2},
    {"layout": "carry-over", "carry_over": 0.3},
    {"layout": "carry-over", "arm_guidance_scale": 2.75, "correct_first": 1},
    {"layout": "block-causal"},
    {"layout": "block-causal", "arm_guidance_scale": 2.75},
    {"layout": "block-causal", "context": "window", "arm_guidance_scale": 2.75},
    {"layout": "block-causal", "feed_back": False},
    {"correction": False, "temperature": 0.5},
]
HOWS = [
    SchedulerConfig(),
    SchedulerConfig(slots=3, stories=5, max_passes_per_launch=2),
    SchedulerConfig(slots=2, max_passes_per_launch=1, split_across_slots=False, merge_replace=False),
]


@pytest.fixture(scope="module")
def show_o_engine(exact_engine: Engine) -> Engine:
    return small_engine(exact_engine)


def finished(
    engine: Engine, config: SchedulerConfig, stories: list[StoryRequest], **chosen: Any
) -> dict[int, StoryResult]:
    found = {}
    for result in engine.generate_many(stories, pipelining=config, **QUICK, **chosen):
        assert isinstance(result, StoryResult), result
        found[result.seed] = result
    return found


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=lambda number: str(VARIANTS[number]))
def test_side_by_side_equals_alone(show_o_engine: Engine, number: int) -> None:
    """Stories of one to three frames, at different ones at a time; launches of several, whole draws and parts."""
    chosen = VARIANTS[number]
    alone = [show_o_engine.generate(story.sentences, seed=story.seed, **QUICK, **chosen) for story in STORIES]
    for config in (HOWS[number % 3], HOWS[(number + 1) % 3]):
        many = finished(show_o_engine, config, STORIES, **chosen)
        for one in alone:
            for mine, wanted in zip(many[one.seed].frames, one.frames, strict=True):
                assert mine.draft_codes == wanted.draft_codes, config
                assert mine.codes == wanted.codes, config
                assert np.array_equal(mine.image, wanted.image), config


@pytest.mark.long
@pytest.mark.parametrize("chosen", VARIANTS[3:6], ids=str)
def test_interrupted_stories_go_on_as_if_they_had_not_been(show_o_engine: Engine, chosen: dict[str, Any]) -> None:
    whole = finished(show_o_engine, SERIAL, STORIES, **chosen)
    again = [
        StoryRequest(story.id, story.sentences, story.seed, tuple(whole[story.seed].frames[: story.seed % 3]))
        for story in STORIES
        if len(story.sentences) > story.seed % 3
    ]
    for seed, result in finished(show_o_engine, SchedulerConfig(stories=5), again, **chosen).items():
        assert [frame.codes for frame in result.frames] == [frame.codes for frame in whole[seed].frames]


def test_a_story_beyond_the_models_positions_fails_alone(show_o_engine: Engine) -> None:
    """400 positions hold 7 frames of 18 with captions of 39; its neighbours of the same launch are drawn."""
    long = StoryRequest("long", tuple(LINES[0] for _ in range(8)), seed=1)
    chosen = {"layout": "block-causal", "correction": False}
    found = list(show_o_engine.generate_many([STORIES[0], long, STORIES[2]], **QUICK, **chosen))
    (failed,) = [result for result in found if isinstance(result, StoryFailed)]
    assert failed.request.id == "long"
    assert "layout 'block-causal' of 8 frames needs" in str(failed.error)
    assert len(found) == 3


def test_neighbours_that_fit_one_by_one_fit_together(show_o_engine: Engine) -> None:
    """Nine frames of short captions next to one of the longest: a row need not hold nine of the longest."""
    short, wordy = StoryRequest("short", ("a",) * 9, seed=1), StoryRequest("wordy", (LINES[0],), seed=2)
    run = show_o_engine.generate_many([short, wordy], **QUICK, layout="block-causal", correction=False)
    assert all(isinstance(result, StoryResult) for result in run)
    assert max(len(ran.stories) for ran in run.timeline if ran.phase is Phase.PREFILL) == 1

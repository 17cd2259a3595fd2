"""Draw a block of stories as a condition says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random

import torch

from ...engine.engine import Engine
from ...engine.options import StoryOptions, make_options
from ...engine.outputs import StoryResult
from ...engine.request import StoryRequest
from ...engine.scheduler.events import StoryFailed
from .blocks import Block
from .conditions import STEPS, Condition
from .killed import draw_killed


def engine_for(condition: Condition, bundle: str) -> Engine:
    """The engine of a condition; its plans are compiled for the condition's threads."""
    torch.set_num_threads(condition.threads)
    return Engine.from_pretrained(bundle, backend=condition.backend)


def options_of(condition: Condition) -> StoryOptions:
    """Options of a condition's stories."""
    if condition.corrected:
        return make_options(decoding=condition.decoding, num_inference_steps=STEPS)
    return make_options(decoding=condition.decoding, correction=False)


def draw_block(
    engine: Engine, condition: Condition, stories: Sequence[StoryRequest], bundle: str, turn: int = 0
) -> Block:
    """All of ``stories``, in their own order whatever order they were drawn in, which ``turn`` decides; raises a failed
    story's error."""
    asked, kills = list(stories), 0
    if condition.orders:
        Random(turn).shuffle(asked)
    torch.set_num_threads(condition.threads)
    began = time.perf_counter()
    if condition.way == "killed":
        found, kills = draw_killed(condition, asked, bundle)
    elif condition.way == "overlapped":
        found = overlapped(engine, condition, asked)
    else:
        found = side_by_side(engine, condition, asked)
    return Block.of([found[story.id] for story in stories], time.perf_counter() - began, kills)


def side_by_side(engine: Engine, condition: Condition, stories: Sequence[StoryRequest]) -> dict[str, StoryResult]:
    """Stories by id, ``condition.batch`` in one call."""
    found: dict[str, StoryResult] = {}
    for first in range(0, len(stories), condition.batch):
        part = stories[first : first + condition.batch]
        texts, seeds = [story.sentences for story in part], [story.seed for story in part]
        drawn = engine.generate_batch(texts, seeds=seeds, options=options_of(condition))
        found |= {story.id: result for story, result in zip(part, drawn, strict=True)}
    return found


def overlapped(engine: Engine, condition: Condition, stories: Sequence[StoryRequest]) -> dict[str, StoryResult]:
    """Stories by id, many at a time by the scheduler."""
    found: dict[str, StoryResult] = {}
    for story in engine.generate_many(stories, options=options_of(condition)):
        if isinstance(story, StoryFailed):
            raise story.error
        assert story.id is not None, "stories of generate_many have ids"
        found[story.id] = story
    return found

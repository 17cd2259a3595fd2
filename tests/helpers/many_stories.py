"""Stories for the tests of many at once: the serial loop's answers, and ways to break a launch or a memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from acdc.engine.engine import Engine
from acdc.engine.memory import Memory, MemoryFailure, load_memory
from acdc.engine.outputs import Frame, Phase
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import FrameDone, StoryFailed
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.scheduler.run import Many
from acdc.engine.scheduler.story_state import StoryState

QUICK = {"num_inference_steps": 4}
TEXTS = [
    ["Lu, a very small cat, lived in a forest far away.", "She hid.", "Lu ran to the lake at night."],
    ["Benny the beagle sat in a garden."],
    ["A bear slept.", "It woke."],
    ["Max the fox ran in the snow.", "He jumped.", "He fell."],
    ["An owl flew over a very long and very dark wood.", "It called."],
]
STORIES = [StoryRequest(f"story-{number}", tuple(texts), 20 + number) for number, texts in enumerate(TEXTS)]
SMALL = SchedulerConfig(slots=2, stories=3, waiting=1, draw_batch=2, correct_batch=2)
PHASES = [Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE, Phase.SDEDIT, Phase.VQ_ENCODE, Phase.UPDATE_CONTEXT]


class Alone:
    """The serial loop's stories, each made once."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.made = engine, {}

    def __call__(self, request: StoryRequest, **options) -> list[Frame]:
        key = request.id, tuple(sorted(options.items()))
        if key not in self.made:
            self.made[key] = self.engine.generate(request.sentences, seed=request.seed, **QUICK, **options).frames
        return self.made[key]


def same(mine: Sequence[Frame], theirs: Sequence[Frame]) -> None:
    """Equal to the last code and pixel; times aside."""
    assert [frame.index for frame in mine] == [frame.index for frame in theirs]
    for one, other in zip(mine, theirs, strict=True):
        for name in ("sentence", "refined_prompt", "cut_prompt", "corrected", "draft_codes", "codes", "memory_note"):
            assert getattr(one, name) == getattr(other, name), name
        assert np.array_equal(one.draft, other.draft)
        assert np.array_equal(one.image, other.image)


def ended(many: Many) -> tuple[dict[str, list[Frame]], dict[str, Exception]]:
    """By story: frames of those that came to their end, and why others did not."""
    frames: dict[str, list[Frame]] = {}
    failed: dict[str, Exception] = {}
    for event in many.events():
        if isinstance(event, StoryFailed):
            assert event.request.id not in failed
            failed[event.request.id] = event.error
        elif isinstance(event, FrameDone):
            assert event.request.id not in failed, "a frame of a story that has failed"
            frames.setdefault(event.request.id, []).append(event.frame)
    return frames, failed


def many_of(engine: Engine, config: SchedulerConfig | None = None, stories=STORIES, **options) -> Many:
    return engine.generate_many(stories, pipelining=config, **QUICK, **options)


def spoil(
    many: Many,
    phase: Phase,
    fails: Callable[[Sequence[StoryState]], bool],
    after: bool,
    error: type[Exception] = RuntimeError,
) -> None:
    """Launches of a phase raise ``error`` where ``fails`` says so, before or ``after`` they have done their work."""

    def spoilt(
        verb: Callable[[Sequence[StoryState]], list[StoryState]],
    ) -> Callable[[Sequence[StoryState]], list[StoryState]]:
        def run(works: Sequence[StoryState]) -> list[StoryState]:
            broken = fails(works)
            result = verb(works) if after or not broken else []
            if broken:
                raise error(f"{phase} broke")
            return result

        return run

    for phases in many.run.phases:
        phases.run_phase[phase] = spoilt(phases.run_phase[phase])


class Forgetful(Memory):
    """By rules, but it has no rewrite for some sentences, and takes its time."""

    name = "forgetful"

    def __init__(self, fails: str = "", seconds: float = 0.0) -> None:
        self.fails, self.seconds, self.rules = fails, seconds, load_memory("rules")

    def refine(self, prompts: Sequence[str]) -> str:
        time.sleep(self.seconds)
        if prompts[-1] == self.fails:
            raise MemoryFailure(f"nothing to say of {self.fails!r}")
        return self.rules.refine(prompts)

"""The rounds of a point: variants alternate A B B A, after a warm-up in which every shape's plan is compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...engine.examples import EXAMPLES
from ...engine.outputs import Ran
from ...engine.request import StoryRequest
from .energy import Meter
from .figures import RunSample
from .run import run_once
from .sweeps import Point
from .variants import Variant

if TYPE_CHECKING:
    from ...engine.engine import Engine

WARM_FRAMES = 2  # the first has no frame before it; the later ones are alike
Say = Callable[[str], None]


@dataclass
class Runs:
    """A point's samples by variant, and the timeline of each variant's last round."""

    point: Point
    samples: dict[str, list[RunSample]] = field(default_factory=dict)
    timelines: dict[str, Sequence[Ran]] = field(default_factory=dict)


def make_stories(count: int, frames: int, seed: int) -> list[StoryRequest]:
    """The paper's stories one after the other, ``frames`` sentences of each at most; the second time around their
    seeds are others. Seeds are ``seed``, ``seed`` + 1, ..."""
    names, made = list(EXAMPLES), []
    for number in range(count):
        again, place = divmod(number, len(names))
        name = names[place] + (f"-{again + 1}" if again else "")
        made.append(StoryRequest(name, EXAMPLES[names[place]][:frames], seed + number))
    return made


def measure(
    engine: Engine, point: Point, stories: Sequence[StoryRequest], rounds: int, meter: Meter | None, say: Say
) -> Runs:
    """``rounds`` rounds of every variant; round 2 runs them the other way round, and so on."""
    runs = Runs(point, {variant.name: [] for variant in point.variants})
    say(f"{point.name}: warm-up")
    for variant in point.variants:
        run_once(engine, point, variant, warm_stories(engine, point, stories), 0, None)
    for number, variant in order(point.variants, rounds):
        say(f"{point.name}: round {number + 1} of {rounds}, {variant.title}")
        sample, timeline = run_once(engine, point, variant, stories, number, meter)
        runs.samples[variant.name].append(sample)
        runs.timelines[variant.name] = timeline
    return runs


def order(variants: Sequence[Variant], rounds: int) -> list[tuple[int, Variant]]:
    """A B C, C B A, A B C, ... with the number of the round."""
    return [(k, variant) for k in range(rounds) for variant in (variants[::-1] if k % 2 else variants)]


def warm_stories(engine: Engine, point: Point, stories: Sequence[StoryRequest]) -> list[StoryRequest]:
    """As many as are in flight, and two frames of each; where plans are compiled, all of them whole: who meets whom in
    a launch decides which shapes there are."""
    if engine.backend != "eager":
        return list(stories)
    return [replace(story, sentences=story.sentences[:WARM_FRAMES]) for story in stories[: point.concurrency]]

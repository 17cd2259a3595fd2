"""Engines for the tests of a fleet, in real processes and without networks: they draw slowly, die and hang for real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from acdc.engine.fleet.recipe import Description
from acdc.engine.outputs import Frame, Phase, Ran
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import AlreadyComplete, Event, FrameDone, StoryFailed
from acdc.engine.scheduler.story_feed import StoryFeed
from tests.helpers.fake_frame import in_turns, next_frame

SETTINGS = {"bundle": "fake", "threads": 1}
LOG = "drawn.txt"


@dataclass(frozen=True)
class Trouble:
    """Before it draws frame ``index`` (from 0) of story ``story``, an engine does ``what``: it kills itself, is
    stopped, sleeps for ever or raises. For the first ``times`` engines that come to that frame."""

    story: str
    index: int
    what: str
    times: int = 1


@dataclass(frozen=True)
class FakeRecipe:
    """An engine that takes ``stories`` at a time and ``seconds`` a frame; each frame that it begins is a line of
    ``folder``/drawn.txt. ``broken`` is what its loading raises."""

    folder: str
    stories: int = 3
    seconds: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    broken: Exception | None = None

    def __call__(self) -> FakeLoaded:
        if self.broken is not None:
            raise self.broken
        return FakeLoaded(self)


class FakeLoaded:
    """A loaded engine that draws nothing."""

    def __init__(self, recipe: FakeRecipe) -> None:
        self.recipe = recipe
        self.description = Description(SETTINGS, {"acdc": "0"}, {"timestep": 501}, {}, False, recipe.stories)

    def run(self, feed: StoryFeed) -> FakeFeedRun:
        return FakeFeedRun(self.recipe, feed)


class FakeFeedRun:
    """Stories of a feed in turns, frame by frame."""

    def __init__(self, recipe: FakeRecipe, feed: StoryFeed) -> None:
        self.recipe, self.feed, self.timeline = recipe, feed, list[Ran]()
        self.cancelled: set[str] = set()

    def cancel(self, name: str) -> None:
        self.cancelled.add(name)

    def events(self) -> Generator[Event, None, None]:
        while not self.feed.ended:
            for event in in_turns(self.feed.take, self.recipe.stories, self._step):
                yield event
                if not isinstance(event, FrameDone) or event.last:
                    self.feed.release(event.request.id)
            time.sleep(0.005)

    def _step(self, request: StoryRequest, frames: list[Frame]) -> Event:
        if len(frames) == len(request.sentences):
            return AlreadyComplete(request)
        if request.id in self.cancelled:
            return StoryFailed(request, RuntimeError("cancelled"))
        note(self.recipe.folder, f"{request.id} {len(frames)} {os.getpid()}")
        for trouble in self.recipe.troubles:
            if (trouble.story, trouble.index) == (request.id, len(frames)) and trouble.times > self._count(trouble):
                note(self.recipe.folder, str(trouble), "troubles.txt")
                suffer(trouble.what)
        time.sleep(self.recipe.seconds)
        frame = next_frame(request, frames)
        self.timeline.append(Ran(0, Phase.SAMPLE, (request.id,), 0.0, time.monotonic()))
        return FrameDone(request, frame, 10.0, 0.0)

    def _count(self, trouble: Trouble) -> int:
        return lines(self.recipe.folder, "troubles.txt").count(str(trouble))


def suffer(what: str) -> None:
    """Do it."""
    match what:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(1000)
        case "raise":
            raise RuntimeError("the engine broke")


def note(folder: str, line: str, name: str = LOG) -> None:
    """Append a line; lines of several processes do not mix."""
    with open(Path(folder) / name, "a") as file:
        file.write(f"{line}\n")


def lines(folder: str | Path, name: str = LOG) -> list[str]:
    """The lines so far."""
    path = Path(folder) / name
    return path.read_text().splitlines() if path.exists() else []


def drawn(folder: str | Path) -> list[tuple[str, int]]:
    """Story and frame of everything that any engine has begun to draw."""
    return [(story, int(index)) for story, index, _ in map(str.split, lines(folder))]


def stories(count: int, frames: int = 3) -> list[StoryRequest]:
    """Stories of 1 to ``frames`` frames."""
    texts = [f"Sentence {number} of a story." for number in range(frames)]
    return [StoryRequest(f"s{n}", tuple(texts[: 1 + n % frames]), seed=n) for n in range(count)]

"""An engine for servers' tests: frames of ``fake_frame`` over a feed, quickly, and accidents at sentences that ask for
one. No torch. ``FAKE_FRAME_S`` is how long a frame takes."""

import os
import signal
import time
from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np

from acdc.engine.options import StoryOptions
from acdc.engine.outputs import Frame, PartialImage, Phase, Ran, StoryResult
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import AlreadyComplete, Cancelled, FrameDone, PartialReady, StoryFailed
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.scheduler.story_feed import StoryFeed
from tests.helpers.fake_frame import next_frame

DEFAULTS = {"strength": 0.5, "num_inference_steps": 10, "guidance_scale": 3.0, "context": "window"}
KILLS, HANGS, FAILS, REFUSED = "It kills.", "It sleeps forever.", "It fails.", "It is refused."
SIDE = 16


def frames_of(sentences, seed: int) -> list[Frame]:
    """The story as it must come out."""
    request, frames = StoryRequest("story", tuple(sentences), seed), list[Frame]()
    for _ in sentences:
        frames.append(next_frame(request, frames))
    return frames


def parameters() -> Iterator[Any]:
    """torch is imported where frames are carried from another server, and only there."""
    import torch

    yield torch.zeros(1)


def decode(codes: Any) -> Any:
    """Codes [B, n] -> pixels: each frame in the grey of its first code."""
    return (codes[:, :1, None, None] / SIDE - 1).expand(-1, 3, SIDE, SIDE)


def new_sequence(sentences: Any) -> Any:
    from acdc.engine.models.running_batch import SequenceState

    return SequenceState(len(sentences), SIDE, lambda text: [])


def draws_no_clips(*_: Any) -> None:
    raise ValueError("this engine draws no clips")


class FakeServing:
    """As much of ``Engine`` as a worker asks for."""

    name, device, defaults = "fake", SimpleNamespace(type="cpu"), DEFAULTS
    models = SimpleNamespace(
        tokenizer=SimpleNamespace(config=SimpleNamespace(resolution=SIDE), parameters=parameters, decode=decode),
        arm=SimpleNamespace(
            stream=SimpleNamespace(codes_per_frame=SIDE),
            new_sequence=new_sequence,
            encode=str.split,
            video_session=draws_no_clips,
        ),
    )

    def __init__(self, frame_s: float | None = None) -> None:
        self.frame_s = float(os.environ.get("FAKE_FRAME_S", "0.02")) if frame_s is None else frame_s

    def settings(self, options: StoryOptions) -> dict[str, Any]:
        return {"bundle": self.name, "weights": "fake", "threads": 1, **options.resolved(DEFAULTS).flat()}

    def generate_many(
        self, feed: StoryFeed, *, options: StoryOptions, pipelining: SchedulerConfig | None = None
    ) -> "FakeFeedRun":
        return FakeFeedRun(self, feed, options, pipelining or SchedulerConfig())


class FakeFeedRun:
    """Stories of a feed in turns."""

    def __init__(self, engine: FakeServing, feed: StoryFeed, options: StoryOptions, config: SchedulerConfig) -> None:
        self.engine, self.feed, self.options, self.config = engine, feed, options, config
        self.wake, self.cancelled, self.timeline = Event(), set[str](), list[Ran]()

    def begun(self, request: StoryRequest) -> StoryResult:
        settings = self.engine.settings(self.options.replace(**request.options))
        return StoryResult(request.sentences, request.seed, settings, {"fake": "1"}, {}, list(request.done))

    def cancel(self, name: str) -> None:
        if name in self.feed:
            self.cancelled.add(name)
        self.wake.set()

    def events(self) -> Iterator[Any]:
        flying: list[tuple[StoryRequest, list[Frame]]] = []
        self.feed.attach(self.wake.set)
        try:
            while True:
                while len(flying) < self.config.stories and (request := self.feed.take()) is not None:
                    flying.append((request, list(request.done)))
                if not flying:
                    if self.feed.ended:
                        return
                    self.wake.wait(0.2)
                    self.wake.clear()
                    continue
                request, frames = flying.pop(0)
                over = yield from self._step(request, frames)
                if over:
                    self.cancelled.discard(request.id)
                    self.feed.release(request.id)
                else:
                    flying.append((request, frames))
        finally:
            self.feed.detach()

    def _step(self, request: StoryRequest, frames: list[Frame]) -> Iterator[Any]:
        index = len(frames)
        if request.id in self.cancelled:
            yield StoryFailed(request, Cancelled.story(request.id))
            return True
        if index == len(request.sentences):
            yield AlreadyComplete(request)
            return True
        sentence = request.sentences[index]
        if (error := accident(sentence)) is not None:
            yield StoryFailed(request, error)
            return True
        corrected = self.options.replace(**request.options).corrects(index)
        frame = next_frame(request, frames, corrected)
        wanted = request.partial_images if isinstance(request.partial_images, int) else len(request.partial_images) + 1
        for number in range(wanted if corrected else 0):
            time.sleep(self.engine.frame_s / (wanted + 1))
            image = frame.draft if number == 0 else (frame.image // np.uint8(number + 1))
            yield PartialReady(request, PartialImage(index, number, number or None, image))
        time.sleep(self.engine.frame_s / (wanted + 1))
        frames.append(frame)
        self.timeline[:] = [Ran(0, Phase.SDEDIT, (request.id,), time.time(), time.time())]
        done = FrameDone(request, frame, self.engine.frame_s * 1e3, 0.0)
        yield done
        return done.last


def accident(sentence: str) -> Exception | None:
    """The error of a sentence that asks for one; other accidents happen here and now."""
    if sentence == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    if sentence == HANGS:
        time.sleep(3600)
    if sentence == REFUSED:
        return ValueError("the sentence is refused")
    return RuntimeError("the engine broke") if sentence == FAILS else None

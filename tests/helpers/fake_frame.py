"""Frames and runs without networks: pictures and codes are functions of seed, sentence, index and the frames before."""

import hashlib
from collections.abc import Callable, Generator, Sequence

import numpy as np

from acdc.engine.outputs import Frame, Phase, Span
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.events import Event, FrameDone


def draw(
    sentence: str,
    index: int,
    seed: int,
    history: Sequence[tuple[int, ...]] = (),
    corrected: bool = True,
    spans: tuple[Span, ...] = (),
) -> Frame:
    """A frame that depends on everything that came before, as a story's does."""
    digest = hashlib.sha256(repr((sentence, index, seed, list(history))).encode()).digest()
    rng = np.random.default_rng(list(digest))
    draft, image = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    codes = [tuple(rng.integers(0, 32, 16).tolist()) for _ in range(2)]
    shown, entered = (image, codes[1]) if corrected else (draft, codes[0])
    return Frame(index, sentence, f"Prompt: {sentence}", None, corrected, draft, shown, codes[0], entered, spans)


def next_frame(request: StoryRequest, frames: Sequence[Frame], corrected: bool = True) -> Frame:
    """The frame of ``request`` that comes after ``frames``; it takes 10 ms."""
    index = len(frames)
    spans = (Span(Phase.SAMPLE, 10.0 * (index - len(request.done)), 10.0),)
    history = [frame.codes for frame in frames]
    return draw(request.sentences[index], index, request.seed, history, corrected, spans)


def in_turns(
    take: Callable[[], StoryRequest | None], count: int, step: Callable[[StoryRequest, list[Frame]], Event]
) -> Generator[Event, None, None]:
    """Events of the stories that ``take`` gives until it gives None and those before have ended: at most ``count`` at a
    time, a frame of each in turn. ``step`` makes the next event of a story with these frames."""
    begun: list[tuple[StoryRequest, list[Frame]]] = []
    while True:
        while len(begun) < count and (request := take()) is not None:
            begun.append((request, list(request.done)))
        if not begun:
            return
        request, frames = begun.pop(0)
        event = step(request, frames)
        yield event
        if isinstance(event, FrameDone) and not event.last:
            begun.append((request, [*frames, event.frame]))

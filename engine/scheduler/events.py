"""Events of a run over many stories: finished frames, failed and cancelled stories."""

from __future__ import annotations

from dataclasses import dataclass

from ..outputs import Frame, PartialImage
from ..request import StoryRequest


@dataclass(frozen=True)
class FrameDone:
    """A frame is finished; its story goes on when the next event is asked for. ``waited_ms`` is how long it
    waited for its prompt, ``latency_ms`` the time since the frame before it (or since its story came in flight,
    ready for a slot)."""

    request: StoryRequest
    frame: Frame
    latency_ms: float
    waited_ms: float

    @property
    def last(self) -> bool:
        """Is the story finished by it?"""
        return self.frame.index + 1 == len(self.request.sentences)


@dataclass(frozen=True)
class PartialReady:
    """A picture of a frame on its way, which the request asked for."""

    request: StoryRequest
    partial: PartialImage


@dataclass(frozen=True)
class StoryFailed:
    """A story ends here; its frames so far are kept, and the others go on."""

    request: StoryRequest
    error: Exception


@dataclass(frozen=True)
class AlreadyComplete:
    """A story brought all its frames along."""

    request: StoryRequest


class Cancelled(RuntimeError):
    """Somebody asked for a story to be dropped."""

    @classmethod
    def story(cls, name: str) -> Cancelled:
        """Why the story of that id ends."""
        return cls(f"story {name!r} was cancelled")


Event = FrameDone | PartialReady | StoryFailed | AlreadyComplete

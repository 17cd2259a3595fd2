"""What the loop of ``engine/pipeline.py`` asks of an autoregressive model, whatever draws inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from ...sampling import Policy
from ...story import StoryOptions
from .windows import Table


class Session(Protocol):
    """Stories side by side. Life of a frame: ``begin``, then ``generate`` or ``extend``, then ``replace`` or not."""

    passes: int

    def begin(self, texts: Sequence[str] | None) -> None:
        """One sentence per story enters."""
        ...

    def generate(
        self, policy: Policy, keys: Tensor, draft: Tensor | None = ..., windows: Sequence[int] = ..., quantum: int = ...
    ) -> Tensor:
        """The frame of the last sentence is drawn: int64 [B, codes_per_frame]."""
        ...

    def extend(self, codes: Tensor) -> None:
        """The frame of the last sentence is given its codes."""
        ...

    def replace(self, frame: int, codes: Tensor) -> None:
        """Corrected codes take the place of a frame's."""
        ...

    def codes(self, frame: int) -> Tensor:
        """A frame's codes as they stand: int64 [B, codes_per_frame]."""
        ...

    def truncate(self, frames: int) -> None:
        """All but the first ``frames`` frames and their sentences are forgotten."""
        ...

    def close(self) -> None:
        """The story is over."""
        ...


class VideoSession(Protocol):
    """Videos side by side. Life of a frame: ``begin`` (with captions the first), then ``generate`` or ``extend``."""

    def begin(self, captions: Sequence[str] | None) -> None:
        """What the next frame sees enters."""
        ...

    def generate(
        self, keys: Tensor, draft: Tensor | None = ..., windows: Sequence[int] = ..., quantum: int = ...
    ) -> Tensor:
        """The frame that was begun is drawn: int64 [B, codes_per_frame]."""
        ...

    def extend(self, codes: Tensor) -> None:
        """The frame that was begun is given its codes."""
        ...

    def replace(self, first: int, codes: Tensor) -> None:
        """Corrected codes [B, L, codes_per_frame] take the places of frames ``first`` to ``first + L - 1``."""
        ...

    def codes(self, frame: int) -> Tensor:
        """A frame's codes as they stand: int64 [B, codes_per_frame]."""
        ...

    def close(self) -> None:
        """The videos are over."""
        ...


class FrameLayout(Protocol):
    """A frame in codes."""

    @property
    def codes_per_frame(self) -> int: ...

    @property
    def codebook_size(self) -> int: ...

    @property
    def windows(self) -> Table: ...


class Family(Protocol):
    """A loaded model with its text side."""

    draw_backend: str
    wrap_draw: Callable[..., Any]

    @property
    def model(self) -> Any:
        """The transformer, an ``nn.Module``."""
        ...

    @property
    def blocks(self) -> nn.Module:
        """Its layers, without embeddings and heads."""
        ...

    @property
    def stream(self) -> FrameLayout: ...

    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence."""
        ...

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of model does not have."""
        ...

    def session(self, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None) -> Session:
        """A session as the resolved ``options`` say, for sentences of at most ``text_tokens`` ids."""
        ...

    def video_session(self, videos: int, frames: int, policy: Policy) -> VideoSession:
        """A session of videos; ``ValueError`` if the model was not taught any."""
        ...

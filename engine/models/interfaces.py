"""What the loop of ``engine/pipeline/serial.py`` asks of an autoregressive model, whatever draws inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from ..options import StoryOptions
from ..sampling import SamplingParams
from .lwm.windows import Table


class Size(Protocol):
    """Of the pictures."""

    @property
    def resolution(self) -> int:
        """Pixels a side."""
        ...


class Tokenizer(Protocol):
    """Pictures to codes and back; the coder's two halves may be replaced by a backend's plans."""

    encoder: Any
    decoder: Any

    @property
    def config(self) -> Size: ...

    def latents(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> vectors before quantisation."""
        ...

    def quantise(self, latents: Tensor) -> Tensor:
        """Vectors -> codes int64 [B, n]."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> codes int64 [B, n]."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 [B, n] -> [B, 3, H, W] in [-1, 1]."""
        ...

    def parameters(self) -> Any: ...


class Session(Protocol):
    """Stories side by side. Life of a frame: ``begin``, then ``generate`` or ``extend``, then ``replace`` or not."""

    passes: int

    def begin(self, texts: Sequence[str] | None) -> None:
        """One sentence per story enters."""
        ...

    def generate(
        self,
        params: SamplingParams,
        keys: Tensor,
        draft: Tensor | None = ...,
        windows: Sequence[int] = ...,
        sync_every: int = ...,
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
        self, keys: Tensor, draft: Tensor | None = ..., windows: Sequence[int] = ..., sync_every: int = ...
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


class SequenceState(Protocol):
    """A story between two launches (``seats.py``)."""

    def replace(self, codes: Tensor) -> None:
        """Corrected codes [n] take the place of the last frame's."""
        ...

    def forget(self, frames: int) -> None:
        """Back to where ``frames`` frames stood."""
        ...

    def restore(self, sentences: Sequence[str], images: Sequence[Tensor]) -> None:
        """The frames of an earlier run, codes [n] each, with their sentences."""
        ...


class RunningBatch(Protocol):
    """Stories side by side from a frame's first launch to its last code, at whichever frame each stands."""

    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters."""
        ...

    def start(self, params: SamplingParams, keys: Tensor, window: int) -> None:
        """What a draw needs before its first pass; windows will be ``window`` at most."""
        ...

    def advance(self, windows: Sequence[int], passes: int | None, sync_every: int) -> list[bool]:
        """Up to ``passes`` passes (None: as many as it takes) -> by place, whether all codes are final."""
        ...

    def pop(self, place: int) -> Tensor:
        """A story goes with its codes [n]."""
        ...

    def write_cache(self) -> None:
        """What the stories' caches lack is fed."""
        ...

    def release(self) -> None:
        """A story is gone without its codes."""
        ...


class FrameLayout(Protocol):
    """A frame in codes."""

    @property
    def codes_per_frame(self) -> int: ...

    @property
    def codebook_size(self) -> int: ...

    @property
    def windows(self) -> Table: ...


class AutoregressiveModel(Protocol):
    """A loaded model with its text side."""

    def shallow_copy(self) -> Any:
        """The same model, whose stages may go to other backends."""
        ...

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

    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences; ``ValueError`` for one that is too long."""
        ...

    def new_batch(self, sequences: Sequence[Any], options: StoryOptions) -> RunningBatch:
        """Stories whose next frame is to be drawn, side by side."""
        ...

    def merge_batches(
        self, members: Sequence[tuple[Any, int]], options: StoryOptions
    ) -> tuple[RunningBatch, list[int]]:
        """Stories in the middle of their draws, by group and place, in one group; with their places there."""
        ...

    def later_params(self, params: SamplingParams) -> SamplingParams:
        """How a video's frames behind the first are drawn, which is drawn by ``policy``."""
        ...

    def video_session(self, videos: int, frames: int, params: SamplingParams) -> VideoSession:
        """A session of videos; ``ValueError`` if the model was not taught any."""
        ...

"""Interfaces of autoregressive models and tokenizers, as ``engine/pipeline/phases.py`` uses them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

from torch import Tensor, nn

from ..options import StoryOptions


class Size(Protocol):
    """Sizes of the pictures."""

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


class FrameBatch(Protocol):
    """Frames that are drawn side by side. Life of a draw: ``begin``, ``start``, ``advance`` until it is over, ``pop``.
    The constructor has its decoding settings."""

    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a frame enters."""
        ...

    def start(self, keys: Tensor) -> None:
        """Prepare a draw; ``keys`` int64 [B, 4] decide all of its noise."""
        ...

    def merge(self, arm: Any, members: Sequence[tuple[Any, int]]) -> tuple[Self, list[int]]:
        """Frames in the middle of their draws, by batch and place, in one batch, drawn on by ``arm`` -> that batch, and
        their places in it. What stays in other batches is not changed."""
        ...

    def advance(self, max_passes: int | None = None) -> list[bool]:
        """Up to ``max_passes`` passes (None: as many as it takes) -> by place, whether all codes are final."""
        ...

    def pop(self, place: int) -> Tensor:
        """A frame leaves with its codes: int64 [codes_per_frame]."""
        ...

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        ...


class RunningBatch(FrameBatch, Protocol):
    """Stories side by side from a frame's first launch to its last code, each at a frame of its own."""

    def give(self, place: int, codes: Tensor) -> None:
        """A story leaves with codes [codes_per_frame] that were not drawn, but given for its frame."""
        ...

    def release(self) -> None:
        """A story leaves without codes."""
        ...

    def write_cache(self) -> None:
        """Feed what the stories' caches lack, and end the batch."""
        ...


class VideoSession(FrameBatch, Protocol):
    """Videos side by side, from their first frame to their last. ``begin`` takes the captions at every frame."""

    def extend(self, codes: Tensor) -> None:
        """The frame that was begun is given its codes int64 [B, codes_per_frame]."""
        ...

    def replace(self, first: int, codes: Tensor) -> None:
        """Corrected codes [B, L, codes_per_frame] take the places of frames ``first`` to ``first + L - 1`` (Eq. 6)."""
        ...

    def close(self) -> None:
        """The videos are over."""
        ...


class SequenceState(Protocol):
    """A story between two launches (``running_batch.py``)."""

    def replace(self, codes: Tensor) -> None:
        """Corrected codes [n] take the place of the last frame's."""
        ...

    def show(self, index: int, pixels: Tensor) -> None:
        """Frame ``index``, which has its codes, as it is shown: [3, H, W] in [-1, 1], for families that read pixels."""
        ...

    def forget(self, frames: int) -> None:
        """Back to the state after ``frames`` frames."""
        ...

    def restore(self, sentences: Sequence[str], images: Sequence[Tensor]) -> None:
        """The frames of an earlier run, codes [n] each, with their sentences."""
        ...

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        ...


class FrameLayout(Protocol):
    """A frame in codes."""

    @property
    def codes_per_frame(self) -> int: ...

    @property
    def codebook_size(self) -> int: ...


class ArmStage(NamedTuple):
    """A part of an ARM that a backend may run. ``why_eager`` says what of it most backends cannot translate: those that
    run operators as they are serve it alone (``SUPPORTS_CUSTOM_OPS``); None: any backend may try."""

    why_eager: str | None = None


class CompileStage(Protocol):
    """Puts a stage on the backend that was chosen for it."""

    def __call__(self, run: nn.Module, stage: str) -> Callable[..., Any]:
        """The module that replaces ``run``, with the same signature: ``run`` itself where the stage runs eagerly."""
        ...


class AutoregressiveModel(ABC):
    """A loaded model with its text side; a family inherits this, and is asked nothing else.

    ``model`` is the transformer, ``stream`` the layout of a frame, ``draw_backend`` names the backend of "arm_draw".
    """

    model: Any  # an nn.Module
    stream: Any  # a FrameLayout
    draw_backend: str = "eager"

    @property
    @abstractmethod
    def blocks(self) -> nn.Module:
        """The transformer's layers, without embeddings and heads."""

    @abstractmethod
    def stages(self) -> Mapping[str, ArmStage]:
        """Stages that backends may run, by name: a part of ``runtime/backends.py``'s STAGES."""

    @abstractmethod
    def with_stages(self, compile_stage: CompileStage, backends: Mapping[str, str]) -> Self:
        """The same model with the same weights, whose stages run as ``compile_stage`` puts them; ``backends`` names the
        backend of each."""

    @abstractmethod
    def encode(self, sentence: str) -> list[int]:
        """Text ids of one sentence; ``ValueError`` for one that is too long."""

    @abstractmethod
    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this family does not have."""

    @abstractmethod
    def new_sequence(self, sentences: Sequence[str]) -> SequenceState:
        """For a story of these sentences; ``ValueError`` for one that is too long."""

    @abstractmethod
    def new_batch(self, sequences: Sequence[Any], options: StoryOptions) -> RunningBatch:
        """Stories side by side, drawn as the resolved ``options`` say."""

    @property
    def draws_videos(self) -> bool:
        """Was the model taught videos?"""
        return False

    def computes_in_vain(self, options: StoryOptions, stories: int) -> bool:
        """Do passes over that many stories compute codes that may be thrown away?"""
        return False

    def video_session(self, videos: int, frames: int, options: StoryOptions) -> VideoSession:
        """Videos side by side, drawn as the resolved ``options`` say; ``ValueError`` if the model draws none."""
        raise ValueError("this ARM draws pictures and no videos; choose storyworld-video or lwm+animatediff")

    def video_settings(self, options: StoryOptions) -> Mapping[str, Any]:
        """Settings of a video besides the resolved ``options``, ready for JSON."""
        return {}

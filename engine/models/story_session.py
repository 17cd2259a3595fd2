"""Stories in lockstep in one autoregressive model: what the sessions of all families have in common.

Rows of the cache are (branch, story): first the conditional branch of every story, then, with guidance, the null
branch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor

from .checks import check_room, check_sizes
from .kv_cache import KVCache


class StorySession(ABC):
    """B stories at the same frame. Life of a frame: ``begin(texts)``, drawn or given, then ``replace(...)`` or not."""

    cache: KVCache

    def __init__(self, stories: int, frames: int, guided: bool) -> None:
        """``frames`` bounds the stories' length; ``guided`` keeps the null branch for guidance_scale != 1."""
        check_sizes(stories, frames)
        self.stories, self.frames, self.branches = stories, frames, 2 if guided else 1
        self.passes = 0  # that drew the last frame

    @property
    def rows(self) -> int:
        """Rows of the cache."""
        return self.stories * self.branches

    @property
    @abstractmethod
    def drawn(self) -> int:
        """Number of frames that have their codes."""

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Has the last sentence no frame yet?"""

    @abstractmethod
    def codes(self, frame: int) -> Tensor:
        """Codes of a frame: int64 [B, codes_per_frame]."""

    @abstractmethod
    def begin(self, texts: Sequence[str] | None) -> None:
        """One sentence a story enters, up to the first pass of its frame."""

    @abstractmethod
    def extend(self, codes: Tensor) -> None:
        """The frame of the last sentence is given its codes [B, codes_per_frame]."""

    @abstractmethod
    def replace(self, frame: int, codes: Tensor) -> None:
        """Corrected codes [B, codes_per_frame] take the place of a frame's."""

    @abstractmethod
    def truncate(self, frames: int) -> None:
        """Forget all but the first ``frames`` frames with their sentences."""

    @abstractmethod
    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the stories hold in it."""

    def close(self) -> None:
        """The stories are over: the cache's buffers serve the next ones."""
        self.cache.release()

    def check_begin(self) -> None:
        """``ValueError`` where all frames are drawn."""
        assert not self.waiting, "the last sentence has no frame yet"
        check_room(self.drawn, self.frames)

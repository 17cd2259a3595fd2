"""Videos as the loops draw frames: ``start``, ``advance``, ``pop``. A frame is drawn whole, and never changes batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

from torch import Tensor

from ...options import Decoding
from ..causal.runner import CausalRunner
from ..running_batch import Member
from ..tokens_per_pass import SEQUENTIAL


class VideoBatch(ABC):
    """Videos in lockstep, drawn by ``arm`` with several codes a pass where ``decoding`` says so."""

    def __init__(self, arm: CausalRunner, videos: int, decoding: Decoding) -> None:
        self.arm, self.videos, self.decoding = arm, videos, decoding
        self.keys: Tensor | None = None  # of the frame that is begun

    @property
    @abstractmethod
    def drawn(self) -> int:
        """Number of frames that have their codes."""

    @abstractmethod
    def codes(self, frame: int) -> Tensor:
        """A frame's codes: int64 [B, codes_per_frame]."""

    @abstractmethod
    def generate(
        self,
        keys: Tensor,
        guesses: Tensor | None = None,
        tokens_per_pass: Sequence[int] = SEQUENTIAL,
        sync_every: int = 1,
    ) -> Tensor:
        """Draw the frame that was begun: int64 [B, codes_per_frame]."""

    @abstractmethod
    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""

    def start(self, keys: Tensor) -> None:
        """``keys`` [B, 4] of the frame that was begun, from ``rng.make_keys`` with purpose TOKEN."""
        self.keys = keys

    def advance(self, max_passes: int | None = None) -> list[bool]:
        """Draw the frame. The one before it is the first guess: scenes change little."""
        assert max_passes is None, "a video's frame is drawn whole"
        assert self.keys is not None, "start() comes before advance()"
        guesses = self.codes(self.drawn - 1) if self.drawn else None
        tokens_per_pass = self.arm.tokens_per_pass(self.decoding, self.videos)
        self.generate(self.keys, guesses, tokens_per_pass, self.arm.sync_every)
        self.keys = None
        return [True] * self.videos

    def pop(self, place: int) -> Tensor:
        """The codes [n] of a video's frame that was drawn last."""
        return self.codes(self.drawn - 1)[place]

    def merge(self, arm: Any, members: Sequence[Member]) -> tuple[Self, list[int]]:
        """Videos stay as they are."""
        return self, [place for _, place in members]

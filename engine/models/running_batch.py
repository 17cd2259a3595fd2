"""Stories that share launches of an autoregressive model: what all families have in common.

Between frames a story is alone (``SequenceState``): its sentences and codes are the truth, its cache a view of its
rows, or nothing where the family reads its context again for each frame. For a frame it joins a ``RunningBatch``, whose
session has one row a story and branch, and leaves it with its codes. Between two launches of a draw stories may go over
to another batch; rows are copied then, and only then.

A family says how its sessions begin, draw and lay streams side by side; who is still there is counted here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

from torch import Tensor

from .kv_cache import KVCache

Member = tuple[Any, int]  # a batch, and a story's place in it


@dataclass
class SequenceState:
    """A story between launches. ``texts`` are ids of its sentences with their prompts, ``images`` codes [n] of its
    frames; while a frame is made there is one text more. ``frames`` and ``text_tokens`` bound their numbers."""

    frames: int
    text_tokens: int
    encode: Callable[[str], list[int]]
    texts: list[list[int]] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)
    cache: KVCache | None = None  # of its branches' rows

    def restore(self, sentences: Sequence[str], images: Sequence[Tensor]) -> None:
        """The frames of an earlier run with their sentences; they are fed with the next sentence."""
        self.drop_cache()
        self.texts, self.images = [self.encode(sentence) for sentence in sentences], list(images)

    def replace(self, codes: Tensor) -> None:
        """Corrected codes [n] take the place of the last frame's (ACDC Eq. 6); they enter with the next sentence."""
        self.images[-1] = codes

    def show(self, index: int, pixels: Tensor) -> None:
        """Frame ``index`` as it is shown, [3, H, W] in [-1, 1]: nothing to a family that reads codes."""

    def forget(self, frames: int) -> None:
        """Go back to the state after ``frames`` frames; all that is shown of them will be fed again."""
        self.drop_cache()
        self.texts, self.images = self.texts[:frames], self.images[:frames]

    def drop_cache(self) -> None:
        """Give up the rows: another batch has taken them over, or the frame is finished."""
        if self.cache is not None:
            self.cache.release()
            self.cache = None

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from self.images
        if self.cache is not None:
            yield from self.cache.tensors()


class RunningBatch(ABC):
    """The stories of a session, one row a branch each, from a frame's first launch to its last code: ``begin``,
    ``start``, ``advance`` until a story's codes are final, then ``pop`` it. Stories may leave from several threads."""

    session: Any  # the family's

    def __init__(self, sequences: Sequence[Any]) -> None:
        self.sequences, self.num_active, self._lock = list(sequences), len(sequences), Lock()

    @abstractmethod
    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters, with what the caches lack of corrected codes and older frames."""

    @abstractmethod
    def start(self, keys: Tensor) -> None:
        """Prepare a draw; ``keys`` [B, 4] from ``rng.make_keys`` with purpose TOKEN."""

    @abstractmethod
    def advance(self, max_passes: int | None = None) -> list[bool]:
        """Run up to ``max_passes`` passes (None: as many as it takes) -> by place, whether all codes are final."""

    @abstractmethod
    def write_cache(self) -> None:
        """Feed what the stories' caches lack at once, not with the next sentence. Ends the batch."""

    @abstractmethod
    def drawn(self, place: int) -> Tensor:
        """The codes [n] of a story whose draw is over."""

    @abstractmethod
    def hand_over(self, place: int, was_drawn: bool) -> None:
        """A story that leaves takes its rows along where its cache grows; its frame's codes are its last image's."""

    @abstractmethod
    def merged(self, arm: Any, members: Sequence[Member]) -> tuple[Self, list[int]]:
        """Stories in the middle of their draws in a new batch, and their places there. No other batch is changed."""

    def rows(self, place: int) -> slice:
        """The cache's rows of a story."""
        return slice(place, None, self.session.stories)

    def pop(self, place: int) -> Tensor:
        """A story whose frame is drawn leaves with its codes [n], and its rows of a cache that grows."""
        codes = self.drawn(place)
        self._leave(place, codes, was_drawn=True)
        return codes

    def give(self, place: int, codes: Tensor) -> None:
        """A story leaves with codes [n] that were not drawn, but given for its frame."""
        self._leave(place, codes, was_drawn=False)

    def merge(self, arm: Any, members: Sequence[Member]) -> tuple[Self, list[int]]:
        """Stories in the middle of their draws, from any batches, in one, and their places there; ``arm`` draws on.

        If they are all that is left of this batch, it is the one. What stays in other batches is not changed.
        """
        if all(other is self for other, _ in members) and len(members) == self.num_active:
            self.session.arm = arm
            return self, [place for _, place in members]
        made, places = self.merged(arm, members)
        for other, _ in members:  # only now: had it failed, they would still be there
            other.release()
        return made, places

    def release(self) -> None:
        """One story less; when the last has gone, the cache's buffers serve the next batch."""
        with self._lock:
            self.num_active -= 1
            if self.num_active == 0:
                self.session.close()

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the session and the stories hold."""
        yield from self.session.tensors()
        for sequence in self.sequences:
            yield from sequence.tensors()

    def _leave(self, place: int, codes: Tensor, was_drawn: bool) -> None:
        self.sequences[place].images.append(codes)
        self.hand_over(place, was_drawn)
        self.release()

"""Videos by an ARM that sees a few frames: after the caption the first frame, and the last ones before each frame.

The first frame keeps the look where many have passed since, the last two say which way things move. With two, frames
are in the stream as

    frame 0        bos text vision [f0] eof
    frame 1        bos text vision f0 eof [f1] eof
    frame 2        bos text vision f0 eof f1 eof [f2] eof
    frame k >= 3   bos text vision f0 eof f(k-2) eof f(k-1) eof [fk] eof

An :class:`ArmSession` in full context holds that view. Caption and first frame stay in the cache, the last frames are
fed again, since their places change; frames of any number thus cost the same:

    begin frame 7    bos text vision f0 eof | f5 eof f6 eof      left of | is kept, right of it fed in one pass a frame
    begin frame 8    bos text vision f0 eof | f6 eof f7 eof

The list of frames is the truth, so corrected ones are seen as soon as they are in it (ACDC, Eq. 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...options import Decoding
from ...sampling import SamplingParams
from ..causal.runner import CausalRunner
from ..causal.session import ArmSession
from ..checks import check_codes, check_room, check_sizes, places
from ..tokens_per_pass import SEQUENTIAL
from .video_batch import VideoBatch


def seen(frame: int, recent: int) -> tuple[int, ...]:
    """The numbers of the frames that frame ``frame`` sees: the first, and the last ``recent``."""
    return tuple(sorted({0, *range(max(0, frame - recent), frame)})) if frame else ()


class ClipSession(VideoBatch):
    """B videos in lockstep. Life of a frame: ``begin(captions)``, from the second on ``begin(None)``; ``generate``."""

    def __init__(
        self,
        arm: CausalRunner,
        clips: int,
        frames: int,
        recent: int,
        params: SamplingParams,
        decoding: Decoding = "auto",
    ) -> None:
        """``frames`` bounds the videos' length, ``recent`` is how many of the last frames are seen."""
        check_sizes(clips, frames, "videos")
        super().__init__(arm, clips, decoding)
        self.frames, self.recent, self.params = frames, recent, params
        self.captions: list[str] = []
        self.shown: list[Tensor] = []  # current codes [B, n] of each frame
        self.view: ArmSession | None = None

    @property
    def drawn(self) -> int:
        """Number of frames that have their codes."""
        return len(self.shown)

    def codes(self, frame: int) -> Tensor:
        """Current codes of a frame: int64 [B, codes_per_frame]."""
        return self.shown[frame]

    @torch.no_grad()
    def begin(self, captions: Sequence[str] | None) -> None:
        """Feed what the next frame sees, up to the logits of its first code.

        Raises ``ValueError`` for a first frame without captions, a wrong number of them or one that is too long, and
        for more frames than the session was made for.
        """
        check_room(self.drawn, self.frames, "video")
        if captions is not None:
            self.captions = list(captions)
        if not self.captions:
            raise ValueError("the first frame needs a caption")
        if self.view is None:
            self.view = ArmSession(self.arm, self.videos, self.recent + 2, "full", self.params.guided)
        before = seen(self.drawn, self.recent)
        self.view.truncate(min(self.view.drawn, 1))
        for index in before[self.view.drawn :]:
            self._begin_view()
            self.view.extend(self.shown[index])
        self._begin_view()

    def _begin_view(self) -> None:
        assert self.view is not None
        self.view.begin(None if self.view.drawn else self.captions)

    @torch.no_grad()
    def generate(
        self,
        keys: Tensor,
        guesses: Tensor | None = None,
        tokens_per_pass: Sequence[int] = SEQUENTIAL,
        sync_every: int = 1,
    ) -> Tensor:
        """Draw the frame that was begun (ACDC Eq. 4): int64 [B, codes_per_frame].

        Arguments are those of :meth:`ArmSession.generate`.
        """
        assert self.view is not None, "begin() comes before generate()"
        self.shown.append(self.view.generate(self.params, keys, guesses, tokens_per_pass, sync_every))
        return self.shown[-1]

    def extend(self, codes: Tensor) -> None:
        """Give the next frame its codes [B, codes_per_frame] instead of drawing it; it need not be begun."""
        self.shown.append(check_codes(codes, self.videos, self.arm.stream.codes_per_frame))

    def replace(self, first: int, codes: Tensor) -> None:
        """Put corrected codes [B, L, codes_per_frame] in place of L frames from ``first`` on (ACDC Eq. 6)."""
        frames = places(first, codes, self.drawn)
        self.shown[first : frames.stop] = codes.unbind(1)
        if first == 0 and self.view is not None:
            self.view.truncate(0)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from self.shown
        if self.keys is not None:
            yield self.keys
        if self.view is not None:
            yield from self.view.tensors()

    def close(self) -> None:
        """The videos are over: the cache's buffers serve the next ones."""
        if self.view is not None:
            self.view.close()

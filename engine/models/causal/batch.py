"""Stories side by side in one session, each at a frame of its own.

The ends of their streams are aligned, and a story with fewer chunks has empty ones in front, which feed nothing:

    story 0   text 0, image 0, text 1, image 1, text 2
    story 1                    text 0, image 0, text 1       its first two chunks have counts of 0

Where the same stories come together again, the session goes on in the same memory; else their rows are copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ...options import StoryOptions
from .. import running_batch
from ..code_by_code import CodeByCodeBatch
from ..decode import DecodeState, side_by_side
from ..running_batch import Member
from .runner import CausalRunner
from .session import ArmSession
from .stream_segment import StreamSegment


@dataclass
class SequenceState(running_batch.SequenceState):
    """A story between launches; its cache holds at most all before the last frame's last code."""

    frame_starts: list[int] = field(default_factory=list)  # by row of the cache: the last frame's first slot

    def replace(self, codes: Tensor) -> None:
        """Corrected codes [n] take the place of the last frame's; they enter with the next sentence."""
        super().replace(codes)
        if self.cache is not None:  # keeps what lies before the frame
            self.cache.truncate(self.frame_starts)


class RunningBatch(CodeByCodeBatch):
    """The stories of a session, one row a branch each, from a frame's first launch to its last code."""

    session: ArmSession

    def __init__(self, arm: CausalRunner, sequences: Sequence[SequenceState], options: StoryOptions) -> None:
        """Lay the streams side by side, and take over or copy what the caches hold. ``options`` are resolved."""
        super().__init__(sequences, options)
        frames, tokens = (max(getattr(one, name) for one in sequences) for name in ("frames", "text_tokens"))
        parts = [sequence.cache for sequence in sequences]
        limits = (frames, options.sampling.context, self.params.guided, tokens)
        self.session = ArmSession(arm, len(sequences), *limits, parts=parts)
        self.session.chunks = chunks(self.session, sequences)

    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters, with what the caches lack of corrected codes and older frames."""
        self.session.begin(sentences)
        for sequence, sentence in zip(self.sequences, sentences, strict=True):
            sequence.texts.append(self.session.arm.encode(sentence))
            sequence.drop_cache()

    def drawn(self, place: int) -> Tensor:
        """The codes [n] of a story whose draw is over."""
        return self.session.arm.stream.to_codes(self.drawn_slots(place)).clone()

    def hand_over(self, place: int, was_drawn: bool) -> None:
        """Only a full context keeps anything."""
        sequence = self.sequences[place]
        if self.session.keeps and len(sequence.images) < sequence.frames:
            sequence.cache = self.session.cache.view(self.rows(place))
            sequence.frame_starts = sequence.cache.owned
            if was_drawn:  # the last code is not fed yet
                fed = self.session.arm.stream.slots - 1
                sequence.cache.settle([start + fed for start in sequence.frame_starts])

    def write_cache(self) -> None:
        """Feed what the stories' caches lack, and give each its rows back: frames that were replaced enter at once
        (Eq. 6 with one frame). Where nothing is kept, nothing is done."""
        if self.session.keeps:
            self.session.catch_up()
            for place, sequence in enumerate(self.sequences):
                sequence.drop_cache()
                sequence.cache = self.session.cache.view(self.rows(place))
        self.session.close()

    def merged(self, arm: CausalRunner, members: Sequence[Member]) -> tuple[RunningBatch, list[int]]:
        """Stories in the middle of their draws in a new batch, and their places there."""
        made = RunningBatch(arm, [batch.sequences[place] for batch, place in members], self.options)
        parts = []
        for place, (batch, at) in enumerate(members):
            assert batch.session.frame is not None, "a story that is not being drawn"
            part = batch.session.frame.part([at])
            made.session.cache.paste(part.cache, range(place, made.session.rows, len(members)))
            part.cache.release()
            parts.append(part)
        session = made.session
        session.origin = max(0, len(session.chunks) - 3) if session.context == "window" else 0
        session.frame = DecodeState(*side_by_side(parts), session.cache)
        return made, list(range(len(members)))


def chunks(session: ArmSession, sequences: Sequence[SequenceState]) -> list[StreamSegment]:
    """Parts of the stories' streams that a frame can see, as chunks of all rows with their ends aligned."""
    begun = len(sequences[0].texts) - len(sequences[0].images)
    assert all(len(one.texts) - len(one.images) == begun for one in sequences), "some are being drawn, others not"
    longest = max(len(one.images) for one in sequences)
    held = 0 if session.arm.stream.independent else min(longest, 1) if session.context == "window" else longest
    made = []
    for back in range(held, 0, -1):  # the frame that lies ``back`` before the end
        at = [len(one.images) - back for one in sequences]
        made.append(_text(session, [one.texts[k] if k >= 0 else None for one, k in zip(sequences, at, strict=True)]))
        made.append(_image(session, [one.images[k] if k >= 0 else None for one, k in zip(sequences, at, strict=True)]))
    if begun:
        made.append(_text(session, [one.texts[-1] for one in sequences]))
    return made


def _text(session: ArmSession, texts: Sequence[Sequence[int] | None]) -> StreamSegment:
    """A sentence of each story, and the null branch's."""
    vision, null = list(session.arm.stream.vision), session.arm.null_text
    lines = [[] if text is None else [*text, *vision] for text in texts]
    nulls = [[] if text is None else [*null(text), *vision] for text in texts]
    return session.given(lines + nulls * (session.branches - 1))


def _image(session: ArmSession, images: Sequence[Tensor | None]) -> StreamSegment:
    stream, device = session.arm.stream, session.cache.lengths.device
    blank = torch.zeros(stream.codes_per_frame, dtype=torch.int64, device=device)
    codes = torch.stack([blank if image is None else image for image in images])
    ids = F.pad(codes, (0, 1), value=stream.eof).repeat(session.branches, 1)
    counts = [0 if image is None else stream.frame_tokens for image in images]
    return StreamSegment("image", ids, tuple(counts * session.branches), "external")

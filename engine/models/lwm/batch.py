"""Stories that come together for a launch of the autoregressive model, and part again.

Between frames a story sits alone (``SequenceState``): its sentences and codes are the truth, its cache a view of its
rows, or nothing where the context is a window, which is read anew for each frame. For a frame it joins a
``RunningBatch``, whose session has one row a story and branch. Where the same stories come together again, the session
goes on in the same memory; else their rows are copied. Stories of a group stand at different frames: the ends of their
streams are laid side by side, and who has fewer chunks has empty ones in front, which feed nothing:

    story 0   text 0, image 0, text 1, image 1, text 2
    story 1                    text 0, image 0, text 1       its first two chunks have counts of 0

Between two launches of a draw a story may go over to another group; its rows are copied then, and only then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...options import StoryOptions
from ...sampling import SamplingParams
from ..kv_cache import KVCache
from .chunk import Chunk
from .decode import DecodeState, draw, fitting
from .runner import LwmRunner
from .session import ArmSession
from .windows import SEQUENTIAL


class Session(Protocol):
    """What the stories share."""

    def close(self) -> None:
        """The cache's buffers serve the next stories."""
        ...


class SharedSession:
    """Stories in one session, ``here`` of which have not left. They may leave from several threads."""

    session: Session

    def __init__(self, count: int) -> None:
        self.num_active, self._lock = count, Lock()

    def is_whole_batch(self, members: Sequence[tuple[SharedSession, int]]) -> bool:
        """Are these stories, each given by its company and its place there, all that is left of this one?"""
        return all(other is self for other, _ in members) and len(members) == self.num_active

    def release(self) -> None:
        """One story less; when the last has gone, the cache's buffers serve the next group."""
        with self._lock:
            self.num_active -= 1
            if self.num_active == 0:
                self.session.close()


@dataclass
class SequenceState:
    """A story between launches. ``texts`` are ids of its sentences with their prompts, ``images`` codes [n] of its
    frames; while a frame is made there is one text more."""

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
        """Corrected codes [n] take the place of the last frame's; they enter with the next sentence."""
        self.images[-1] = codes
        if self.cache is not None:  # keeps what lies before the frame
            frame = len(codes) + 1
            self.cache.truncate([have - frame + 2 for have in self.cache.owned])

    def forget(self, frames: int) -> None:
        """Go back to where ``frames`` frames stood; all that is shown of them will be fed again."""
        self.drop_cache()
        self.texts, self.images = self.texts[:frames], self.images[:frames]

    def drop_cache(self) -> None:
        """Somebody else has the rows now, or nobody needs them."""
        if self.cache is not None:
            self.cache.release()
            self.cache = None


class RunningBatch(SharedSession):
    """The stories of a session, one row a branch each, from a frame's first launch to its last code."""

    session: ArmSession

    def __init__(self, arm: LwmRunner, seats: Sequence[SequenceState], options: StoryOptions) -> None:
        """Lay the streams side by side, and take over or copy what the caches hold."""
        super().__init__(len(seats))
        self.seats = list(seats)
        guided = options.arm_guidance_scale not in (None, 1.0)
        frames, tokens = (max(getattr(seat, name) for seat in seats) for name in ("frames", "text_tokens"))
        parts = [seat.cache for seat in seats]
        self.session = ArmSession(arm, len(seats), frames, options.context, guided, tokens, parts=parts)
        self.session.chunks = chunks(self.session, seats)

    def rows(self, place: int) -> slice:
        """The cache's rows of a story."""
        return slice(place, None, self.session.stories)

    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters, with what the caches lack of corrected codes and older frames."""
        self.session.begin(sentences)
        for seat, sentence in zip(self.seats, sentences, strict=True):
            seat.texts.append(self.session.arm.encode(sentence))
            seat.drop_cache()

    def start(self, params: SamplingParams, keys: Tensor, window: int) -> None:
        """First codes and noise; guesses are each story's last frame, else what the first code's logits say."""
        session, behind = self.session, [seat for seat in self.seats if seat.images]
        draft = None
        if len(behind) == len(self.seats):  # scenes change little: good first guesses
            draft = torch.stack([seat.images[-1] for seat in self.seats])
        session.start(params, keys, draft, window)

    def advance(self, windows: Sequence[int], passes: int | None, sync_every: int) -> list[bool]:
        """Run up to ``passes`` passes (None: as many as it takes) -> for each story, whether all its codes are final.

        Accepted counts are read back after each ``look`` of passes, and where one code is drawn a pass, at the end.
        """
        session, drawing = self.session, self.session.frame
        assert drawing is not None, "start() comes before advance()"
        num_codes, left = session.arm.stream.codes_per_frame, num_codes_left(drawing, session)
        find = partial(session.arm.draw_pass, drawing.params)
        if passes is None:
            draw(drawing, find, num_codes, windows, sync_every)
            return [True] * len(self.seats)
        budget = passes
        while budget > 0 and left > 0:
            launched = min(budget, left if tuple(windows) == SEQUENTIAL else min(sync_every, left))
            for _ in range(launched):
                drawing.run(find(fitting(windows, left)))
            budget, left = budget - launched, num_codes_left(drawing, session)
        return [count >= num_codes for count in drawing.accepted.tolist()]

    def pop(self, place: int) -> Tensor:
        """A story whose frame is drawn takes its codes [n], and its rows of a cache that grows, to its seat."""
        session, drawing, seat = self.session, self.session.frame, self.seats[place]
        assert drawing is not None, "start() comes before leave()"
        codes = drawing.codes[place, : session.arm.stream.codes_per_frame].clone()
        seat.images.append(codes)
        if session.context == "full" and len(seat.images) < seat.frames:
            seat.cache = session.cache.view(self.rows(place))
            seat.cache.settle([have + len(codes) - 1 for have in seat.cache.owned])
        self.release()
        return codes

    def write_cache(self) -> None:
        """What the seats' caches lack is fed, and each takes its rows back: frames that were replaced enter at once and
        not with the next sentence. In the window context nothing is kept, so nothing is done."""
        if self.session.context == "full":
            self.session.catch_up()
            for place, seat in enumerate(self.seats):
                seat.drop_cache()
                seat.cache = self.session.cache.view(self.rows(place))
        self.session.close()


def merge_batches(
    arm: LwmRunner, members: Sequence[tuple[RunningBatch, int]], options: StoryOptions
) -> tuple[RunningBatch, list[int]]:
    """Stories in the middle of their draws, from any groups, in one, and their places there.

    If they are all that is left of a group, that is the one. What stays in other groups is not changed.
    """
    group, places = members[0][0], [place for _, place in members]
    if group.is_whole_batch(members):
        group.session.arm = arm
        return group, places
    made = RunningBatch(arm, [group.seats[place] for group, place in members], options)
    parts = []
    for place, (group, at) in enumerate(members):
        assert group.session.frame is not None, "a story that is not being drawn"
        part = group.session.frame.part([at])
        made.session.cache.paste(part.cache, range(place, made.session.rows, len(members)))
        part.cache.release()
        parts.append(part)
    session = made.session
    session.origin = max(0, len(session.chunks) - 3) if session.context == "window" else 0
    noises = [part.noise for part in parts if part.noise is not None]
    noise = torch.cat(noises) if noises else None
    codes, accepted = (torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "accepted"))
    session.frame = DecodeState(parts[0].params, codes, accepted, noise, session.cache)
    for group, _ in members:  # only now: had it failed, they would still be there
        group.release()
    return made, list(range(len(members)))


def num_codes_left(drawing: DecodeState, session: ArmSession) -> int:
    """Of the story that has come least far."""
    return session.arm.stream.codes_per_frame - min(drawing.accepted.tolist())


def chunks(session: ArmSession, seats: Sequence[SequenceState]) -> list[Chunk]:
    """The seats' streams as chunks of all rows, ends aligned; in the window context, what a frame can see."""
    begun = len(seats[0].texts) - len(seats[0].images)
    assert all(len(seat.texts) - len(seat.images) == begun for seat in seats), "some are being drawn, others not"
    longest = max(len(seat.images) for seat in seats)
    held = min(longest, 1) if session.context == "window" else longest
    made = []
    for back in range(held, 0, -1):  # the frame that lies ``back`` before the end
        at = [len(seat.images) - back for seat in seats]
        made.append(_text(session, [seat.texts[k] if k >= 0 else None for seat, k in zip(seats, at, strict=True)]))
        made.append(_image(session, [seat.images[k] if k >= 0 else None for seat, k in zip(seats, at, strict=True)]))
    if begun:
        made.append(_text(session, [seat.texts[-1] for seat in seats]))
    return made


def _text(session: ArmSession, texts: Sequence[Sequence[int] | None]) -> Chunk:
    """A sentence of each story; the null branch has an empty one."""
    vision, null = list(session.arm.stream.vision), session.branches - 1
    lines = [[] if text is None else [*text, *vision] for text in texts]
    lines += [[] if text is None else vision for text in texts] * null
    return session.given(lines)


def _image(session: ArmSession, images: Sequence[Tensor | None]) -> Chunk:
    stream, device = session.arm.stream, session.cache.lengths.device
    blank = torch.zeros(stream.codes_per_frame, dtype=torch.int64, device=device)
    codes = torch.stack([blank if image is None else image for image in images])
    ids = F.pad(codes, (0, 1), value=stream.eof).repeat(session.branches, 1)
    counts = [0 if image is None else stream.frame_tokens for image in images]
    return Chunk("image", ids, tuple(counts * session.branches), "external")

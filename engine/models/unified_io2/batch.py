"""Unified-IO 2's stories: frames that the next one sees as pixels, and stories side by side in one session.

A frame sees the last frame in full (576 vectors) and up to four before it in short (32 vectors each) with their
sentences, in context "full"; in "window" the last one alone. The model reads the pixels that are shown, corrected ones
where the frame was corrected, in the 256 levels in which they are stored; codes are drawn, not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...options import Context, StoryOptions
from .. import running_batch
from ..code_by_code import CodeByCodeBatch
from ..decode import side_by_side
from ..running_batch import Member
from .runner import Read, UnifiedIO2Runner
from .session import CrossDecodeState, UnifiedIO2Session
from .text import NULL_PROMPT, prompt_ids


@dataclass
class SequenceState(running_batch.SequenceState):
    """A story between launches. ``pictures`` uint8 [3, H, W] are its frames as they are shown, ``vectors`` what the
    model makes of them, by frame and whether it is the last one."""

    pictures: list[Tensor] = field(default_factory=list)
    vectors: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def show(self, index: int, pixels: Tensor) -> None:
        """Frame ``index`` as it is shown, [3, H, W] in [-1, 1]; the frames after it are forgotten."""
        self._keep(index)
        assert len(self.pictures) == index, f"frame {index} is shown before frame {len(self.pictures)}"
        self.pictures.append(pixels.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8))

    def replace(self, codes: Tensor) -> None:
        """Corrected codes [n] take the place of the last frame's; its pixels come by :meth:`show`."""
        super().replace(codes)
        self._keep(len(self.images) - 1)

    def restore(self, sentences: Sequence[str], images: Sequence[Tensor]) -> None:
        """The frames of an earlier run with their sentences; their pixels come by :meth:`show`."""
        super().restore(sentences, images)
        self._keep(0)

    def forget(self, frames: int) -> None:
        """Go back to the state after ``frames`` frames."""
        super().forget(frames)
        self._keep(frames)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from super().tensors()
        yield from self.pictures
        yield from self.vectors.values()

    def _keep(self, frames: int) -> None:
        del self.pictures[frames:]
        self.vectors = {key: value for key, value in self.vectors.items() if key[0] < frames}


class RunningBatch(CodeByCodeBatch):
    """The stories of a session, one row a branch each, from a frame's first launch to its last code."""

    session: UnifiedIO2Session

    def __init__(self, arm: UnifiedIO2Runner, sequences: Sequence[SequenceState], options: StoryOptions) -> None:
        """``options`` are resolved."""
        super().__init__(sequences, options)
        self.session = UnifiedIO2Session(arm, len(sequences), self.params.guided)

    @torch.no_grad()
    def begin(self, sentences: Sequence[str]) -> None:
        """One sentence a story enters: the encoder reads it with the frames before it."""
        arm, context = self.session.arm, self.options.sampling.context or "full"
        for sequence, sentence in zip(self.sequences, sentences, strict=True):
            sequence.texts.append(arm.encode(sentence))
        shown = [visible(arm, len(sequence.images), context) for sequence in self.sequences]
        look(arm, self.sequences, shown)
        inputs: list[Read | None] = [
            self._input(sequence, frames, null=False) for sequence, frames in zip(self.sequences, shown, strict=True)
        ]
        for _ in range(1, self.session.branches):
            inputs += [
                self._input(sequence, frames, null=True) if frames else None
                for sequence, frames in zip(self.sequences, shown, strict=True)
            ]
        self.session.begin(inputs)

    def _input(self, sequence: SequenceState, frames: range, null: bool) -> Read:
        arm, first = self.session.arm, len(sequence.images) - len(frames)
        ids = NULL_PROMPT if null else prompt_ids(sequence.texts[first:], arm.model.config.max_text)
        earlier = [sequence.vectors[frame, False] for frame in frames[:-1]]
        return arm.read(ids, earlier, sequence.vectors[frames[-1], True] if frames else None)

    def drawn(self, place: int) -> Tensor:
        """The codes [n] of a story whose draw is over."""
        return self.drawn_slots(place).clone()

    def hand_over(self, place: int, was_drawn: bool) -> None:
        """Nothing of a frame's caches serves the next one (``session.py``)."""

    def write_cache(self) -> None:
        """Nothing: a frame enters as pixels, with the sentence after it."""
        self.session.close()

    def merged(self, arm: UnifiedIO2Runner, members: Sequence[Member]) -> tuple[RunningBatch, list[int]]:
        """Stories in the middle of their draws in a new batch, and their places there."""
        made = RunningBatch(arm, [batch.sequences[place] for batch, place in members], self.options)
        parts = []
        for batch, place in members:
            assert batch.session.frame is not None, "a story that is not being drawn"
            parts.append(batch.session.frame.part([place]))
        caches = made.session.reserve(max(max(part.read.owned) for part in parts))
        for place, part in enumerate(parts):
            rows = range(place, made.session.rows, len(members))
            caches.drawn.paste(part.cache, rows)
            caches.read.paste(part.read, rows)
            part.cache.release()
            part.read.release()
        made.session.frame = CrossDecodeState(*side_by_side(parts), *caches)
        return made, list(range(len(members)))


def visible(arm: UnifiedIO2Runner, drawn: int, context: Context) -> range:
    """The numbers of the frames that the next one sees, of those that are drawn."""
    most = 1 if context == "window" else 1 + arm.model.config.shown_frames
    return range(max(0, drawn - most), drawn)


def look(arm: UnifiedIO2Runner, sequences: Sequence[SequenceState], shown: Sequence[range]) -> None:
    """Make the vectors that the stories lack of the frames that are shown, and drop those of no further use."""
    wanted = [
        {(frame, frame == frames.stop - 1) for frame in frames} for frames in shown
    ]  # by frame, and whether it is the last
    for is_last, vectors_of in ((True, arm.model.image_vectors), (False, arm.model.history_vectors)):
        missing = [
            (sequence, key)
            for sequence, keys in zip(sequences, wanted, strict=True)
            for key in sorted(keys - sequence.vectors.keys())
            if key[1] == is_last
        ]
        if missing:
            pictures = torch.stack([sequence.pictures[frame] for sequence, (frame, _) in missing])
            for (sequence, key), vectors in zip(missing, vectors_of(pictures.to(arm.model.device)), strict=True):
                sequence.vectors[key] = vectors
    for sequence, keys in zip(sequences, wanted, strict=True):
        sequence.vectors = {key: value for key, value in sequence.vectors.items() if key in keys}

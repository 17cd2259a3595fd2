"""A story under way: what was asked, and what its frame has become so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..memory import Memory, Rewrite
from ..models.interfaces import RunningBatch, SequenceState
from ..outputs import Frame, Phase, Span
from ..request import StoryRequest
from ..sdedit.pixels import to_uint8


@dataclass(eq=False)
class Work:
    """Its own state only: what a launch shares with others is the launch's. Pixels [3, H, W], codes [n]."""

    request: StoryRequest
    memory: Memory
    seat: SequenceState
    index: int = 0
    rewrites: dict[int, Rewrite] = field(default_factory=dict)
    calls: dict[int, Span] = field(default_factory=dict)  # when the rewrites were made
    group: tuple[RunningBatch, int] | None = None  # while a frame is drawn: with whom, and in which row
    draft_codes: Tensor | None = None
    codes: Tensor | None = None
    draft: Tensor | None = None
    shown: Tensor | None = None
    cut_prompt: str | None = None
    spans: list[Span] = field(default_factory=list)
    frame: Frame | None = None

    def rewrite(self, index: int) -> Rewrite:
        """The prompt of frame ``index``, from the sentences up to it (Eq. 3)."""
        told = self.request.sentences
        return self.memory.rewrite(told[: index + 1], told[index + 1 :])

    def begin_again(self) -> None:
        """The frame failed on its way: back to its beginning. What was finished stands."""
        if self.group is not None:
            self.group[0].release()
        self.group = self.draft_codes = self.codes = self.draft = self.shown = self.cut_prompt = None
        self.seat.forget(self.index)
        self.spans.clear()

    def next_frame(self) -> None:
        """The frame is shown; on to the one after it."""
        self.index += 1
        self.draft_codes = self.codes = self.draft = self.shown = self.cut_prompt = self.frame = None
        self.spans.clear()


def finish(works: Sequence[Work], corrected: bool) -> None:
    """The frames that are complete, as results: bytes and lists, no tensors."""
    drafts, shown = ([getattr(work, name) for work in works] for name in ("draft", "shown"))
    if not corrected:
        shown = drafts
    pictures = to_uint8(torch.stack([torch.stack(drafts), torch.stack(shown)]))
    for place, work in enumerate(works):
        assert work.draft_codes is not None, "a frame that was not drawn"
        codes = work.draft_codes if work.codes is None else work.codes
        rewrite = work.rewrites[work.index]
        calls = [work.calls[work.index]] if work.index in work.calls else []
        work.frame = Frame(
            index=work.index,
            sentence=work.request.sentences[work.index],
            refined_prompt=rewrite.text,
            cut_prompt=work.cut_prompt,
            corrected=corrected,
            draft=pictures[0][place],
            image=pictures[1][place],
            draft_codes=tuple(work.draft_codes.tolist()),
            codes=tuple(codes.tolist()),
            spans=(*calls, *work.spans),
            memory_note=rewrite.note,
            later_prompts=rewrite.later,
        )


def span(phase: Phase, start: float, end: float, origin: float) -> Span:
    """Seconds of one clock as a span since the story's beginning."""
    return Span(phase, (start - origin) * 1e3, (end - start) * 1e3)

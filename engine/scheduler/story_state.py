"""A story in flight: its request, its place in the schedule, and what its frame has become so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..memory import Memory, Rewrite
from ..models.interfaces import RunningBatch, SequenceState
from ..outputs import Frame, Phase, Span
from ..request import StoryRequest
from ..sdedit.pixels import check_finite, to_uint8
from .scheduler import ScheduledStory


def no_phases(index: int) -> Sequence[Phase]:
    """For a story that no scheduler runs: none."""
    return ()


@dataclass(eq=False, kw_only=True)
class StoryState(ScheduledStory):
    """A story in flight: where the schedule has it (the base class), what its frame has become so far (pixels
    [3, H, W], codes [n]), and when (seconds of ``time.perf_counter``). What a launch shares among stories is the
    launch's."""

    request: StoryRequest
    memory: Memory
    sequence: SequenceState
    rewrites: dict[int, Rewrite] = field(default_factory=dict)
    calls: dict[int, Span] = field(default_factory=dict)  # when the rewrites were made
    batch: tuple[RunningBatch, int] | None = None  # while a frame is drawn: the batch, and the row in it
    draft_codes: Tensor | None = None
    codes: Tensor | None = None
    draft: Tensor | None = None
    shown: Tensor | None = None
    cut_prompt: str | None = None
    spans: list[Span] = field(default_factory=list)
    frame: Frame | None = None
    story_start: float | None = None  # the first thing that ran for the story: its spans count from there
    frame_start: float | None = None  # the last frame was shown, or the story came in flight
    stall_start: float | None = None  # since when it waits for its prompt
    stall_s: float = 0.0  # how long it waited for the prompt of this frame
    prompt_error: Exception | None = None  # why the next prompt will not come
    error: Exception | None = None  # why the story is to end

    @classmethod
    def of(
        cls,
        request: StoryRequest,
        memory: Memory,
        sequence: SequenceState,
        phases_of: Callable[[int], Sequence[Phase]] = no_phases,
        index: int = 0,
        **state: Any,
    ) -> StoryState:
        """``request`` from frame ``index`` on; ``phases_of(index)`` are the phases of a frame."""
        named = (request.id, len(request.sentences), phases_of, index)
        return cls(*named, request=request, memory=memory, sequence=sequence, **state)

    def rewrite(self, index: int) -> Rewrite:
        """The prompt of frame ``index``, from the sentences up to it (Eq. 3)."""
        sentences = self.request.sentences
        return self.memory.rewrite(sentences[: index + 1], sentences[index + 1 :])

    def begin_again(self) -> None:
        """The frame failed on its way: back to its beginning. What was finished stands."""
        if self.batch is not None:
            self.batch[0].release()
        self.batch = self.draft_codes = self.codes = self.draft = self.shown = self.cut_prompt = None
        self.sequence.forget(self.index)
        self.spans.clear()

    def clear_frame(self) -> None:
        """The frame is shown; make room for the one after it."""
        self.draft_codes = self.codes = self.draft = self.shown = self.cut_prompt = self.frame = None
        self.spans.clear()

    def next_frame(self) -> None:
        """On to the frame after this one, where no scheduler does it."""
        self.clear_frame()
        self.index += 1


def finish(states: Sequence[StoryState], corrected: bool) -> None:
    """The frames that are complete, as results: bytes and lists, no tensors."""
    drafts, shown = ([getattr(state, name) for state in states] for name in ("draft", "shown"))
    if not corrected:
        shown = drafts
    for state, draft, final in zip(states, drafts, shown, strict=True):
        check_finite(state.index, draft, final)
    pictures = to_uint8(torch.stack([torch.stack(drafts), torch.stack(shown)]))
    for place, state in enumerate(states):
        assert state.draft_codes is not None, "a frame that was not drawn"
        codes = state.draft_codes if state.codes is None else state.codes
        rewrite = state.rewrites[state.index]
        calls = [state.calls[state.index]] if state.index in state.calls else []
        state.frame = Frame(
            index=state.index,
            sentence=state.request.sentences[state.index],
            refined_prompt=rewrite.text,
            cut_prompt=state.cut_prompt,
            corrected=corrected,
            draft=pictures[0][place],
            image=pictures[1][place],
            draft_codes=tuple(state.draft_codes.tolist()),
            codes=tuple(codes.tolist()),
            spans=(*calls, *state.spans),
            memory_note=rewrite.note,
            later_prompts=rewrite.later,
        )


def span(phase: Phase, start: float, end: float, origin: float) -> Span:
    """Seconds of one clock as a span since the story's beginning."""
    return Span(phase, (start - origin) * 1e3, (end - start) * 1e3)

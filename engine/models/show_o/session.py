"""Stories side by side in Show-o: the same life of a frame as in ``session.py``, another row of ids and another draw.

Show-o was trained on one prompt and one picture. No weights or code for stories were published, so what a frame sees of
the story is not in the paper and is chosen by ``layout``:

    independent     [t2i caption_k][frame_k]                                          as trained; the story is not seen
    carry-over      the same, but the frame's slots begin with the codes of frame k-1, of which a seeded share is kept:
                    the published in-painting, as trained; shapes and colours stay, but so may what should have changed
    block-causal    [t2i caption_1][frame_1][caption_2][frame_2] ... [caption_k][frame_k], a frame seeing all before it
                    and itself: out of distribution; users of the published weights report poor or white pictures

Segments (a caption, a frame) enter the KV cache one after another and never see later ones:

    texts, images   the truth: captions and codes, frame by frame
    shown           the segments from frame ``origin`` on: all in context "full", two captions and a frame between them
                    in "window", and in the other layouts the newest caption
    cache           the first ``len(starts)`` of what is shown; segment i began at ``starts[i]`` in each row

A finished frame enters the cache only when a later one is to see it, so replacing it before that costs nothing. Rows
are (branch, story). In the null branch every caption is empty and the frames stay; the empty caption that begins a row
is computed once a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ...options import DEFAULT_CARRY_OVER, DEFAULT_LAYOUT, LAYOUTS, Context, Layout, StoryOptions
from ...sampling import SamplingParams
from ..checks import check_codes, check_context, check_guided, check_kept, check_texts, places
from ..story_session import StorySession
from .maskgit import draw, keep_some
from .maskgit_pass import frame_ids
from .model import ShowOConfig
from .runner import WIDTH, ShowORunner
from .text import caption_ids


class ShowOSession(StorySession):
    """B stories in lockstep. Life of a frame: ``begin(texts)``, ``generate(...)``, then ``replace(...)`` or not."""

    def __init__(
        self,
        arm: ShowORunner,
        stories: int,
        frames: int,
        *,
        guided: bool = False,
        layout: Layout = "independent",
        steps: int | None = None,
        carry_over: float | None = None,
        context: Context = "full",
        text_tokens: int | None = None,
    ) -> None:
        """``frames`` bounds the story's length, ``text_tokens`` that of its sentences (the text field where None);
        ``guided`` keeps the null branch for guidance_scale != 1. ``steps`` (18 up to 256 codes, 50 above, where None)
        draw a frame; ``carry_over`` is the share of codes kept from the frame before (0.5 where None), in that layout;
        ``context`` counts in "block-causal" only.

        Raises ``ValueError`` for a setting out of range and for more positions than the model has.
        """
        super().__init__(stories, frames, guided)
        if layout not in LAYOUTS:
            raise ValueError(f"unknown layout {layout!r}; choose from {', '.join(LAYOUTS)}")
        check_context(context)
        self.arm, self.config, self.layout, self.context = arm, arm.config, layout, context
        self.steps = arm.default_steps if steps is None else steps
        self.carry_over = DEFAULT_CARRY_OVER if carry_over is None else carry_over
        if self.steps < 1:
            raise ValueError(f"arm_steps {steps} is too small; choose 1 or more")
        if not 0.0 <= self.carry_over < 1.0:
            raise ValueError(f"carry_over {carry_over} is out of range; choose 0 <= carry_over < 1")
        self.texts: list[list[list[int]]] = []  # [frame][row] text ids
        self.images: list[Tensor] = []  # [frame] int64 [B, N]
        self.starts: list[list[int]] = []
        self.origin = 0
        slots = self._capacity(text_tokens) + 1  # one more, on which padding may land (KVCache.put)
        self.cache = arm.model.new_cache(self.rows, -(-slots // WIDTH) * WIDTH)

    @property
    def drawn(self) -> int:
        """Number of frames that have their codes."""
        return len(self.images)

    @property
    def waiting(self) -> bool:
        """Has the last sentence no frame yet?"""
        return len(self.texts) > self.drawn

    def codes(self, frame: int) -> Tensor:
        """Current codes of a frame: int64 [B, codes_per_frame]."""
        return self.images[frame]

    @torch.no_grad()
    def begin(self, texts: Sequence[str] | None) -> None:
        """Append one sentence per story and feed what the next frame sees.

        Raises ``ValueError`` for no sentences, a wrong number of them, or more frames than the session was made for.
        """
        self.check_begin()
        if texts is None:
            raise ValueError("Show-o draws every frame from a sentence; give one per story")
        check_texts(texts, self.stories)
        self.texts.append([*(self.arm.encode(text) for text in texts), *[[]] * (self.rows - self.stories)])
        if self.layout != "block-causal" or self.context == "window":
            self.origin = max(0, self.drawn - (self.layout == "block-causal"))
            self._keep(0)
        self._catch_up()

    @torch.no_grad()
    def generate(self, params: SamplingParams, keys: Tensor) -> Tensor:
        """Draw the frame of the last sentence: int64 [B, codes_per_frame].

        ``keys`` [B, 4] from ``rng.make_keys`` with purpose TOKEN, on the model's device. ``params`` give the guidance,
        ``temperature`` (that of the confidences in the first step: codes are always drawn from the softmax itself) and
        ``forced`` codes, known from the start. Raises ``ValueError`` for guidance without a null branch, top-k and
        top-p.
        """
        assert self.waiting, "begin() comes before generate()"
        check_guided(params, self.branches)
        if params.top_k is not None or params.top_p < 1:
            values = f"top_k {params.top_k}, top_p {params.top_p}"
            raise ValueError(f"{values}: Show-o draws from all codes; choose top_k None and top_p 1")
        run = self.arm.draw_pass(self.steps, params.temperature, params.guidance_scale)
        known = self._known(params, keys)
        drawn = draw(run, known, self.cache, keys, self.steps, self.config.codebook_size)
        self.passes = self.steps
        self.images.append(drawn)
        return drawn

    def extend(self, codes: Tensor) -> None:
        """Give the frame of the last sentence its codes [B, codes_per_frame]."""
        assert self.waiting, "begin() comes before extend()"
        self.images.append(self._checked(codes))

    @torch.no_grad()
    def replace(self, frame: int, codes: Tensor) -> None:
        """Put corrected codes [B, codes_per_frame] in place of a frame's; what was computed from them is forgotten,
        and fed again if a sentence waits for its frame."""
        places(frame, codes[:, None], self.drawn)
        self.images[frame] = self._checked(codes)
        if frame >= self.origin:
            self._keep(2 * (frame - self.origin) + 1)
            if self.waiting:
                self._catch_up()

    def truncate(self, frames: int) -> None:
        """Forget all but the first ``frames`` frames with their sentences."""
        check_kept(frames, self.drawn)
        del self.texts[frames:], self.images[frames:]
        self._keep(max(0, 2 * (frames - self.origin)))

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the stories hold in it."""
        yield from self.images
        yield from self.cache.tensors()

    def known(self, params: SamplingParams, keys: Tensor, last: Tensor) -> Tensor:
        """Known codes of the frame before the first step: int64 [B, N], -1 where nothing does. ``last`` [B, N]
        are the codes of the frames before, -1 where a story has none."""
        known = torch.full_like(last, -1)
        if self.layout == "carry-over":
            known = keep_some(last, self.carry_over, keys)
        for slot, code in params.forced:
            known[:, slot] = code
        return known

    def _known(self, params: SamplingParams, keys: Tensor) -> Tensor:
        nothing = torch.full((self.stories, self.config.num_vq_tokens), -1, device=keys.device)
        return self.known(params, keys, self.images[-1] if self.images else nothing)

    def _catch_up(self) -> None:
        """Feed the shown segments that the cache lacks, up to the newest caption."""
        shown = [
            segment
            for pair in zip_longest(self.texts[self.origin :], self.images[self.origin :])
            for segment in pair
            if segment is not None
        ]
        for segment in shown[len(self.starts) :]:
            self.starts.append(list(self.cache.owned))
            if isinstance(segment, Tensor):
                self.feed_image(segment, [True] * self.stories)
            else:
                self.feed_text(segment, [len(self.starts) == 1] * self.rows)

    def feed_text(self, texts: Sequence[Sequence[int] | None], first: Sequence[bool]) -> None:
        """A caption a row enters after what the cache holds, or nothing (None); ``first`` says whether the row begins
        with it."""
        lines = [[] if t is None else caption_ids(t, self.config, at) for t, at in zip(texts, first, strict=True)]
        counts, device = [len(line) for line in lines], self.cache.lengths.device
        entered = lines[: self.stories] if all(first) else lines
        width, pad = max(map(len, entered)), self.config.marker("pad")
        ids = torch.tensor([[*line, *[pad] * (width - len(line))] for line in entered]).to(device)
        fed = self.arm.feed(ids, None if all(first) else self.cache, causal=True)
        if len(entered) < self.rows:  # the null branch begins with the same ids in every story
            fed = _with_null_rows(fed, self.arm.null_prefix(), self.stories)
        self.cache.put(*fed)
        self.cache.advance(counts)

    def feed_image(self, codes: Tensor, there: Sequence[bool]) -> None:
        """A frame a story enters; of those that are not ``there`` nothing does."""
        ids = frame_ids(codes, self.config).repeat(self.branches, 1)
        self.cache.put(*self.arm.feed(ids, self.cache, causal=False))
        self.cache.advance([self.config.block if yes else 0 for yes in there] * self.branches)

    def _keep(self, segments: int) -> None:
        """Cut the cache after the first ``segments`` of what is shown."""
        if segments < len(self.starts):
            self.cache.truncate(self.starts[segments])
            del self.starts[segments:]

    def _checked(self, codes: Tensor) -> Tensor:
        return check_codes(codes, self.stories, self.config.num_vq_tokens)

    def _capacity(self, text_tokens: int | None) -> int:
        """Slots that the cache may need; ``ValueError`` where the row would leave the model's positions."""
        before = slots_before(self.config, self.layout, self.context, self.frames, text_tokens)
        if before + self.config.block > self.config.max_position:
            said = f"layout {self.layout!r} of {held_frames(self.layout, self.context, self.frames)} frames"
            limit = f"needs {before + self.config.block} positions, the model has {self.config.max_position}"
            raise ValueError(f"{said} {limit}; choose {self._what_fits(text_tokens)}")
        return before

    def _what_fits(self, text_tokens: int | None) -> str:
        """The changes of which each alone would make the row short enough."""

        def fits(layout: Layout, context: Context, frames: int) -> bool:
            before = slots_before(self.config, layout, context, frames, text_tokens)
            return before + self.config.block <= self.config.max_position

        choices = ["fewer frames"] if fits(self.layout, self.context, 1) else []
        choices += ["context window"] if fits(self.layout, "window", self.frames) else []
        others = [
            layout for layout in get_args(Layout) if layout != self.layout and fits(layout, self.context, self.frames)
        ]
        return " or ".join([*choices, *(f"layout {layout}" for layout in others)]) or "shorter sentences"


def held_frames(layout: Layout, context: Context, frames: int) -> int:
    """Most of a story's ``frames`` frames that a row holds, the one that is drawn among them."""
    if layout != "block-causal":
        return 1
    return min(frames, 2) if context == "window" else frames


def slots_before(config: ShowOConfig, layout: Layout, context: Context, frames: int, text_tokens: int | None) -> int:
    """Slots of the longest row before a frame, of a story of ``frames`` frames and captions of that number of text ids
    (the text field where None)."""
    held = held_frames(layout, context, frames)
    caption = 2 + min(config.max_prompt, config.max_prompt if text_tokens is None else text_tokens)
    return 1 + held * caption + (held - 1) * config.block


def _with_null_rows(fed: tuple[Tensor, Tensor], null: tuple[Tensor, Tensor], stories: int) -> tuple[Tensor, Tensor]:
    """Keys and values of the stories' captions and, in the rows after them, of the empty one as often."""
    rows = [
        F.pad(value, (0, 0, 0, longest.shape[3] - value.shape[3])) for longest, value in zip(fed, null, strict=True)
    ]
    keys, values = (
        torch.cat((fed_row, row.expand(-1, stories, -1, -1, -1)), 1) for fed_row, row in zip(fed, rows, strict=True)
    )
    return keys, values


def open_session(
    runner: ShowORunner, stories: int, frames: int, options: StoryOptions, text_tokens: int | None = None
) -> ShowOSession:
    """A session for that many stories as ``options`` (resolved) say; ``text_tokens`` bounds their sentences."""
    return ShowOSession(
        runner,
        stories,
        frames,
        guided=options.sampling.guidance_scale not in (None, 1.0),
        layout=options.show_o.layout or DEFAULT_LAYOUT,
        steps=options.show_o.steps,
        carry_over=options.show_o.carry_over,
        context=options.sampling.context or "full",
        text_tokens=text_tokens,
    )

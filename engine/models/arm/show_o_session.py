"""Stories side by side in Show-o: the same life of a frame as in ``session.py``, another row of ids and another draw.

Show-o was trained on one prompt and one picture. No weights or code for stories were published, so what a frame sees of
the story is a choice of ours, the ``layout``:

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

from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor

from ...sampling import Policy
from ...stages.maskgit import frame_ids
from ...story import LAYOUTS, Context, Layout
from .arm import check_context
from .maskgit import draw, keep_some
from .show_o_arm import WIDTH, ShowOArm
from .show_o_text import caption_ids
from .windows import SEQUENTIAL

CARRY_OVER = 0.5


class ShowOSession:
    """B stories in lockstep. Life of a frame: ``begin(texts)``, ``generate(...)``, then ``replace(...)`` or not."""

    def __init__(
        self,
        arm: ShowOArm,
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
        if stories < 1 or frames < 1:
            raise ValueError(f"{stories} stories of {frames} frames; choose at least 1 of each")
        if layout not in LAYOUTS:
            raise ValueError(f"unknown layout {layout!r}; choose from {', '.join(LAYOUTS)}")
        check_context(context)
        self.arm, self.config, self.stories, self.frames = arm, arm.config, stories, frames
        self.layout, self.context, self.branches = layout, context, 2 if guided else 1
        self.steps = arm.default_steps if steps is None else steps
        self.carry_over = CARRY_OVER if carry_over is None else carry_over
        if self.steps < 1:
            raise ValueError(f"arm_steps {steps} is too small; choose 1 or more")
        if not 0.0 <= self.carry_over < 1.0:
            raise ValueError(f"carry_over {carry_over} is out of range; choose 0 <= carry_over < 1")
        self.texts: list[list[list[int]]] = []  # [frame][row] text ids
        self.images: list[Tensor] = []  # [frame] int64 [B, N]
        self.starts: list[list[int]] = []
        self.origin = 0
        self.cache = arm.model.new_cache(self.rows, -(-self._capacity(text_tokens) // WIDTH) * WIDTH)
        self.passes = 0  # that drew the last frame

    @property
    def rows(self) -> int:
        return self.stories * self.branches

    @property
    def drawn(self) -> int:
        """Number of frames that have their codes."""
        return len(self.images)

    def codes(self, frame: int) -> Tensor:
        """Codes of a frame as they stand: int64 [B, codes_per_frame]."""
        return self.images[frame]

    @torch.no_grad()
    def begin(self, texts: Sequence[str] | None) -> None:
        """Append one sentence per story and feed what the next frame sees.

        Raises ``ValueError`` for no sentences, a wrong number of them, or more frames than the session was made for.
        """
        assert len(self.texts) == self.drawn, "the last sentence has no frame yet"
        if self.drawn == self.frames:
            raise ValueError(f"frame {self.drawn + 1} exceeds the {self.frames} frames of this session")
        if texts is None:
            raise ValueError("Show-o draws every frame from a sentence; give one per story")
        if len(texts) != self.stories:
            raise ValueError(f"{len(texts)} sentences for {self.stories} stories; give one per story")
        self.texts.append([*(self.arm.encode(text) for text in texts), *[[]] * (self.rows - self.stories)])
        if self.layout != "block-causal" or self.context == "window":
            self.origin = max(0, self.drawn - (self.layout == "block-causal"))
            self._keep(0)
        self._catch_up()

    @torch.no_grad()
    def generate(
        self,
        policy: Policy,
        keys: Tensor,
        draft: Tensor | None = None,
        windows: Sequence[int] = SEQUENTIAL,
        quantum: int = 1,
    ) -> Tensor:
        """Draw the frame of the last sentence: int64 [B, codes_per_frame].

        ``keys`` [B, 4] from ``rng.make_keys`` with purpose TOKEN, on the model's device. Of ``policy`` count the
        guidance, ``temperature`` (that of the confidences in the first step: codes are always drawn from the softmax
        itself) and ``forced`` codes, known from the start. The rest is for ARMs that draw code after code. Raises
        ``ValueError`` for guidance without a null branch, top-k and top-p.
        """
        assert len(self.texts) == self.drawn + 1, "begin() comes before generate()"
        if policy.guided and self.branches == 1:
            raise ValueError(f"guidance_scale {policy.guidance_scale} needs a guided session; choose 1 or guided=True")
        if policy.top_k is not None or policy.top_p < 1:
            told = f"top_k {policy.top_k}, top_p {policy.top_p}"
            raise ValueError(f"{told}: Show-o draws from all codes; choose top_k None and top_p 1")
        run = self.arm.draw_pass(self.steps, policy.temperature, policy.guidance_scale)
        known = self._known(policy, keys)
        drawn = draw(run, known, self.cache, keys, self.steps, self.config.codebook_size)
        self.passes = self.steps
        self.images.append(drawn)
        return drawn

    def extend(self, codes: Tensor) -> None:
        """Give the frame of the last sentence its codes [B, codes_per_frame]."""
        assert len(self.texts) == self.drawn + 1, "begin() comes before extend()"
        self.images.append(self._checked(codes))

    @torch.no_grad()
    def replace(self, frame: int, codes: Tensor) -> None:
        """Put corrected codes [B, codes_per_frame] in place of a frame's; what was computed from them is forgotten,
        and fed again if a sentence waits for its frame."""
        assert 0 <= frame < self.drawn, f"frame {frame} of {self.drawn} cannot be replaced"
        self.images[frame] = self._checked(codes)
        if frame >= self.origin:
            self._keep(2 * (frame - self.origin) + 1)
            if len(self.texts) > self.drawn:
                self._catch_up()

    def truncate(self, frames: int) -> None:
        """Forget all but the first ``frames`` frames with their sentences."""
        assert 0 <= frames <= self.drawn, f"{frames} of {self.drawn} frames cannot be kept"
        del self.texts[frames:], self.images[frames:]
        self._keep(max(0, 2 * (frames - self.origin)))

    def close(self) -> None:
        """The story is over: its cache's buffers serve the next one."""
        self.cache.release()

    def _known(self, policy: Policy, keys: Tensor) -> Tensor:
        """What stands in the frame's slots before the first step: int64 [B, N], -1 where nothing does."""
        unknown = torch.full((self.stories, self.config.num_vq_tokens), -1, device=keys.device)
        if self.layout == "carry-over" and self.images:
            unknown = keep_some(self.images[-1], self.carry_over, keys)
        for slot, code in policy.forced:
            unknown[:, slot] = code
        return unknown

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
                self._feed_image(segment)
            else:
                self._feed_text(segment, first=len(self.starts) == 1)

    def _feed_text(self, texts: Sequence[Sequence[int]], first: bool) -> None:
        lines = [caption_ids(text, self.config, first) for text in texts]
        counts, device = [len(line) for line in lines], self.cache.lengths.device
        told = lines[: self.stories] if first else lines
        width, pad = max(map(len, told)), self.config.marker("pad")
        ids = torch.tensor([[*line, *[pad] * (width - len(line))] for line in told]).to(device)
        fed = self.arm.feed(ids, None if first else self.cache, causal=True)
        if len(told) < self.rows:  # the null branch begins with the same ids in every story
            fed = _beside(fed, self.arm.null_prefix(), self.stories)
        self.cache.put(*fed)
        self.cache.advance(counts)

    def _feed_image(self, codes: Tensor) -> None:
        ids = frame_ids(codes, self.config).repeat(self.branches, 1)
        self.cache.put(*self.arm.feed(ids, self.cache, causal=False))
        self.cache.advance([self.config.block] * self.rows)

    def _keep(self, segments: int) -> None:
        """Cut the cache behind the first ``segments`` of what is shown."""
        if segments < len(self.starts):
            self.cache.truncate(self.starts[segments])
            del self.starts[segments:]

    def _checked(self, codes: Tensor) -> Tensor:
        wanted = (self.stories, self.config.num_vq_tokens)
        assert tuple(codes.shape) == wanted, f"codes are {list(codes.shape)}, expected {list(wanted)}"
        return codes

    def _capacity(self, text_tokens: int | None) -> int:
        """Slots that the cache may need; ``ValueError`` where the row would leave the model's positions."""
        caption = 2 + min(self.config.max_prompt, text_tokens if text_tokens is not None else self.config.max_prompt)
        held = min(self.frames, 2) if self.context == "window" else self.frames
        held = held if self.layout == "block-causal" else 1
        before = 1 + held * caption + (held - 1) * self.config.block
        if before + self.config.block > self.config.max_position:
            said = f"layout {self.layout!r} of {held} frames needs {before + self.config.block} positions"
            limit = f"the model has {self.config.max_position}"
            raise ValueError(f"{said}, {limit}; choose fewer frames, context window, or another layout")
        return before


def _beside(fed: tuple[Tensor, Tensor], null: tuple[Tensor, Tensor], stories: int) -> tuple[Tensor, Tensor]:
    """Keys and values of the stories' captions and, in rows behind them, of the empty one as often."""
    rows = [F.pad(value, (0, 0, 0, told.shape[3] - value.shape[3])) for told, value in zip(fed, null, strict=True)]
    keys, values = (
        torch.cat((told, row.expand(-1, stories, -1, -1, -1)), 1) for told, row in zip(fed, rows, strict=True)
    )
    return keys, values

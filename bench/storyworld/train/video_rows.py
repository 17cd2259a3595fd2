"""Sequences for teaching the ARM to go on with a clip: what it sees of it, as rows of the engine's stream.

Frame k of a clip is drawn after its sentence, the clip's first frame and the two frames before it; the first frame
keeps the look where 30 frames have passed since, the last two say which way things move:

    frame 0        bos text vision [f0] eof
    frame 1        bos text vision f0 eof [f1] eof
    frame 2        bos text vision f0 eof f1 eof [f2] eof
    frame k >= 3   bos text vision f0 eof f(k-2) eof f(k-1) eof [fk] eof

No text or marker is between the frames, as in an LWM video. The engine's `ClipSession` feeds just this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....engine.models.lwm.clip_session import seen
from .arm_data import CODE_LOSS, NO_LOSS, Batch, Layout, Row, Stories, collate
from .arm_text import BOS, VISION

ROW_FRAMES = 4  # of a row in training
RECENT = 2  # of the last frames that a frame sees, besides the first
LOST_TEXT = 0.03  # the null branch of guidance
FROM_START = 0.25  # share of the rows that begin at the clip's first frames


@dataclass(frozen=True)
class ClipBatch:
    """Rows of equal numbers of frames; ``codes`` [R, F, n] are the places of the frames' codes in a row of ``ids``."""

    batch: Batch
    codes: Tensor


def clip_row(text: Sequence[int], frames: np.ndarray, layout: Layout, learned: Sequence[bool]) -> Row:
    """Frames [F, n] after one sentence; the codes of frame i are learned if ``learned[i]``."""
    head = np.array([BOS, *text, VISION])
    ended = np.pad(frames.astype(np.int64), ((0, 0), (0, 1)), constant_values=layout.eof)
    loss = np.full(ended.shape, NO_LOSS, np.int64)
    loss[np.array(learned), :-1] = CODE_LOSS
    kinds = np.repeat((False, True), (len(head), ended.size))
    none = np.full(len(head), NO_LOSS, np.int64)
    return Row(np.concatenate([head, ended.ravel()]), kinds, np.concatenate([none, loss.ravel()]))


def frame_row(text: Sequence[int], clip: np.ndarray, layout: Layout, frame: int) -> Row:
    """Frame ``frame`` of ``clip`` [N, n], learned, after what it sees."""
    before = seen(frame, RECENT)
    return clip_row(text, clip[[*before, frame]], layout, [False] * len(before) + [True])


def sample_clips(clips: Stories, layout: Layout, rng: np.random.Generator, count: int) -> list[Row]:
    """``count`` rows of four frames: the first, and three that follow one another, of which the last two are learned.

    A quarter of them are the clip's frames 0 to 3, all learned.
    """
    return [_draw(clips, layout, rng) for _ in range(count)]


def _draw(clips: Stories, layout: Layout, rng: np.random.Generator) -> Row:
    index = int(rng.integers(clips.first, clips.end))
    clip = clips.codes[int(rng.integers(len(clips.codes)))][index]
    text = clips.texts[int(rng.integers(len(clips.texts)))][index][0]
    begins = bool(rng.random() < FROM_START)
    start = 1 if begins else int(rng.integers(1, len(clip) - 2))
    shown = clip[[0, start, start + 1, start + 2]]
    return clip_row([] if rng.random() < LOST_TEXT else text, shown, layout, [begins, begins, True, True])


def batches(rows: Sequence[Row], tokens: int, frames: int, codes_per_frame: int) -> list[ClipBatch]:
    """Rows of ``frames`` frames each as padded batches of about ``tokens`` ids, rows of similar length together."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    longest = max(len(row.ids) for row in rows)
    each = max(1, tokens // longest)
    made = []
    for start in range(0, len(ordered), each):
        part = ordered[start : start + each]
        first = torch.tensor([int(row.is_vision.argmax()) for row in part])[:, None, None]
        steps = (codes_per_frame + 1) * torch.arange(frames)[:, None] + torch.arange(codes_per_frame)
        made.append(ClipBatch(collate(part), first + steps))
    return made


def disturbed(clips: ClipBatch, logits: Tensor, generator: torch.Generator) -> Batch:
    """The batch as the ARM will see it: a share of the codes in view replaced by what it would have drawn itself.

    At inference the frames in view are its own, faults and all; a model that saw only clean ones drifts away within
    seconds, and one that learns from noised ones finds back (GameNGen, arXiv 2408.14837, section 3.2.1). ``logits``
    [R, F, n, V] are its own for the codes, given the true ones before each. The share is each frame's own: none in a
    third of them, else up to a half, in the first frame a third of that; the last frame stays whole.
    """
    places, ids = clips.codes, clips.batch.ids
    rows, frames, _ = places.shape
    share = (torch.rand(rows, frames, 1, generator=generator) - 1 / 3).clamp_min(0) * 0.75
    share[:, 0] /= 3
    share[:, -1] = 0
    drawn = torch.multinomial(logits.flatten(0, 2).softmax(-1), 1, generator=generator).view(places.shape)
    true = ids.gather(1, places.flatten(1)).view(places.shape)
    chosen = torch.where(torch.rand(places.shape, generator=generator) < share, drawn, true)
    return Batch(ids.scatter(1, places.flatten(1), chosen.flatten(1)), clips.batch.is_vision, clips.batch.loss)

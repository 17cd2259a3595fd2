"""VBench's two measures of a clip's motion: is it dynamic (by RAFT's flow), and is it smooth (by AMT-S)?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..items import Clip
from .preprocess import plain_resize, to_float

RATE, SHARE, MOVED, OF_16 = 8, 0.05, 6, 4  # frames a second; largest flows; pixels of 256; pairs of 16 frames
LEAST = 128  # pixels a side: below, the coarsest correlations of both networks have no width
Run = Callable[[Tensor, Tensor], Tensor]  # two frames [1, 3, H, W] in 0 to 255 -> the flow, or the frame between


def dynamic_row(clip: Clip, flow: Run) -> NDArray[np.float32]:
    """[4]: 1 if the clip is dynamic, else 0; pairs that move, pairs, frames that were taken.

    A pair moves where the mean of the largest 5 % of flows exceeds 6 pixels of 256; the clip is dynamic where 4 of 16
    do (rounded to even), counted by frames. A clip with a rate gives 8 frames a second.
    """
    step = 1 if clip.fps is None else max(1, round(clip.fps / RATE))
    kept = range(0, clip.length, step)
    moving, before = 0, enlarged(to_float(clip.frame(0)))
    for number in kept[1:]:
        after = enlarged(to_float(clip.frame(number)))
        lengths = flow(before, after)[0].norm(dim=0).flatten()
        largest = lengths.topk(max(1, int(SHARE * lengths.numel()))).values
        moving += int(float(largest.mean()) > MOVED * min(before.shape[-2:]) / 256)
        before = after
    needed = round(OF_16 * len(kept) / 16)
    return np.array([float(moving >= needed), moving, len(kept) - 1, len(kept)], dtype=np.float32)


def smooth_row(clip: Clip, middle: Run) -> NDArray[np.float32]:
    """[2]: (255 - mean difference) / 255 of the odd frames from what is computed between the even ones; how many."""
    differences, before = [], enlarged(to_float(clip.frame(0)))
    for number in range(1, clip.length - 1, 2):
        true, after = (enlarged(to_float(clip.frame(number + step))) for step in (0, 1))
        made = middle(before, after).cpu().to(torch.uint8).double()  # cut off, not rounded
        differences.append(float((made - true.to(torch.uint8)).abs().mean()))
        before = after  # read once: a movie is decoded in order
    return np.array([(255 - np.mean(differences)) / 255, len(differences)], dtype=np.float32)


def enlarged(frame: Tensor) -> Tensor:
    """A frame with a side below 128 pixels, so much larger; others as they are."""
    height, width = frame.shape[-2:]
    times = LEAST / min(height, width)
    return frame if times <= 1 else plain_resize(frame, round(height * times), round(width * times), "bilinear")


def padded(run: Run, multiple: int, keep: bool) -> Run:
    """``run`` for frames of any size: the border is repeated on all sides up to a ``multiple``, and cut off again
    unless it is to be kept."""

    def runs(first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[-2:]
        rows, columns = -height % multiple, -width % multiple
        left, top = columns // 2, rows // 2
        around = (left, columns - left, top, rows - top)
        found = run(*(F.pad(frame, around, mode="replicate") for frame in (first, second)))
        return found if keep else found[..., top : top + height, left : left + width]

    return runs

"""Clips: their rate, smoothness and borders; resizes of pictures; the time that is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acdc.bench.quality.items import Clip
from acdc.bench.quality.networks.clips import dynamic_row, padded, smooth_row
from acdc.bench.quality.networks.inception_features import classic, clean
from acdc.bench.quality.progress import Rate
from tests.helpers.quality_folders import noise


def moving(step: float, count: int = 16, fps: float | None = None) -> Clip:
    frame = np.zeros((128, 128, 3), np.uint8)
    return Clip(lambda number: np.full_like(frame, round(number * step)), count, fps)


@pytest.mark.parametrize(
    ("fps", "frames", "moves", "dynamic", "looked"),
    [
        (None, 16, 4, 1, 16),  # four of sixteen
        (None, 16, 3, 0, 16),
        (24.0, 32, 2, 0, 11),  # every third: three of eleven
        (24.0, 32, 3, 1, 11),
        (8.0, 32, 7, 0, 32),
        (8.0, 32, 8, 1, 32),
        (None, 2, 0, 1, 2),  # round(.5) is 0: two frames are always dynamic, so that three are asked for
    ],
)
def test_the_rate_decides_what_is_dynamic(fps, frames, moves, dynamic, looked):
    pairs = iter([7.0 if number < moves else 1.0 for number in range(frames)])

    def flow(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        made = torch.zeros(1, 2, 64, 64)
        made[0, 0, :4] = 2 * next(pairs)  # of 64 rows these are more than the largest 5 %
        return made

    row = dynamic_row(moving(1, frames, fps), flow)
    assert row.tolist() == [dynamic, moves, looked - 1, looked]


def test_frames_of_a_clip_are_read_once_and_in_order():
    """A movie is decoded forwards; a step back would decode it again."""
    read, clip = [], moving(3, 8)
    watched = clip._replace(frame=lambda number: read.append(number) or clip.frame(number))
    smooth_row(watched, lambda first, second: first)
    assert read == list(range(7))
    read.clear()
    dynamic_row(watched, lambda first, second: torch.zeros(1, 2, 16, 16))
    assert read == list(range(8))


def test_a_clip_that_moves_evenly_is_smooth():
    def middle(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first + second) / 2

    assert smooth_row(moving(3, 7), middle).tolist() == [1, 3]
    jerky = smooth_row(moving(3, 7), lambda first, second: first)
    assert jerky.tolist() == pytest.approx([(255 - 3) / 255, 3])


@pytest.mark.parametrize(("height", "width"), [(128, 160), (129, 130), (135, 143)])
def test_borders_are_repeated_and_cut_off(height, width):
    seen = []

    def run(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        seen.append(first.shape[-2:])
        return first

    frame = torch.rand(1, 3, height, width)
    assert torch.equal(padded(run, 16, keep=False)(frame, frame), frame)
    assert all(side % 16 == 0 for side in seen[0])
    assert padded(run, 8, keep=True)(frame, frame).shape[-2] == -(-height // 8) * 8


def test_the_two_resizes_differ_and_keep_flat_pictures():
    flat = np.full((40, 50, 3), 77, np.uint8)
    for resize in (classic, clean):
        assert resize(flat).shape == (1, 3, 299, 299)
        assert torch.allclose(resize(flat), torch.full((1, 3, 299, 299), 77.0), atol=1e-3)
    fine = noise(0, 1, 600, 600)[0]
    assert classic(fine).std() > 1.5 * clean(fine).std()  # one takes every second pixel, the other means


def test_time_left():
    clock = iter([0.0, 2.0, 4.0])
    rate = Rate(10, 2, lambda: next(clock))
    assert rate.text == "2/10, ? left"
    rate.done += 4
    assert rate.text == "6/10, 0:00:04 left"

"""Noise of a frame: Gumbel for every code of one of LWM's frames, normals for the latents of SD 1.5 at 512 x 512."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.philox import draw, draw_reference
from . import Case

VOCAB, LATENTS = 8192, 4 * 64 * 64
FLOPS = {"gumbel": 80, "normal": 60}  # in float64 a value, about: two logarithms, or half of one and of an angle


def cases(device: str) -> Iterator[Case]:
    """float32 values; the tolerance is a rounding, which two float64 logarithms may tip once in 2^28 draws."""
    for stories, positions, count, kind in (
        (1, 1, VOCAB, "gumbel"),
        (1, 256, VOCAB, "gumbel"),
        (1, 1, LATENTS, "normal"),
        (16, 1, LATENTS, "normal"),
    ):
        keys = torch.tensor([(seed, 0, 1, 0) for seed in range(stories)], device=device)
        inputs = (keys, torch.arange(positions, device=device), count, kind)
        values = stories * positions * count
        name = f"{kind}, {stories} x {positions} x {count}"
        yield Case(name, draw, draw_reference, inputs, 4 * values, FLOPS[kind] * values, (2**-23, 0))

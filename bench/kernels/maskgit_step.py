"""A step of Show-o at 256 and at 512 pixels: 256 or 1,024 slots of 8,192 codes, two branches, the first step."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.maskgit_step import maskgit_schedule, maskgit_step, maskgit_step_reference
from . import Case, moved

VOCAB = 8192
FLOPS = 50  # an id, about: a quarter of ten rounds of Philox, two logarithms, and the softmax


def cases(device: str) -> Iterator[Case]:
    """The draws must be equal; a code that is masked in one and not in the other would show as well, at a near tie."""
    for stories, slots, steps, guidance, dtype in (
        (1, 256, 18, 1.75, torch.float32),
        (1, 256, 18, 1.75, torch.bfloat16),
        (1, 1024, 50, 5.0, torch.bfloat16),
        (8, 256, 18, 1.75, torch.bfloat16),
    ):
        generator = torch.Generator().manual_seed(0)
        cond, uncond = (torch.randn(2, stories, slots, VOCAB, generator=generator) * 3).to(device, dtype)
        codes = torch.full((stories, slots), -1, device=device)
        keys, score_keys = (
            torch.tensor([(seed, 0, 1, purpose) for seed in range(stories)], device=device) for purpose in (0, 3)
        )
        step = torch.zeros(1, dtype=torch.int64, device=device)
        schedule = maskgit_schedule(slots, steps).to(device)
        num_bytes = moved(cond, uncond) + 3 * moved(codes)
        inputs = (cond, uncond, codes, keys, score_keys, schedule, step, guidance)
        name = f"{stories} x {slots} slots, {str(dtype).removeprefix('torch.')}"
        flops = FLOPS * cond.numel()
        yield Case(name, maskgit_step, maskgit_step_reference, inputs, num_bytes, flops, (0, 0))

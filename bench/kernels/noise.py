"""The latents of SD 1.5 at 256, 512 and 768 pixels, brought to the noise level where a correction starts."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.noise import add_noise, add_noise_reference
from . import Case, moved

FLOPS = 60  # a number, about: half of a logarithm, a root, a cosine and a sine, in float64


def cases(device: str) -> Iterator[Case]:
    """bfloat16, and float32 with the level on the device; a normal may be rounded otherwise once in 2^28 draws."""
    for stories, side, dtype, tolerance in (
        (1, 32, torch.bfloat16, 2**-7),
        (1, 64, torch.float32, 2**-22),
        (16, 64, torch.bfloat16, 2**-7),
        (16, 96, torch.float32, 2**-22),
    ):
        latents = torch.randn(stories, 4, side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        keys = torch.tensor([(seed, 0, 1, 1) for seed in range(stories)], device=device)
        alpha = torch.tensor([0.3], dtype=torch.float64, device=device) if dtype == torch.float32 else 0.3
        name = f"{stories} x 4 x {side} x {side}, {str(dtype).removeprefix('torch.')}"
        flops = FLOPS * latents.numel()
        inputs = (latents, keys, alpha)
        yield Case(name, add_noise, add_noise_reference, inputs, 2 * moved(latents), flops, (tolerance, 1e-6))

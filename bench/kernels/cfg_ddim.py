"""A step of SD 1.5 after its UNet at 256, 512 and 768 pixels: guidance and DDIM, with and without a mask."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.cfg_ddim import cfg_ddim, cfg_ddim_reference
from . import Case, moved


def cases(device: str) -> Iterator[Case]:
    """Both branches channels-last in one batch, as a UNet leaves them. In float32 the eager reference multiplies by
    the reciprocal of a number where the kernel divides."""
    for stories, side, dtype, masked, tolerance in (
        (1, 32, torch.bfloat16, False, 2**-7),
        (1, 64, torch.float32, False, 2**-20),
        (16, 64, torch.bfloat16, False, 2**-7),
        (16, 64, torch.bfloat16, True, 2**-7),
        (16, 96, torch.bfloat16, False, 2**-7),
    ):
        generator = torch.Generator().manual_seed(0)
        shape = (stories, 4, side, side)
        latents, original, noise = torch.randn(3, *shape, generator=generator).to(device, dtype)
        both = torch.randn(2 * stories, *shape[1:], generator=generator).to(device, dtype)
        uncond, cond = both.contiguous(memory_format=torch.channels_last).chunk(2)
        mask = torch.ones(stories, 1, side, side, device=device, dtype=dtype)
        inpainting = (mask, original, noise) if masked else None
        num_bytes = 2 * moved(latents) + moved(cond, uncond) + (moved(mask, original, noise) if masked else 0)
        inputs = (latents, cond, uncond, (0.3, 0.35), 7.5, "epsilon", None, inpainting)
        name = f"{stories} x 4 x {side} x {side}, {str(dtype).removeprefix('torch.')}" + ", masked" * masked
        yield Case(name, cfg_ddim, cfg_ddim_reference, inputs, num_bytes, 15 * latents.numel(), (tolerance, 1e-5))

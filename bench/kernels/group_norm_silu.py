"""The norms of SD 1.5's UNet (two branches, 256 px and 512 px) and of LWM's picture decoder (256 px)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.group_norm_silu import group_norm_silu, group_norm_silu_reference
from . import Case, moved

GROUPS = 32
UNET = ((320, 32), (960, 32), (640, 16), (1920, 16), (1280, 8), (2560, 8), (1280, 4), (320, 64), (960, 64))
DECODER = ((768, 16), (512, 32), (256, 128), (128, 256))


def cases(device: str) -> Iterator[Case]:
    """bfloat16 with SiLU; the UNet's channels-last with the time's shift, the decoder's without, both ways."""
    for channels, side in UNET:
        yield _case(device, 2, channels, side, torch.channels_last, shifted=True)
    for channels, side in DECODER:
        for layout in (torch.channels_last, torch.contiguous_format):
            yield _case(device, 1, channels, side, layout, shifted=False)


def _case(device: str, batch: int, channels: int, side: int, layout: torch.memory_format, shifted: bool) -> Case:
    x = torch.randn(batch, channels, side, side).to(device, torch.bfloat16).contiguous(memory_format=layout)
    weight, bias, shift = torch.randn(3, channels).to(device, torch.bfloat16)
    inputs = (x, GROUPS, weight, bias, 1e-5, shift[None] if shifted else None)
    num_bytes = 2 * moved(x) + moved(weight, bias) + (moved(shift) if shifted else 0)
    name = f"{batch} x {channels} x {side} x {side}, {str(layout).removeprefix('torch.')}"
    # Three roundings of numbers of order 1, each of which may fall on the neighbour.
    return Case(name, group_norm_silu, group_norm_silu_reference, inputs, num_bytes, 0, (2**-6, 2**-5))

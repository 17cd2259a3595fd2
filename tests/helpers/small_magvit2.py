"""A small random MAGVIT-v2, and pictures for it."""

from __future__ import annotations

import torch
from torch import Tensor

from acdc.engine.models.tokenizers.magvit2 import MAGVIT2
from acdc.engine.models.tokenizers.magvit2_config import MAGVIT2Config
from tests.helpers.published import randomise

SMALL = MAGVIT2Config(
    resolution=16, base_channels=4, channel_multipliers=(1, 2, 3), encoder_blocks=(2, 1, 3), decoder_blocks=(1, 3, 2),
    z_channels=5, num_groups=2,
)  # fmt: skip


def small(dtype: torch.dtype = torch.float32) -> MAGVIT2:
    model = MAGVIT2(SMALL)
    randomise(model)
    return model.to(dtype).requires_grad_(False)


MODEL = small()


def pixels(count: int = 2, dtype: torch.dtype = torch.float32, size: int = 16) -> Tensor:
    drawn = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (drawn * 2 - 1).to(dtype)

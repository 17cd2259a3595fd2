"""Counter-based random numbers: the only source of randomness in the engine.

A draw is a pure function of *what it is for*, never of when, where or with whom it is computed. Philox4x32-10
(:mod:`acdc.kernels.philox`) maps a 128-bit counter and a 64-bit key to 128 random bits. Here

    key     = (seed mod 2^32, seed div 2^32)             the story
    counter = (block, position, chunk, purpose)          block b holds values 4b .. 4b+3 of that position

Worked example: value 6 of position 9 of chunk 2, purpose TOKEN, story seed 5 is output word 2 (6 = 4*1 + 2) of
``philox(counter=(1, 9, 2, 0), key=(5, 0))``.

Bits are integers and equal on every device. Gumbel noise and normals are computed from them in float64 and
rounded to float32, because float32 ``log`` and ``cos`` differ between libraries.
"""

from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor

from ...kernels.philox import MASK, gumbel, normal, philox, random_bits, uniform

__all__ = ["Purpose", "gumbel", "make_keys", "normal", "philox", "random_bits", "uniform"]


class Purpose(IntEnum):
    """Purpose of a draw; part of the counter, so that no two uses share bits."""

    TOKEN = 0
    NOISE = 1
    POSTERIOR = 2
    CONFIDENCE = 3  # of a MaskGIT step
    CARRY = 4  # which codes of the frame before are kept
    STEP = 5  # of a sampler's step
    MASKED = 6  # the posterior of a masked picture
    STAGE_ONE = 7  # NOISE of a cascade's first model
    STAGE_ONE_STEP = 8  # STEP of it
    UPSCALED = 9  # the small picture that an upscaler reads
    REFERENCE = 10  # a picture that is drawn from noise alone
    BLOCK = 11  # a block of ACDiT, in the place of the frame


def make_keys(
    seeds: Sequence[int], chunk: int | Sequence[int], purpose: Purpose, device: torch.device | str = "cpu"
) -> Tensor:
    """One row per story: int64 [B, 4] = (seed low, seed high, chunk, purpose).

    ``seeds`` are in [0, 2^64), ``chunk`` is the frame's index, one for all or one a story. Raises ``ValueError`` for a
    seed out of range.
    """
    for seed in seeds:
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed {seed} is out of range; choose an integer from 0 to {2**64 - 1}")
    chunks = [chunk] * len(seeds) if isinstance(chunk, int) else chunk
    rows = [(seed & MASK, seed >> 32, at, int(purpose)) for seed, at in zip(seeds, chunks, strict=True)]
    return torch.tensor(rows, dtype=torch.int64, device=device)

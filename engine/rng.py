"""Counter-based random numbers: the only source of randomness in the engine.

A draw is a pure function of *what it is for*, never of when, where or beside whom it is computed.
Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps a 128-bit
counter and a 64-bit key to 128 random bits. Here

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

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


class Purpose(IntEnum):
    """What a draw is for; part of the counter, so that no two uses share bits."""

    TOKEN = 0
    NOISE = 1
    POSTERIOR = 2


def make_keys(seeds: Sequence[int], chunk: int, purpose: Purpose, device: torch.device | str = "cpu") -> Tensor:
    """One row per story: int64 [B, 4] = (seed low, seed high, chunk, purpose).

    ``seeds`` are in [0, 2^64), ``chunk`` is the frame's index. Raises ``ValueError`` for a seed out of range.
    """
    for seed in seeds:
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed {seed} is out of range; choose an integer from 0 to {2**64 - 1}")
    rows = [(seed & MASK, seed >> 32, chunk, int(purpose)) for seed in seeds]
    return torch.tensor(rows, dtype=torch.int64, device=device)


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four counter words and two key words -> four words, all int64 holding 32-bit values."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # The product wraps modulo 2^64 and the shift is arithmetic; masking leaves exactly the high word.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = ((p1 >> 32) & MASK) ^ c1 ^ k0, p1 & MASK, ((p0 >> 32) & MASK) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def random_bits(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    """``count`` 32-bit integers for each position: int64 [B, W, count].

    ``keys`` [B, 4] from :func:`make_keys`; ``positions`` int64 [W], or [B, W] where stories stand at different ones.
    Ask for many positions at once: the cost is about a hundred small operations however many there are.
    """
    blocks = torch.arange((count + 3) // 4, device=keys.device)
    position = positions.expand(keys.shape[0], -1) if positions.dim() == 1 else positions
    shape = (*position.shape, blocks.shape[0])
    seed_low, seed_high, chunk, purpose = (column[:, None, None].expand(shape) for column in keys.unbind(1))
    counter = (blocks.expand(shape), position[:, :, None].expand(shape), chunk, purpose)
    words = philox(counter, (seed_low, seed_high))
    return torch.stack(words, dim=-1).flatten(2)[..., :count]


def uniform(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    """float64 [B, W, count], strictly inside (0, 1): (bits + 1/2) / 2^32."""
    return (random_bits(keys, positions, count).double() + 0.5) * 2.0**-32


def gumbel(keys: Tensor, positions: Tensor, count: int) -> Tensor:
    """Standard Gumbel noise -log(-log u), float32 [B, W, count]; argmax(logits + noise) samples softmax(logits)."""
    return (-torch.log(-torch.log(uniform(keys, positions, count)))).float()


def normal(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normals, float32 [B, *shape], by Box-Muller on consecutive pairs at position 0."""
    size = torch.Size(shape).numel()
    zero = torch.zeros(1, dtype=torch.int64, device=keys.device)
    first, second = uniform(keys, zero, size + size % 2).unflatten(-1, (-1, 2)).unbind(-1)
    radius, angle = torch.sqrt(-2.0 * torch.log(first)), 2.0 * torch.pi * second
    pairs = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
    return pairs.flatten(1)[:, :size].float().reshape(-1, *shape)

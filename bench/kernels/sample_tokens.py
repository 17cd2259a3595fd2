"""The logits of LWM-7B (8,448, of which 8,192 are codes; two branches) and of a vocabulary of 65,536, to tokens."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.sample_tokens import Sampling, sample_tokens, sample_tokens_reference
from . import Case, moved

FLOPS = 40  # an id, about: a quarter of ten rounds of Philox, and two logarithms


def cases(device: str) -> Iterator[Case]:
    """bfloat16 logits. The tokens must be equal: temperature 1, and p = 0.9 has no sum within rounding."""
    plain, cut = Sampling(5.0, 1.0, None, 1.0, (0, 8192)), Sampling(5.0, 1.0, 1000, 0.9, (0, 8192))
    for name, stories, width, vocab, sampling in (
        ("one code", 1, 1, 8448, plain),
        ("one code, top-k and top-p", 1, 1, 8448, cut),
        ("16 codes", 1, 16, 8448, plain),
        ("16 codes of 16 stories", 16, 16, 8448, plain),
        ("16 codes, 65,536 ids, top-k and top-p", 1, 16, 65536, cut._replace(allowed=None)),
    ):
        generator = torch.Generator().manual_seed(0)
        cond, uncond = torch.randn(2, stories, width, vocab, generator=generator).to(device, torch.bfloat16)
        keys = torch.tensor([(seed, 0, 1, 0) for seed in range(stories)], device=device)
        starts, forced = torch.full((stories,), 100, device=device), torch.full((256,), -1, device=device)
        inputs = (cond, uncond, keys, starts, forced, sampling)
        first, end = sampling.allowed or (0, vocab)
        read = moved(cond, uncond) * (end - first) // vocab
        flops = FLOPS * stories * width * (end - first)
        yield Case(name, sample_tokens, sample_tokens_reference, inputs, read, flops, (0, 0))

"""A frame of LWM: 256 codes, windows of one to 64 and one or sixteen stories."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...kernels.accept_tokens import accept_tokens, accept_tokens_reference
from . import Case, moved

CODES = 256


def cases(device: str) -> Iterator[Case]:
    """Half of the window guessed right."""
    for stories, width in ((1, 1), (1, 64), (16, 16)):
        codes = torch.arange(stories * (CODES + width), device=device).view(stories, -1)
        accepted = torch.full((stories,), 100, device=device)
        computed = codes[:, 100 : 100 + width] + (torch.arange(width, device=device) > width // 2)
        num_bytes = 2 * moved(codes, accepted) + moved(computed)
        inputs = (codes, accepted, computed, CODES)
        yield Case(f"{stories} x {width}", accept_tokens, accept_tokens_reference, inputs, num_bytes, 0, (0, 0))

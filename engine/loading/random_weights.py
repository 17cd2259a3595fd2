"""Full-size systems without their checkpoints: weights of noise, text ids by hash (``--random-weights``).

Time does not depend on the values, so latency can be measured before 13 GB are downloaded; pictures are noise.
The values are made where they will be used, by a generator of that device, so another device has other ones.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

SEED = 0
WORD_PIECE = 4  # characters a token: about what a BPE of 32 to 50 thousand pieces takes of English
M = TypeVar("M", bound=nn.Module)


def fill(module: M, device: torch.device | str, dtype: torch.dtype) -> M:
    """Give a module made under :func:`acdc.engine.utils.weights.skeleton` its values; in evaluation mode, without
    gradients.

    Matrices and tables are normal with variance 1 / fan-in, so that activations keep their size; weights of norms are
    one and biases zero. No float32 copy is made on the way: 7 billion numbers in bfloat16 take 14 GB and no more.
    """
    generator = torch.Generator(device).manual_seed(SEED)
    state = {}
    for name, value in module.state_dict().items():
        kept = dtype if value.is_floating_point() else value.dtype
        made = torch.zeros(value.shape, dtype=kept, device=device)
        if value.ndim >= 2 and value.is_floating_point():
            made.normal_(0, value[0].numel() ** -0.5, generator=generator)
        elif name.endswith("weight"):
            made.fill_(1)
        state[name] = made
    module.load_state_dict(state, strict=True, assign=True)
    return module.to(device).eval().requires_grad_(False)


def hashed_encoder(vocab_size: int, reserved: int = 0) -> Callable[[str], list[int]]:
    """Text -> ids from ``reserved`` to ``vocab_size`` - 1, one for each piece of up to four letters; no file needed."""

    def encode(text: str) -> list[int]:
        pieces = re.findall(rf"\w{{1,{WORD_PIECE}}}|[^\w\s]", text)
        return [reserved + zlib.crc32(piece.lower().encode()) % (vocab_size - reserved) for piece in pieces]

    return encode


class HashedTokenizer:
    """In the place of CLIP's tokenizer: start, ids by hash, end, padding with the end."""

    def __init__(self, vocab_size: int = 49408, model_max_length: int = 77) -> None:
        self.vocab_size, self.model_max_length = vocab_size, model_max_length
        self.bos_id, self.eos_id = vocab_size - 2, vocab_size - 1
        self.pad_id = self.eos_id
        self._encode = hashed_encoder(vocab_size - 2)

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, list[str | None]]:
        """(ids int64 [B, model_max_length], None for each prompt: cut text is not reported)."""
        room = self.model_max_length - 2
        rows = [[self.bos_id, *self._encode(prompt)[:room], self.eos_id] for prompt in prompts]
        padded = [row + [self.pad_id] * (self.model_max_length - len(row)) for row in rows]
        return torch.tensor(padded), [None] * len(rows)

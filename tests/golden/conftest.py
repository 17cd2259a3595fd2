"""Stand-in weights for golden vectors: a tensor is a pure function of its published name and shape.

The stream is torch's CPU generator seeded with the CRC-32 of the name: float64 standard normals, rounded to float32,
then scaled by the tensor's kind. The vectors come from the public reference modules run on these weights.
"""

import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

Fill = Callable[[str, tuple[int, ...]], Tensor]


def normals(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.empty(shape, dtype=torch.float64).normal_(generator=generator).float()


def offset_and_scale(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    *_, parent, last = ["", *re.split(r"[./]", name)]
    if last == "bias" or last.endswith("_bias"):
        return 0.0, 0.02
    if re.search(r"norm|^ln_|_ln$", parent, re.IGNORECASE) and last in ("weight", "scale", "kernel"):
        return 1.0, 0.1
    if parent in ("embed_tokens", "wte", "vte", "embedding_table"):
        return 0.0, 1.0
    if parent in ("text_token_embedder", "image_token_embedder"):  # also the matrix of the logits
        return 0.0, 0.3
    if last == "modality_embedding":
        return 0.0, 0.1
    if len(shape) == 1:
        return 0.0, 0.5
    fan_in = shape[-2] if last == "kernel" else math.prod(shape[1:])  # flax [.., in, out], torch [out, in, ..]
    return 0.0, 1.0 / math.sqrt(fan_in)


def make_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    offset, scale = offset_and_scale(name, shape)
    return normals(name, shape).mul_(scale).add_(offset)


@pytest.fixture(scope="session")
def fill() -> Fill:
    """(published name, shape) -> float32 tensor."""
    return make_weight


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict[str, Tensor]]:
    """Name of a subject -> its golden tensors."""
    return lambda name: load_file(Path(__file__).parent / f"{name}.safetensors")

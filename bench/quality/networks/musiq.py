"""MUSIQ (arXiv 2108.05997): the quality of a picture of any size, from patches of three scales.

With weights trained on SPAQ the score is 0 to 100. Details are those under which VBench's published scores were made,
which differ from the authors' in the resize and in the deviation of standardised weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .preprocess import plain_resize

PATCH, GRID, WIDTH, HEADS, DEPTH, MLP = 32, 10, 384, 6, 14, 1152
SCALES = (224, 384)  # longer sides; the picture itself is the third scale
MASKED = -1000.0
LAYER_EPS, ROOT_EPS, BLOCK_EPS, DEVIATION_EPS = 1e-6, 1e-6, 1e-4, 1e-5


class Tokens(NamedTuple):
    """Patches ``[T, 3, 32, 32]``, places in the grid of hashes ``[T]``, scales ``[T]``, and which are real ``[T]``."""

    patches: Tensor
    places: Tensor
    scales: Tensor
    real: Tensor


def same_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around so that the result has ceil(side / stride) places; the odd one on the right and at the bottom."""
    height, width = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def tokens(picture: Tensor) -> Tokens:
    """Tokens of a picture [1, 3, H, W] in -1 to 1."""
    height, width = picture.shape[-2:]
    parts = []
    for number, longer in enumerate(SCALES):
        ratio = longer / max(height, width)
        small = plain_resize(picture, round(height * ratio), round(width * ratio), "bicubic")
        parts.append(_patches(small, number, math.ceil(longer / PATCH) ** 2))
    parts.append(_patches(picture, len(SCALES), 0))
    return Tokens(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _patches(picture: Tensor, scale: int, length: int) -> Tokens:
    """Row by row; filled up to ``length`` by patches of zeros that are not real."""
    padded = same_padding(picture, PATCH, PATCH)
    rows, columns = (side // PATCH for side in padded.shape[-2:])
    cut = F.unfold(padded, PATCH, stride=PATCH)[0].T.reshape(rows * columns, 3, PATCH, PATCH)
    place_y = torch.arange(rows) * GRID // rows
    place_x = torch.arange(columns) * GRID // columns
    places = (place_y[:, None] * GRID + place_x[None]).flatten()
    more = max(0, length - len(places))
    filled = F.pad(cut, (0, 0, 0, 0, 0, 0, 0, more))
    scales = torch.cat([torch.full((len(places),), scale), torch.zeros(more, dtype=torch.long)])
    real = torch.cat([torch.ones(len(places), dtype=torch.bool), torch.zeros(more, dtype=torch.bool)])
    return Tokens(filled, F.pad(places, (0, more)), scales, real)


class StandardConv(nn.Conv2d):
    """A convolution without bias whose weights have mean 0 and deviation 1 for each output, padded as by TensorFlow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]."""
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + DEVIATION_EPS)
        return F.conv2d(same_padding(x, self.kernel_size[0], self.stride[0]), weight, stride=self.stride)


class Bottleneck(nn.Module):
    """A residual block, 64 -> 256 channels."""

    def __init__(self, channels: int = 64, out: int = 256) -> None:
        super().__init__()
        self.conv1, self.gn1 = StandardConv(channels, channels, 1), nn.GroupNorm(32, channels, BLOCK_EPS)
        self.conv2, self.gn2 = StandardConv(channels, channels, 3), nn.GroupNorm(32, channels, BLOCK_EPS)
        self.conv3, self.gn3 = StandardConv(channels, out, 1), nn.GroupNorm(32, out, BLOCK_EPS)
        self.conv_proj, self.gn_proj = StandardConv(channels, out, 1), nn.GroupNorm(32, out, BLOCK_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 64, H, W] -> [N, 256, H, W]."""
        y = F.relu(self.gn1(self.conv1(x)))
        y = self.gn3(self.conv3(F.relu(self.gn2(self.conv2(y)))))
        return F.relu(y + self.gn_proj(self.conv_proj(x)))


class Attention(nn.Module):
    """Self-attention in which a pair with a masked end has the logit -1000."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        """[T, 384], bool [T, T] -> [T, 384]."""
        q, k, v = (part(x).reshape(len(x), HEADS, -1).transpose(0, 1) for part in (self.query, self.key, self.value))
        logits = (q @ k.transpose(1, 2) / math.sqrt(WIDTH // HEADS)).masked_fill(~pairs, MASKED)
        return torch.as_tensor(self.out((logits.softmax(-1) @ v).transpose(0, 1).reshape(len(x), WIDTH)))


class MLPBlock(nn.Module):
    """Two layers with GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, MLP), nn.Linear(MLP, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """[T, 384] -> [T, 384]."""
        return torch.as_tensor(self.fc2(F.gelu(self.fc1(x))))


class EncoderBlock(nn.Module):
    """Attention and MLP, each after its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, LAYER_EPS), nn.LayerNorm(WIDTH, LAYER_EPS)
        self.attention, self.mlp = Attention(), MLPBlock()

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        """[T, 384], bool [T, T] -> [T, 384]."""
        x = x + self.attention(self.norm1(x), pairs)
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """Embeddings of place and scale, a token for the whole, blocks, a last norm."""

    def __init__(self) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.posembed_input = nn.ParameterDict({"position_emb": torch.zeros(1, GRID * GRID, WIDTH)})
        self.scaleembed_input = nn.ParameterDict({"scale_emb": torch.zeros(len(SCALES) + 1, WIDTH)})
        self.transformer = nn.ModuleDict({f"encoderblock_{n}": EncoderBlock() for n in range(DEPTH)})
        self.encoder_norm = nn.LayerNorm(WIDTH, LAYER_EPS)

    def forward(self, x: Tensor, cut: Tokens) -> Tensor:
        """[T, 384] -> [384], the token of the whole."""
        places, scales = self.posembed_input["position_emb"][0], self.scaleembed_input["scale_emb"]
        x = torch.cat([self.cls[0], x + places[cut.places] + scales[cut.scales]])
        real = F.pad(cut.real, (1, 0), value=True)
        pairs = real[:, None] & real[None]
        for block in self.transformer.values():
            x = block(x, pairs)
        return torch.as_tensor(self.encoder_norm(x)[0])


class MUSIQ(nn.Module):
    """A picture's score; names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_root, self.gn_root = StandardConv(3, 64, 7, 2), nn.GroupNorm(32, 64, ROOT_EPS)
        self.block1 = Bottleneck()
        self.embedding = nn.Linear(256 * 64, WIDTH)
        self.transformer_encoder = Encoder()
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """[1, 3, H, W] in 0 to 1 -> a scalar."""
        cut = tokens(picture.cpu() * 2 - 1)
        cut = Tokens(*(part.to(picture.device) for part in cut))
        x = F.relu(self.gn_root(self.conv_root(cut.patches)))
        x = self.block1(F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2))
        x = self.embedding(x.permute(0, 2, 3, 1).flatten(1))
        return torch.as_tensor(self.head(self.transformer_encoder(x, cut))[0])

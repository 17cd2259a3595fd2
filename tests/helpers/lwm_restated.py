"""LWM's transformer and VQGAN once more, from the facts about them: plain functions of the published trees.

Shares nothing with the engine: rotation by complex numbers, attention written out, kernels as they are published.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

DECODER = "transformer/h/scan_decoder"
Tree = Mapping[str, Tensor]


def transformer(tree: Tree, ids: list[int], vision: list[bool], heads: int, theta: float, eps: float) -> Tensor:
    """One stream -> hidden [T, D] after the final norm."""
    table = {True: tree["transformer/vte/embedding"], False: tree["transformer/wte/embedding"]}
    x = torch.stack([table[kind][i] for i, kind in zip(ids, vision, strict=True)])
    for layer in range(len(tree[f"{DECODER}/ffn_norm/kernel"])):
        part = {key.removeprefix(DECODER + "/"): value[layer] for key, value in tree.items() if DECODER in key}
        x = x + attention(part, rms(x, part["attention_norm/kernel"], eps), heads, theta)
        h = rms(x, part["ffn_norm/kernel"], eps)
        gate, up = h @ part["feed_forward/w1/kernel"], h @ part["feed_forward/w3/kernel"]
        x = x + (gate * torch.sigmoid(gate) * up) @ part["feed_forward/w2/kernel"]
    return rms(x, tree["transformer/ln_f/kernel"], eps)


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight


def attention(part: Tree, h: Tensor, heads: int, theta: float) -> Tensor:
    length, width = h.shape
    size = width // heads
    q, k, v = ((h @ part[f"attention/{name}/kernel"]).view(length, heads, size) for name in ("wq", "wk", "wv"))
    turns = torch.polar(
        torch.ones(length, size // 2, dtype=torch.float64),
        torch.arange(length, dtype=torch.float64)[:, None] * theta ** (-torch.arange(0, size, 2).double() / size),
    )
    q, k = rotated(q, turns), rotated(k, turns)
    scores = torch.einsum("qhd,khd->hqk", q, k) / size**0.5
    future = torch.ones(length, length).triu(1).bool()
    weights = scores.masked_fill(future, -torch.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, v).reshape(length, width) @ part["attention/wo/kernel"]


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Neighbours (2i, 2i + 1) are one complex number."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns[:, None]).flatten(-2).to(x.dtype)


Arrays = Mapping[str, np.ndarray]


class Codec:
    """The VQGAN over [1, C, H, W]; ``groups`` of the norms."""

    def __init__(self, arrays: Arrays, groups: int, levels: int, blocks: int) -> None:
        self.tree = {key: torch.from_numpy(value.copy()) for key, value in arrays.items()}
        self.groups, self.levels, self.blocks = groups, levels, blocks

    def conv(self, x: Tensor, key: str, stride: int = 1) -> Tensor:
        kernel = self.tree[f"{key}/kernel"]
        padding = kernel.shape[0] // 2 if stride == 1 else 0
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), self.tree[f"{key}/bias"], stride, padding)

    def norm(self, x: Tensor, key: str) -> Tensor:
        """Group norm and SiLU."""
        h = F.group_norm(x, self.groups, self.tree[f"{key}/scale"], self.tree[f"{key}/bias"], 1e-6)
        return h * torch.sigmoid(h)

    def resnet(self, x: Tensor, key: str) -> Tensor:
        h = self.conv(self.norm(x, f"{key}/GroupNorm_0"), f"{key}/Conv_0")
        h = self.conv(self.norm(h, f"{key}/GroupNorm_1"), f"{key}/Conv_1")
        return h + (self.conv(x, f"{key}/Conv_2") if f"{key}/Conv_2/kernel" in self.tree else x)

    def latents(self, pixels: Tensor) -> Tensor:
        h = self.conv(pixels, "encoder/Conv_0")
        for level in range(self.levels):
            for block in range(self.blocks):
                h = self.resnet(h, f"encoder/DownsamplingBlock_{level}/ResnetBlock_{block}")
            if level < self.levels - 1:
                h = self.conv(F.pad(h, (0, 1, 0, 1)), f"encoder/DownsamplingBlock_{level}/Downsample_0/Conv_0", 2)
        for block in range(2):
            h = self.resnet(h, f"encoder/MidBlock_0/ResnetBlock_{block}")
        return self.conv(self.conv(self.norm(h, "encoder/GroupNorm_0"), "encoder/Conv_1"), "quant_conv")

    def pixels(self, codes: Tensor, side: int) -> Tensor:
        vectors = self.tree["quantize/embeddings"][codes].view(1, side, side, -1).permute(0, 3, 1, 2)
        h = self.conv(self.conv(vectors, "post_quant_conv"), "decoder/Conv_0")
        for block in range(2):
            h = self.resnet(h, f"decoder/MidBlock_0/ResnetBlock_{block}")
        for level in range(self.levels):
            for block in range(self.blocks + 1):
                h = self.resnet(h, f"decoder/UpsamplingBlock_{level}/ResnetBlock_{block}")
            if level < self.levels - 1:
                doubled = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
                h = self.conv(doubled, f"decoder/UpsamplingBlock_{level}/Upsample_0/Conv_0")
        return self.conv(self.norm(h, "decoder/GroupNorm_0"), "decoder/Conv_1").clamp(-1, 1)

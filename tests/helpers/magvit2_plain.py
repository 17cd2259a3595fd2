"""MAGVIT-v2 restated plainly from the published facts and names, on a dictionary of weights. Imports no engine."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def conv(x: Tensor, state: State, name: str, padding: int = 1, stride: int = 1) -> Tensor:
    return F.conv2d(x, state[name + ".weight"], state[name + ".bias"], stride=stride, padding=padding)


def group_norm(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    b, c, h, w = x.shape
    split = x.reshape(b, groups, -1)
    mean, variance = split.mean(-1, keepdim=True), split.var(-1, unbiased=False, keepdim=True)
    normed = ((split - mean) / (variance + 1e-6).sqrt()).reshape(b, c, h, w)
    return normed * state[name + ".weight"][:, None, None] + state[name + ".bias"][:, None, None]


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def block(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    h = conv(swish(group_norm(x, state, f"{name}.norm1", groups)), state, f"{name}.conv1")
    h = conv(swish(group_norm(h, state, f"{name}.norm2", groups)), state, f"{name}.conv2")
    shortcut = f"{name}.nin_shortcut"
    return h + (conv(x, state, shortcut, padding=0) if f"{shortcut}.weight" in state else x)


def middle(x: Tensor, state: State, name: str, groups: int) -> Tensor:
    x = block(x, state, f"{name}.block_1", groups)
    h = group_norm(x, state, f"{name}.attn_1.norm", groups)
    q, k, v = (conv(h, state, f"{name}.attn_1.{part}", padding=0).flatten(2) for part in "qkv")  # [B, C, n]
    weights = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(-1)  # [B, query, key]
    h = (v @ weights.transpose(1, 2)).reshape(x.shape)
    x = x + conv(h, state, f"{name}.attn_1.proj_out", padding=0)
    return block(x, state, f"{name}.block_2", groups)


def encode(pixels: Tensor, state: State, blocks: tuple[int, ...], groups: int) -> Tensor:
    """[B, 3, H, W] -> vectors [B, z, h, w]."""
    h = conv(pixels, state, "encoder.conv_in")
    for level, count in enumerate(blocks):
        for number in range(count):
            h = block(h, state, f"encoder.down.{level}.block.{number}", groups)
        if level < len(blocks) - 1:
            padded = torch.zeros(*h.shape[:2], h.shape[2] + 1, h.shape[3] + 1, dtype=h.dtype)
            padded[:, :, :-1, :-1] = h
            h = conv(padded, state, f"encoder.down.{level}.downsample.conv", padding=0, stride=2)
    h = swish(group_norm(middle(h, state, "encoder.mid", groups), state, "encoder.norm_out", groups))
    return conv(conv(h, state, "encoder.conv_out"), state, "encoder.quant_conv", padding=0)


def decode(vectors: Tensor, state: State, blocks: tuple[int, ...], groups: int) -> Tensor:
    """[B, z, h, w] -> pixels [B, 3, H, W]."""
    h = conv(conv(vectors, state, "decoder.post_quant_conv", padding=0), state, "decoder.conv_in")
    h = middle(h, state, "decoder.mid", groups)
    for level in reversed(range(len(blocks))):
        for number in range(blocks[level]):
            h = block(h, state, f"decoder.up.{level}.block.{number}", groups)
        if level > 0:
            h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            h = conv(h, state, f"decoder.up.{level}.upsample.conv")
    return conv(swish(group_norm(h, state, "decoder.norm_out", groups)), state, "decoder.conv_out")


def code(vector: list[float]) -> int:
    """The first channel is the most significant bit."""
    return int("".join("1" if value > 0 else "0" for value in vector), 2)

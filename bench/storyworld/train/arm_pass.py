"""LWM's forward pass written for training on one CPU core: the numbers of ``LWM.forward``, in half the time.

ATen's flash attention is slow backwards for short bf16 rows, and separate small operations cost more than the
matrix products. So: projections that share an input are one product, attention goes by blocks of queries over the
keys they may see, and the norm and the rotation have their own backward. On a GPU plain ``LWM.forward`` is better.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....engine.models.layers.norms import RMSNorm
from ....engine.models.lwm.model import LWM, Attention, Block, FeedForward

BLOCK = 128  # queries of one attention block


class _Rotate(torch.autograd.Function):
    """Interleaved rotary embedding as a complex product; its backward turns the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, turn: Tensor) -> Tensor:
        ctx.save_for_backward(turn)
        return _Rotate.apply_turn(x, turn)

    @staticmethod
    def apply_turn(x: Tensor, turn: Tensor) -> Tensor:
        wide = x.to(turn.real.dtype, copy=True).contiguous()
        torch.view_as_complex(wide.unflatten(-1, (-1, 2))).mul_(turn)
        return wide.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Rotate.apply_turn(grad, ctx.saved_tensors[0].conj()), None


class _Norm(torch.autograd.Function):
    """RMSNorm of the wide residual stream into the compute dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.rsqrt(length.square() / x.shape[-1] + eps)
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, scale = ctx.saved_tensors
        unit = x * scale
        grad = grad.to(x.dtype)
        toward = (unit * grad).flatten(0, -2)
        grad_weight = toward.sum(0)
        share = (toward @ weight).reshape(scale.shape) / x.shape[-1]
        return (grad * weight).sub_(unit.mul_(share)).mul_(scale), grad_weight, None, None


def fast_hidden(model: LWM, ids: Tensor, is_vision: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The same as ``model(ids, is_vision)``, differentiable: [R, T] -> [R, T, D] in ``dtype``.

    Fastest where T is a multiple of 32. The residual stream keeps the weights' dtype.
    """
    text, vision = ids.masked_fill(is_vision, 0), ids.masked_fill(~is_vision, 0)
    x = torch.where(is_vision[..., None], model.vte(vision), model.wte(text))
    length = ids.shape[1]
    cos, sin = model.rope.cos[:length, ::2], model.rope.sin[:length, 1::2]
    turn = torch.complex(cos, sin)[None, :, None]  # [1, T, 1, head_dim / 2]
    bias = torch.full((length, length), -torch.inf, dtype=dtype).triu(1)
    for block in model.blocks:
        assert isinstance(block, Block)
        x = x + _attend(block.attention, _norm(block.attention_norm, x, dtype), turn, bias)
        x = x + _feed(block.feed_forward, _norm(block.ffn_norm, x, dtype))
    return _norm(model.ln_f, x, dtype)


def _norm(norm: RMSNorm, x: Tensor, dtype: torch.dtype) -> Tensor:
    return _Norm.apply(x, norm.weight, norm.eps, dtype)


def _attend(attention: Attention, x: Tensor, turn: Tensor, bias: Tensor) -> Tensor:
    rows, length, hidden = x.shape
    weight = torch.cat((attention.wq.weight, attention.wk.weight, attention.wv.weight)).to(x.dtype)
    qk, v = F.linear(x, weight).split((2 * hidden, hidden), -1)
    qk = _Rotate.apply(qk.unflatten(-1, (2 * attention.heads, -1)), turn)
    q, k = qk.transpose(1, 2).split(attention.heads, 1)  # [R, H, T, head_dim]
    q, k = q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)
    v = v.unflatten(-1, (attention.heads, -1)).transpose(1, 2).flatten(0, 1)
    out = torch.cat([_block(q, k, v, bias, start) for start in range(0, length, BLOCK)], 1)
    out = out.unflatten(0, (rows, attention.heads)).transpose(1, 2).flatten(2)
    return F.linear(out, attention.wo.weight.to(x.dtype))


def _block(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, start: int) -> Tensor:
    end = min(start + BLOCK, q.shape[1])
    mask = bias[start:end, :end].expand(q.shape[0], -1, -1)
    scores = torch.baddbmm(mask, q[:, start:end], k[:, :, :end], alpha=q.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(-1), v[:, :end])


def _feed(feed: FeedForward, x: Tensor) -> Tensor:
    gate, up = F.linear(x, torch.cat((feed.w1.weight, feed.w3.weight)).to(x.dtype)).chunk(2, -1)
    return F.linear(F.silu(gate) * up, feed.w2.weight.to(x.dtype))

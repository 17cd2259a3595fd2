"""LWM's forward pass written for training on one CPU core: the numbers of ``LWM.forward``, in half the time.

ATen's flash attention is slow backwards for short bf16 rows, and separate small operations cost more than the
matrix products. So: projections that share an input are one product, attention goes by blocks of queries over the
keys they may see, and the norm and the rotation have their own backward. On a GPU plain ``LWM.forward`` is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....engine.models.layers.llama import Attention, Block, FeedForward
from ....engine.models.layers.norms import RMSNorm
from ....engine.models.lwm.model import LWM

BLOCK = 128  # queries of one attention block


class _Attention(torch.autograd.Function):
    """Rotary embedding and causal attention of a joint projection: [R, T, 3 D] -> [R, T, D].

    Each block's gradients are added in place into those of all keys and values; autograd's slices would add a zero
    tensor of full size for every block.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, turns: Tensor, heads: int) -> Tensor:
        q, k, v = parts = _split_heads(qkv, turns, heads)
        rows, length = qkv.shape[:2]
        later = torch.full((BLOCK, BLOCK), -torch.inf, dtype=qkv.dtype).triu(1)
        out, probs = torch.empty_like(v), []
        for start, end in _blocks(length):
            scores = torch.bmm(q[:, start:end], k[:, :end].mT)
            scores[:, :, start:] += later[: end - start, : end - start]
            probs.append(scores.softmax(-1))
            out[:, start:end] = torch.bmm(probs[-1], v[:, :end])
        ctx.save_for_backward(turns, *parts, *probs)
        return out.view(rows, heads, length, -1).transpose(1, 2).flatten(2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        turns, q, k, v, *probs = ctx.saved_tensors
        rows, length, hidden = grad.shape
        heads = hidden // q.shape[-1]
        grad = grad.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)
        grads = q.new_zeros(3, *q.shape)
        dq, dk, dv = grads
        for (start, end), p in zip(_blocks(length), probs, strict=True):
            g = grad[:, start:end]
            dv[:, :end].baddbmm_(p.mT, g)
            back = torch.bmm(g, v[:, :end].mT)
            back = torch._softmax_backward_data(back, p, -1, back.dtype)
            torch.bmm(back, k[:, :end], out=dq[:, start:end])
            dk[:, :end].baddbmm_(back.mT, q[:, start:end])
        grads = grads.unflatten(1, (rows, heads))  # [3, R, H, T, head_dim]
        result = grad.new_empty(rows, length, 3, heads, hidden // heads)
        target = result.permute(2, 0, 3, 1, 4)
        target[:2].copy_(_turned(grads[:2], turns.conj()))
        target[2].copy_(grads[2])
        return result.flatten(2), None, None


def _split_heads(qkv: Tensor, turns: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys turned, the former scaled too, and values: each [R * H, T, head_dim]."""
    parts = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = _turned(parts[:2], turns).to(qkv.dtype).flatten(1, 2)
    return q, k, parts[2].flatten(0, 1)


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    """Interleaved rotary embedding as a complex product: [2, R, H, T, head_dim] in the precision of ``turns``."""
    wide = torch.empty(x.shape, dtype=turns.real.dtype).copy_(x)
    torch.view_as_complex(wide.unflatten(-1, (-1, 2))).mul_(turns)
    return wide


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


class _Gate(torch.autograd.Function):
    """SiLU of the first half times the second: [..., 2 F] -> [..., F]; both gradients go into one tensor."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        result = torch.empty_like(both)
        of_gate, of_up = result.chunk(2, -1)
        torch.mul(F.silu(gate), grad, out=of_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=of_gate)
        return result


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
    turn = torch.complex(cos, sin)  # [T, head_dim / 2]
    turns = torch.stack((turn * (2 * turn.shape[-1]) ** -0.5, turn))[:, None, None]  # scaled for queries
    for block in model.blocks:
        assert isinstance(block, Block)
        x = x + _attend(block.attention, _norm(block.attention_norm, x, dtype), turns)
        x = x + _feed(block.feed_forward, _norm(block.ffn_norm, x, dtype))
    return _norm(model.ln_f, x, dtype)


def _norm(norm: RMSNorm, x: Tensor, dtype: torch.dtype) -> Tensor:
    return _Norm.apply(x, norm.weight, norm.eps, dtype)


def _attend(attention: Attention, x: Tensor, turns: Tensor) -> Tensor:
    weight = torch.cat((attention.wq.weight, attention.wk.weight, attention.wv.weight)).to(x.dtype)
    out = _Attention.apply(F.linear(x, weight), turns, attention.heads)
    return F.linear(out, attention.wo.weight.to(x.dtype))


def _feed(feed: FeedForward, x: Tensor) -> Tensor:
    both = F.linear(x, torch.cat((feed.w1.weight, feed.w3.weight)).to(x.dtype))
    return F.linear(_Gate.apply(both), feed.w2.weight.to(x.dtype))

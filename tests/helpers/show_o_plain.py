"""Show-o restated plainly: whole padded rows, an explicit mask, no cache, no guidance shortcut. Imports no engine.

Written from the published facts: layout of a row, who sees whom, a layer's arithmetic, the sampling loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Sizes(NamedTuple):
    layers: int
    heads: int
    text_vocab: int  # 50295
    codebook: int  # 8192
    slots: int  # 256
    field: int  # 129
    end: int  # 50256

    @property
    def pad(self) -> int:
        return self.text_vocab

    @property
    def soi(self) -> int:
        return self.text_vocab + 1

    @property
    def eoi(self) -> int:
        return self.text_vocab + 2

    @property
    def t2i(self) -> int:
        return self.text_vocab + 5

    @property
    def code_offset(self) -> int:
        return self.text_vocab + 10

    @property
    def masked(self) -> int:
        return self.code_offset + self.codebook


def padded_row(prompt: list[int], codes: list[int], s: Sizes) -> list[int]:
    """[pads, t2i, end, prompt, end][soi, codes, eoi]; a code of -1 is a mask."""
    ids = prompt if prompt and prompt[0] == s.end else [s.end, *prompt]
    text = [s.t2i, *ids, s.end]
    cut = text if len(text) <= s.field else [*text[: s.field - 1], s.end]
    text = [s.pad] * (s.field - len(cut)) + cut
    return [*text, s.soi, *(s.masked if code < 0 else code + s.code_offset for code in codes), s.eoi]


def row_mask(row: list[int], s: Sizes) -> Tensor:
    """bool [L, L], True = visible: a frame sees all but pads, text sees text before it, pads see pads."""
    live, order = torch.tensor(row) != s.pad, torch.arange(len(row))
    before = order <= order[:, None]
    text = before & (live | ~live[:, None])  # pads see the pads before them
    return torch.where(order[:, None] >= row.index(s.soi), live, text)


def story_mask(row: list[int], s: Sizes) -> Tensor:
    """Without pads: causal, and whole within each frame from soi to eoi."""
    length = len(row)
    allowed = torch.ones(length, length).tril().bool()
    start = None
    for index, token in enumerate(row):
        if token == s.soi:
            start = index
        if token == s.eoi:
            allowed[start : index + 1, start : index + 1] = True
    return allowed


def logits_of(state: Mapping[str, Tensor], rows: Tensor, allowed: Tensor, s: Sizes) -> Tensor:
    """``rows`` [B, L], ``allowed`` [B, L, L] -> logits over the whole vocabulary [B, L, V]."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[name + ".weight"].T + state[name + ".bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred**2).mean(-1, keepdim=True)
        return centred / (variance + 1e-5).sqrt() * state[name + ".weight"] + state[name + ".bias"]

    def gelu(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    x = state["showo.model.embed_tokens.weight"][rows]
    for layer in range(s.layers):
        at = f"showo.model.layers.{layer}"
        h = norm(x, f"{at}.input_layernorm")
        heads = []
        size = h.shape[-1] // s.heads
        q, k, v = (linear(h, f"{at}.self_attn.{part}_proj").split(size, -1) for part in "qkv")
        for head in range(s.heads):
            turned = [turn(norm(x_[head], f"{at}.self_attn.{n}_layernorm")) for x_, n in ((q, "q"), (k, "k"))]
            scores = turned[0] @ turned[1].transpose(1, 2) / math.sqrt(size)
            heads.append(scores.masked_fill(~allowed, -math.inf).softmax(-1) @ v[head])
        attended = linear(torch.cat(heads, -1), f"{at}.self_attn.dense")
        x = x + attended + linear(gelu(linear(h, f"{at}.mlp.fc1")), f"{at}.mlp.fc2")
    return linear(norm(x, "showo.model.final_layernorm"), "showo.lm_head")


def turn(x: Tensor) -> Tensor:
    """Rotary embedding of the first half of a head's numbers [B, L, D]; pair i is (i, i + D/4)."""
    pairs = x.shape[-1] // 4
    angle = torch.arange(x.shape[1])[:, None].double() * 10000.0 ** (-torch.arange(pairs).double() / pairs)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)


Draws = Callable[[int], tuple[Tensor, Tensor]]  # step from 0 -> Gumbel noise [N, codebook] and [N]


def sample(
    run: Callable[[list[int]], tuple[Tensor, Tensor | None]], codes: list[int], draws: Draws, steps: int, g: float
) -> tuple[list[int], list[int]]:
    """One story. ``run(codes)`` gives the code logits [N, codebook] of both branches (None unguided) -> the codes of
    the last draw, and how many were unknown after each step."""
    total, tau, counts, drawn = len(codes), 1.0, [], list(codes)
    for step in range(1, steps + 1):
        cond, uncond = run(codes)
        logits = cond.double() if uncond is None else (1 + g) * cond.double() - g * uncond.double()
        noise, score_noise = draws(step - 1)
        tau *= 1 - step / steps
        scores, drawn = [], []
        for slot in range(total):
            known = codes[slot] >= 0
            code = codes[slot] if known else int((logits[slot] + noise[slot]).argmax())
            share = float(logits[slot].softmax(-1)[code])
            confidence = torch.finfo(torch.float32).max if known else share
            scores.append(math.log(max(confidence, 1e-20)) + tau * float(score_noise[slot]))
            drawn.append(code)
        unknown = sum(code < 0 for code in codes)
        planned = math.floor(total * float(torch.cos(torch.tensor(step / steps) * math.pi * 0.5)))
        cut = sorted(scores)[max(1, min(unknown - 1, planned))]
        codes = [-1 if score < cut else code for score, code in zip(scores, drawn, strict=True)]
        counts.append(sum(code < 0 for code in codes))
    return drawn, counts

"""Unified-IO 2 restated plainly on tensors under their published names: no cache, no batch, one row, float64.

From the facts about the model alone; ``tests/golden`` shows that this and the engine agree with the published modules
on text, and tests of the family that they agree with each other on pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = Mapping[str, Tensor]
MEAN, DEVIATION = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def rms(x: Tensor, scale: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * scale


def angles_1d(places: Sequence[float], head_dim: int) -> Tensor:
    rows = [[p * 10000 ** (-2 * i / head_dim) for i in range(head_dim // 2)] for p in places]
    return torch.tensor(rows, dtype=torch.float64)


def angles_2d(places: Sequence[tuple[float, float]], head_dim: int) -> Tensor:
    half = head_dim // 2
    frequencies = [10000 ** (-2 * i / half) for i in range(half // 2)]
    rows = [[r * f for f in frequencies] + [c * f for f in frequencies] for r, c in places]
    return torch.tensor(rows, dtype=torch.float64)


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """[T, H, d] by [T, d / 2], pairs side by side."""
    a, b, cos, sin = x[..., ::2], x[..., 1::2], angles.cos()[:, None], angles.sin()[:, None]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """[T, H, d], [S, H, d] twice -> [T, H d]."""
    scores = torch.einsum("thd,shd->hts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores + torch.where(mask, 0.0, -1e10)
    return torch.einsum("hts,shd->thd", scores.softmax(-1), v).flatten(1)


def attention(
    t: Tensors, key: str, x: Tensor, y: Tensor, heads: int, at: Tensor, of: Tensor, mask: Tensor | None = None
) -> Tensor:
    """``x`` at angles ``at`` attends to ``y`` at angles ``of``."""
    q, k, v = (
        (s @ t[f"{key}.{name}.weight"].T).unflatten(-1, (heads, -1))
        for name, s in (("query", x), ("key", y), ("value", y))
    )
    q, k = rms(q, t[f"{key}.query_norm.scale"]), rms(k, t[f"{key}.key_norm.scale"])
    return attended(rotated(q, at), rotated(k, of), v, mask) @ t[f"{key}.out.weight"].T


def mlp(t: Tensors, key: str, x: Tensor) -> Tensor:
    gate, value = (x @ t[f"{key}.{name}.weight"].T for name in ("wi_0", "wi_1"))
    return (F.silu(gate) * value) @ t[f"{key}.wo.weight"].T


def vit(t: Tensors, config: Mapping[str, Any], picture: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """uint8 [3, H, W] -> vectors of side^2 patches after the last layer and after the second."""
    key, cfg = "input_embedders.image.image_encoder.vision_transformer.", config["image_vit_cfg"]
    patch, size = cfg["patch_size"], side * cfg["patch_size"]
    x = picture.double() / 255
    if x.shape[-1] != size:
        x = F.interpolate(x[None], (size, size), mode="bilinear", align_corners=False, antialias=True)[0]
    mean, deviation = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, DEVIATION))
    x = (x - mean) / deviation
    patches = [
        x[:, patch * r : patch * (r + 1), patch * c : patch * (c + 1)].permute(1, 2, 0).flatten()
        for r in range(side)
        for c in range(side)
    ]
    learned = t[key + "positional_embedding"]
    had = math.isqrt(len(learned) - 1)
    grid = learned[1:].unflatten(0, (had, had)).permute(2, 0, 1)[None]
    if had != side:
        grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False, antialias=True)
    grid = grid[0].permute(1, 2, 0).flatten(0, 1)
    x = torch.stack(patches) @ t[key + "embedding.weight"].T
    x = torch.cat(((t[key + "class_embedding"] + learned[0])[None], x + grid))

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], t[key + name + ".weight"], t[key + name + ".bias"], 1e-5)

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ t[key + name + ".weight"].T + t[key + name + ".bias"]

    x, after = norm("pre_ln", x), []
    for layer in range(cfg["num_layers"]):
        block = f"transformer.resblocks.{layer}."
        h = norm(block + "ln_1", x)
        q, k, v = (
            (h @ t[f"{key}{block}attn.{n}_in_proj_weight"].T + t[f"{key}{block}attn.{n}_in_proj_bias"])
            .unflatten(-1, (cfg["num_heads"], -1))
            for n in ("query", "key", "value")
        )  # fmt: skip
        x = x + linear(block + "attn.out_proj", attended(q, k, v))
        x = x + linear(block + "mlp.fc2", F.gelu(linear(block + "mlp.fc1", norm(block + "ln_2", x))))
        after.append(x[1:])
    return after[-1], after[1]


def history(t: Tensors, config: Mapping[str, Any], picture: Tensor, side: int) -> Tensor:
    """uint8 [3, H, W] -> [latents, D]."""
    key, cfg = "input_embedders.image_history.", config["image_history_cfg"]
    context = vit(t, config, picture, side)[0] @ t[key + "pre_projection.weight"].T
    own = key + "resampler.perceiver."
    latents, context = t[own + "latents"], rms(context, t[own + "context_norm.scale"])
    for layer in range(cfg["num_layers"]):
        block = f"{own}layers_{layer}."
        x = rms(latents, t[block + "pre_xattention_norm.scale"])
        q, k, v = (
            (s @ t[f"{block}xattention.{n}.weight"].T).unflatten(-1, (cfg["num_heads"], -1))
            for n, s in (("query", x), ("key", context), ("value", context))
        )
        if cfg["xattn_scaled_cosine"]:
            q, k = (s / s.norm(dim=-1, keepdim=True) for s in (q, k))
            q = q * t[block + "xattention.logit_scale"].clamp(max=math.log(100)).exp()[:, None]
            out = attended(q, k, v, scale=1.0)
        else:
            norms = (t[block + f"xattention.{n}_norm.scale"] for n in ("query", "key"))
            q, k = (rms(s, scale) for s, scale in zip((q, k), norms, strict=True))
            out = attended(q, k, v)
        latents = latents + out @ t[block + "xattention.out.weight"].T
        x = rms(latents, t[block + "pre_mlp_norm.scale"])
        latents = latents + F.gelu(x @ t[block + "mlp.wi.weight"].T) @ t[block + "mlp.wo.weight"].T
    latents = rms(latents, t[own + "perceiver_norm.scale"])
    return latents @ t[key + "post_projection.weight"].T + t[key + "modality_embedding"]


def logits(
    t: Tensors, config: Mapping[str, Any], ids: Sequence[int], pictures: Sequence[Tensor], codes: Sequence[int]
) -> Tensor:
    """Logits [len(codes) + 1, image ids] of a frame's codes after the given ones, from text ids and the frames that it
    sees, oldest first: the last one in full."""
    t5 = config["t5_config"]
    heads, d, patch = t5["num_heads"], t5["head_dim"], config["image_vit_cfg"]["patch_size"]
    x = [t["text_token_embedder.weight"][list(ids)] + t["input_embedders.text.modality_embedding"]]
    angles = [angles_1d(range(len(ids)), d)]
    grid = t5["default_image_size"][0] // 8
    if pictures:
        side = t5["default_image_vit_size"][0] // patch
        both = torch.cat(vit(t, config, pictures[-1], side), -1)
        entry = "input_embedders.image."
        x.append(both @ t[entry + "projection.weight"].T + t[entry + "modality_embedding"])
        scale = grid / side
        angles.append(angles_2d([(r * scale, c * scale) for r in range(side) for c in range(side)], d))
    for frame, picture in enumerate(pictures[:-1]):
        x.append(history(t, config, picture, t5["default_image_history_vit_size"][0] // patch))
        angles.append(angles_2d([(frame, c) for c in range(len(x[-1]))], d))
    states, of = torch.cat(x), torch.cat(angles)
    for layer in range(t5["num_encoder_layers"]):
        key = f"encoder.layers_{layer}."
        h = rms(states, t[key + "pre_attention_norm.scale"])
        states = states + attention(t, key + "attention", h, h, heads, of, of)
        states = states + mlp(t, key + "mlp", rms(states, t[key + "pre_mlp_norm.scale"]))
    states = rms(states, t["encoder.encoder_norm.scale"])
    fed = [0, *(code + 2 for code in codes)]
    y = t["image_token_embedder.weight"][fed] + t["target_embedders.image.modality_embedding"]
    at = angles_2d([(n // grid, n % grid) for n in range(len(fed))], d)
    causal = torch.ones(len(fed), len(fed), dtype=torch.bool).tril()
    for layer in range(t5["num_decoder_layers"]):
        key = f"decoder.layers_{layer}."
        h = rms(y, t[key + "pre_self_attention_norm.scale"])
        y = y + attention(t, key + "self_attention", h, h, heads, at, at, causal)
        h = rms(y, t[key + "pre_cross_attention_norm.scale"])
        y = y + attention(t, key + "encoder_decoder_attention", h, states, heads, at, of)
        y = y + mlp(t, key + "mlp", rms(y, t[key + "pre_mlp_norm.scale"]))
    y = rms(y, t["decoder.decoder_norm.scale"])
    return y @ t["image_token_embedder.weight"].T / math.sqrt(t5["emb_dim"])


def conv(t: Tensors, key: str, x: Tensor, **how: Any) -> Tensor:
    return F.conv2d(x, t[key + ".weight"], t[key + ".bias"], **how)


def group_norm(t: Tensors, key: str, x: Tensor) -> Tensor:
    return F.group_norm(x, 32, t[key + ".weight"], t[key + ".bias"], 1e-6)


def res_block(t: Tensors, key: str, x: Tensor) -> Tensor:
    h = conv(t, key + ".conv1", F.silu(group_norm(t, key + ".norm1", x)), padding=1)
    h = conv(t, key + ".conv2", F.silu(group_norm(t, key + ".norm2", h)), padding=1)
    return h + (conv(t, key + ".nin_shortcut", x) if key + ".nin_shortcut.weight" in t else x)


def attention_block(t: Tensors, key: str, x: Tensor) -> Tensor:
    h = group_norm(t, key + ".norm", x)
    q, k, v = (conv(t, f"{key}.{name}", h).flatten(2)[0] for name in ("q", "k", "v"))  # [C, hw]
    weights = (q.T @ k * len(q) ** -0.5).softmax(-1)
    return x + conv(t, key + ".proj_out", (v @ weights.T).unflatten(1, x.shape[2:])[None])


def middle(t: Tensors, key: str, x: Tensor) -> Tensor:
    x = attention_block(t, key + "mid_attn_1", res_block(t, key + "mid_block_1", x))
    return res_block(t, key + "mid_block_2", x)


def vqgan_codes(t: Tensors, config: Mapping[str, Any], pixels: Tensor) -> Tensor:
    """[1, 3, H, W] in [-1, 1] -> codes [n]."""
    cfg, own = config["image_vqgan"], "target_embedders.image.vqgan."
    key, last = own + "encoder.", len(cfg["ch_mult"]) - 1
    h = conv(t, key + "conv_in", pixels, padding=1)
    for level in range(last + 1):
        for block in range(cfg["num_res_blocks"]):
            h = res_block(t, f"{key}down_{level}_block_{block}", h)
            if level == last:
                h = attention_block(t, f"{key}down_{level}_attn_{block}", h)
        if level < last:
            h = conv(t, f"{key}down_{level}_downsample.conv", F.pad(h, (0, 1, 0, 1)), stride=2)
    h = conv(t, key + "conv_out", F.silu(group_norm(t, key + "norm_out", middle(t, key, h))), padding=1)
    vectors = conv(t, own + "quant_conv", h).flatten(2)[0].T
    return torch.cdist(vectors, t[own + "quantize.embedding.weight"]).argmin(1)


def vqgan_pixels(t: Tensors, config: Mapping[str, Any], codes: Tensor) -> Tensor:
    """Codes [n] -> [1, 3, H, W], not clipped."""
    cfg, own = config["image_vqgan"], "target_embedders.image.vqgan."
    key, last = own + "decoder.", len(cfg["ch_mult"]) - 1
    side = math.isqrt(len(codes))
    vectors = t[own + "quantize.embedding.weight"][codes].T.unflatten(1, (side, side))[None]
    h = middle(t, key, conv(t, key + "conv_in", conv(t, own + "post_quant_conv", vectors), padding=1))
    for level in range(last + 1):
        for block in range(cfg["num_res_blocks"] + 1):
            h = res_block(t, f"{key}up_{level}_block_{block}", h)
            if level == 0:
                h = attention_block(t, f"{key}up_{level}_attn_{block}", h)
        if level < last:
            h = conv(t, f"{key}up_{level}_upsample.conv", F.interpolate(h, scale_factor=2.0), padding=1)
    return conv(t, key + "conv_out", F.silu(group_norm(t, key + "norm_out", h)), padding=1)

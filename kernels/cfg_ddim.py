"""Guidance, one DDIM step (arXiv 2010.02502 Eq. 12, eta 0) and the blend of inpainting, in one pass.

    e = uncond + w (cond - uncond)                                   arXiv 2207.12598; cond alone at w = 1
    epsilon          x0 = (x - sqrt(1 - a) e) / sqrt(a)              eps = e
    v_prediction     x0 = sqrt(a) x - sqrt(1 - a) e                  eps = sqrt(a) e + sqrt(1 - a) x
    sample           x0 = e                                          eps = (x - sqrt(a) e) / sqrt(1 - a)
    clip             x0 into [-r, r], eps as it was
    x' = sqrt(a') x0 + sqrt(1 - a') eps
    inpainting       x' = m x' + (1 - m) (sqrt(k) x_orig + sqrt(1 - k) noise)       m is 1 where the picture is new

with alpha-bar a before and a' after the step. The original is brought to level k = a', as diffusers' inpainting
does it with an ordinary UNet (at a' = 1 it is the original itself); its older pipeline, "legacy", lags by one step:
k = a, and m' = 1 - m. float32 inside, rounded once; the roots in float64. Each number of x, cond and uncond is read
once and of x' written once, 4 in all, with a mask 7. The prediction may lie channels-last. What is not finite stays so
in its element, clipped infinities excepted. float64 is served by the reference only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .jit import FLOATS, Build, jit, on_triton, tl

PREDICTIONS = ("epsilon", "v_prediction", "sample")
BLOCK = 512


def cfg_ddim_reference(
    latents: Tensor,
    cond: Tensor,
    uncond: Tensor | None,
    levels: Sequence[float] | Tensor,
    guidance_scale: float = 1.0,
    prediction_type: str = "epsilon",
    clip: float | None = None,
    inpainting: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """``latents`` and predictions [B, C, ...] -> the next latents, in their type.

    ``levels`` = (a, a') or (a, a', k), numbers or a tensor (a captured graph can be given others). ``uncond`` is None
    at ``guidance_scale`` 1. ``clip`` is r. ``inpainting`` = (mask, which broadcasts to the latents, original, noise).
    """
    wide = torch.float64 if latents.dtype == torch.float64 else torch.float32
    x, e = latents.to(wide), cond.to(wide)
    if guidance_scale != 1.0:
        assert uncond is not None, f"guidance_scale {guidance_scale} needs the unconditional prediction"
        e = uncond.to(wide) + guidance_scale * (e - uncond.to(wide))
    alphas = levels.double().unbind() if isinstance(levels, Tensor) else tuple(levels)
    a, after, kept = alphas[0], alphas[1], alphas[-1]
    signal, spread = a**0.5, (1 - a) ** 0.5
    if prediction_type == "epsilon":
        x0, eps = (x - spread * e) / signal, e
    elif prediction_type == "v_prediction":
        x0, eps = signal * x - spread * e, signal * e + spread * x
    else:
        x0, eps = e, (x - signal * e) / spread
    if clip is not None:
        x0 = x0.clamp(-clip, clip)
    x = after**0.5 * x0 + (1 - after) ** 0.5 * eps
    if inpainting is not None:
        mask, original, noise = (value.to(wide) for value in inpainting)
        x = mask * x + (1 - mask) * (kept**0.5 * original + (1 - kept) ** 0.5 * noise)
    return x.to(latents.dtype)


def cfg_ddim(
    latents: Tensor,
    cond: Tensor,
    uncond: Tensor | None,
    levels: Sequence[float] | Tensor,
    guidance_scale: float = 1.0,
    prediction_type: str = "epsilon",
    clip: float | None = None,
    inpainting: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """As :func:`cfg_ddim_reference`: by our kernel on CUDA, by the reference elsewhere. ``ValueError`` for an unknown
    prediction, levels that are not two or three, and guidance without its prediction."""
    if prediction_type not in PREDICTIONS:
        raise ValueError(f"prediction_type {prediction_type!r} is unknown; choose {', '.join(PREDICTIONS)}")
    if guidance_scale != 1.0 and uncond is None:
        raise ValueError(f"guidance_scale {guidance_scale} needs the unconditional prediction; choose 1 or give it")
    if len(levels) not in (2, 3):
        raise ValueError(f"{len(levels)} levels are not (before, after) or (before, after, kept)")
    on_device, numbers = (levels, []) if isinstance(levels, Tensor) else (None, list(levels))
    mask, original, noise = (None, None, None) if inpainting is None else inpainting
    settings = guidance_scale, prediction_type, clip
    return _cfg_ddim(latents, cond, uncond, on_device, numbers, *settings, mask, original, noise)


@torch.library.custom_op("acdc::cfg_ddim", mutates_args=())
def _cfg_ddim(
    latents: Tensor,
    cond: Tensor,
    uncond: Tensor | None,
    on_device: Tensor | None,
    numbers: list[float],
    guidance_scale: float,
    prediction_type: str,
    clip: float | None,
    mask: Tensor | None,
    original: Tensor | None,
    noise: Tensor | None,
) -> Tensor:
    if not (on_triton(latents) and latents.dtype in FLOATS):
        inpainting = None if mask is None or original is None or noise is None else (mask, original, noise)
        levels = numbers if on_device is None else on_device
        return cfg_ddim_reference(latents, cond, uncond, levels, guidance_scale, prediction_type, clip, inpainting)
    latents, fresh = latents.contiguous(), torch.empty_like(latents, memory_format=torch.contiguous_format)
    cond, uncond = cond.flatten(2), cond.flatten(2) if uncond is None else uncond.flatten(2)
    if cond.stride() != uncond.stride():
        cond, uncond = cond.contiguous(), uncond.contiguous()
    blend = cond if mask is None else mask.expand(latents.shape).flatten(2)
    original, noise = (latents if value is None else value.contiguous() for value in (original, noise))
    levels, count = (latents, 0) if on_device is None else (on_device.contiguous(), len(on_device))
    before, after, kept = (*numbers[:2], numbers[-1]) if numbers else (0.0, 0.0, 0.0)
    roots = [root for level in (before, after, kept) for root in (level**0.5, (1 - level) ** 0.5)]
    if latents.numel():
        tensors = latents, cond, uncond, levels, blend, original, noise, fresh
        sizes = latents.numel(), latents.shape[1], cond.shape[2], *cond.stride(), *blend.stride()
        flags = prediction_type, guidance_scale != 1.0, clip is not None, mask is not None, count, BLOCK
        grid = (-(-latents.numel() // BLOCK),)
        _kernel[grid](*tensors, *sizes, guidance_scale, clip or 0.0, *roots, *flags, enable_fp_fusion=False)
    return fresh


@_cfg_ddim.register_fake
def _(latents: Tensor, *_: object) -> Tensor:
    return torch.empty_like(latents, memory_format=torch.contiguous_format)


@jit
def _kernel(
    latents,
    cond,
    uncond,
    levels,
    mask,
    original,
    noise,
    fresh,
    total,
    channels,
    size,
    cond_story,
    cond_channel,
    cond_place,
    mask_story,
    mask_channel,
    mask_place,
    guidance_scale,
    clip,
    signal,
    spread,
    signal_after,
    spread_after,
    signal_kept,
    spread_kept,
    PREDICTION: tl.constexpr,
    GUIDED: tl.constexpr,
    CLIPPED: tl.constexpr,
    BLENDED: tl.constexpr,
    LEVELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    if LEVELS:
        signal, spread = _roots(levels)
        signal_after, spread_after = _roots(levels + 1)
        signal_kept, spread_kept = _roots(levels + LEVELS - 1)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside, story, channel, place = index < total, index // size // channels, index // size % channels, index % size
    x = tl.load(latents + index, inside, other=0.0).to(tl.float32)
    where = story * cond_story + channel * cond_channel + place * cond_place
    e = tl.load(cond + where, inside, other=0.0).to(tl.float32)
    if GUIDED:
        null = tl.load(uncond + where, inside, other=0.0).to(tl.float32)
        e = null + guidance_scale * (e - null)
    if PREDICTION == "epsilon":
        x0, eps = tl.div_rn(x - spread * e, signal), e
    elif PREDICTION == "v_prediction":
        x0, eps = signal * x - spread * e, signal * e + spread * x
    else:
        x0, eps = e, tl.div_rn(x - signal * e, spread)
    if CLIPPED:
        x0 = tl.where(x0 > clip, clip, tl.where(x0 < -clip, -clip, x0))  # NaN stays
    x = signal_after * x0 + spread_after * eps
    if BLENDED:
        where = story * mask_story + channel * mask_channel + place * mask_place
        new = tl.load(mask + where, inside, other=0.0).to(tl.float32)
        old = signal_kept * tl.load(original + index, inside, other=0.0).to(tl.float32)
        old += spread_kept * tl.load(noise + index, inside, other=0.0).to(tl.float32)
        x = new * x + (1.0 - new) * old
    tl.store(fresh + index, x.to(fresh.dtype.element_ty), inside)


@jit
def _roots(level):
    alpha = tl.load(level).to(tl.float64)
    return tl.sqrt(alpha).to(tl.float32), tl.sqrt(1.0 - alpha).to(tl.float32)


_TENSORS = ("latents", "cond", "uncond", "mask", "original", "noise", "fresh")
_TYPES = dict.fromkeys(("total", "channels", "size", "cond_story", "cond_channel", "cond_place"), "i32")
_TYPES |= dict.fromkeys(("mask_story", "mask_channel", "mask_place"), "i32")
_TYPES |= dict.fromkeys(("guidance_scale", "clip", "signal", "spread", "signal_after", "spread_after"), "fp32")
_TYPES |= dict.fromkeys(("signal_kept", "spread_kept"), "fp32")
BUILDS = tuple(
    Build(
        _kernel,
        _TYPES | dict.fromkeys(_TENSORS, kind) | {"levels": "*fp64"},
        {"PREDICTION": prediction, "GUIDED": True, "CLIPPED": on, "BLENDED": on, "LEVELS": 2 * on, "BLOCK": BLOCK},
        fp_fusion=False,
    )
    for kind, prediction, on in (
        ("*bf16", "epsilon", False),
        ("*fp16", "v_prediction", True),
        ("*fp32", "sample", True),
    )
)

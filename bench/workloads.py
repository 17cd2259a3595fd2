"""Timed workloads, and the only place that knows their shapes: every stage of a loaded engine with inputs of a
batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..compile.backends import BACKENDS
from ..engine.engine import Engine
from ..engine.models.causal.decode_pass import DrawPass, pass_noise
from ..engine.models.causal.family import CausalArm
from ..engine.models.causal.prefill_pass import Prefill
from ..engine.models.diffusion.unet import UNet
from ..engine.models.tokens_per_pass import choose_tokens_per_pass
from ..engine.options import StoryOptions
from ..engine.pipeline.calibration import unet_calibration
from ..engine.runtime.compiled import UNetPass
from ..engine.sampling import SamplingParams
from ..engine.utils.rng import Purpose, make_keys
from .parts import arm_of, tokenizer_of

BATCHES = (1, 4)  # stories side by side
CACHE_SLOTS = 256  # a window story's bucket
TIMESTEP = 321
COMPILES_LONG = ("inductor", "inductor-jit")  # many seconds a stage


class Workload(NamedTuple):
    """A stage and what it is given."""

    name: str
    run: nn.Module
    inputs: list[Tensor]


LOSSY = ("openvino-bf16",)  # rounding alone moves codes: their number is recorded and not bounded


def backends_to_time() -> list[Any]:
    """The table of backends as parameters of a benchmark; those that compile long are marked slow."""
    import pytest

    return [pytest.param(name, marks=pytest.mark.slow if name in COMPILES_LONG else ()) for name in BACKENDS]


def skip_refused(backend: str, reasons: Sequence[str]) -> None:
    """A backend that is not of this machine is reported with every reason; the reference is of every machine."""
    import pytest

    assert not (reasons and backend == "eager"), reasons
    if reasons:
        pytest.skip(f"{backend}: {'; '.join(reasons)}")


@torch.no_grad()
def stages(engine: Engine, batch: int, slots: int = CACHE_SLOTS, text_tokens: int | None = None) -> Iterator[Workload]:
    """Every stage that a backend may take over, for ``batch`` stories: drawn from a fixed seed.

    The UNet is given both branches' prompts where the bundle is guided: 2 x ``batch`` rows. ``text_tokens`` is the
    text encoder's length where None.
    """
    generator = torch.Generator().manual_seed(batch)

    def random(rows: int, *shape: int) -> Tensor:
        return torch.randn(rows, *shape, generator=generator).to(like.device, like.dtype)

    arm, tokenizer, corrector = arm_of(engine), tokenizer_of(engine), engine.models.corrector
    like = tokenizer.codebook.weight
    side, grid = tokenizer.config.resolution, tokenizer.config.grid
    latent, channels = side // corrector.vae.downscale, corrector.vae.config.latent_channels
    yield from arm_stages(arm, batch, slots, like)
    yield Workload("tokenizer_decoder", tokenizer.decoder, [random(batch, tokenizer.config.z_channels, grid, grid)])
    yield Workload("tokenizer_encoder", tokenizer.encoder, [random(batch, 3, side, side)])
    text, tokens = corrector.text_encoder, text_tokens or corrector.tokenizer.model_max_length
    yield Workload("text_encoder", text.encoder, [random(batch, tokens, text.config.hidden_size)])
    yield Workload("vae_decoder", corrector.vae.decoder, [random(batch, channels, latent, latent)])
    yield Workload("vae_encoder", corrector.vae.encoder, [random(batch, 3, side, side)])
    guidance = StoryOptions().resolved(engine.defaults).correction.guidance_scale
    rows = 2 * batch if guidance is not None and guidance > 1 else batch
    assert isinstance(corrector.unet, UNet), "workloads are of an eager engine"
    unet = corrector.unet
    calibration = unet_calibration(engine.bundle.fingerprint(), engine.models, engine.defaults)
    kv = [
        value.contiguous()
        for pair in unet.context_kv(random(rows, tokens, unet.config.cross_attention_dim))
        for value in pair
    ]
    shifts = unet.time_shifts(torch.tensor([TIMESTEP], device=like.device))
    yield Workload("unet", UNetPass(unet, calibration), [random(batch, channels, latent, latent), shifts, *kv])


def arm_stages(arm: CausalArm, batch: int, slots: int, like: Tensor) -> Iterator[Workload]:
    """As many ids as half the cache holds enter an empty one; then, after three of them, a frame's widest pass."""
    stream, device = arm.stream, like.device
    ids = torch.arange(batch * (slots // 2), device=device).view(batch, -1) % stream.codebook_size
    kinds, counts = torch.ones_like(ids, dtype=torch.bool), torch.full((batch,), slots // 2, device=device)
    cache = arm.model.new_cache(batch, slots)
    yield Workload("arm_prefill", Prefill(arm.model), [ids, kinds, counts])
    arm.model(ids[:, :3], kinds[:, :3], cache)
    window = max(choose_tokens_per_pass("auto", stream.windows, device.type, "eager", batch))
    num_codes = stream.slots
    codes = torch.arange(batch * (num_codes + window), device=device).view(batch, -1) % stream.codebook_size
    keys = make_keys(range(batch), 0, Purpose.TOKEN, device)
    policy = SamplingParams(allowed=(0, stream.codebook_size))
    noise = pass_noise(arm.model, policy, keys, num_codes)
    assert noise is not None, "temperature 1 draws"
    run = DrawPass(arm.model, policy, window, num_codes)
    yield Workload("arm_draw", run, [codes, counts * 0 + 1, cache.lengths, cache.keys, cache.values, noise])

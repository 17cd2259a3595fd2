"""Every stage of an engine with inputs that fit it, for tests of backends."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from acdc.engine.engine import Engine
from acdc.engine.plans import UNetPass
from acdc.engine.stages.decode import DecodeStep


def stages(engine: Engine, batch: int) -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    """(name, module, inputs) of every stage that a backend may take over."""
    generator = torch.Generator().manual_seed(batch)

    def random(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator)

    tokenizer, corrector = engine.models.tokenizer, engine.models.corrector
    side, grid = tokenizer.config.resolution, tokenizer.config.grid
    latent = side // corrector.vae.downscale
    channels = corrector.vae.config.latent_channels
    arm = engine.models.arm
    cache = arm.model.new_cache(batch, 12)
    arm.model(torch.arange(3).expand(batch, 3), torch.ones(batch, 3, dtype=torch.bool), cache)
    codes = torch.arange(batch) % arm.stream.codebook_size
    yield "arm_decode", DecodeStep(arm.model), [codes, cache.lengths, cache.keys, cache.values]
    yield "tokenizer_decoder", tokenizer.decoder, [random(tokenizer.config.z_channels, grid, grid)]
    yield "tokenizer_encoder", tokenizer.encoder, [random(3, side, side)]
    yield "vae_decoder", corrector.vae.decoder, [random(channels, latent, latent)]
    yield "vae_encoder", corrector.vae.encoder, [random(3, side, side)]
    unet = corrector.unet
    kv = unet.context_kv(random(7, unet.config.cross_attention_dim))
    temb = unet.time_embedding(torch.tensor([321]))
    yield "unet", UNetPass(unet), [random(channels, latent, latent), temb, *(v.contiguous() for kv_ in kv for v in kv_)]


def stage(engine: Engine, name: str, batch: int) -> tuple[nn.Module, list[Tensor]]:
    """The module and inputs of one stage."""
    return next((run, inputs) for found, run, inputs in stages(engine, batch) if found == name)

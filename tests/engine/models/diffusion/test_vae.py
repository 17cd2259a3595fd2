"""Our autoencoder against diffusers', whose weights it loads."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from acdc.engine.models.diffusion import vae
from acdc.engine.models.diffusion.vae import VAEConfig
from tests.helpers.published import DTYPES, VAES, close, normal, vae_pair


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VAES)
@torch.no_grad()
def test_vae_is_the_published_one(name: str, dtype: torch.dtype) -> None:
    ours, theirs = vae_pair(name, dtype)
    pixels = normal(3, 3, 32, 48).clamp(-1, 1).to(dtype)
    mean, logvar = ours.encode(pixels)
    posterior = theirs.encode(pixels).latent_dist
    close(mean, posterior.mode(), dtype)
    close(logvar, posterior.logvar, dtype)
    assert mean.shape[2:] == (32 // ours.downscale, 48 // ours.downscale)
    latents = normal(3, ours.config.latent_channels, 4, 6).to(dtype)
    close(ours.decode(latents), theirs.decode(latents).sample, dtype)
    assert ours.scaling_factor == theirs.config.scaling_factor


def test_vae_reads_the_old_attention_names() -> None:
    new = "decoder.mid_block.attentions.0.to_out.0.bias"
    assert vae.current_key("decoder.mid_block.attentions.0.proj_attn.bias") == new
    assert vae.current_key(new) == new
    assert vae.current_key("encoder.mid_block.attentions.0.key.weight").endswith("attentions.0.to_k.weight")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shift_factor", 0.1),
        ("latents_mean", [0.0]),
        ("down_block_types", ["AttnDownEncoderBlock2D"]),
        ("norm_num_groups", 5),
        ("scaling_factor", "0.18"),
        ("scaling_factor", 0),
        ("scaling_factor", -0.18215),
        ("scaling_factor", math.nan),
        ("scaling_factor", math.inf),
        ("scaling_factor", None),
        ("latent_channels", 0),
        ("_class_name", "AsymmetricAutoencoderKL"),
    ],
)
def test_vae_refuses_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^VAE config: {key}=.*is not supported"):
        VAEConfig.from_dict({key: value})

"""Our UNet against diffusers', whose weights it loads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import LatentConsistencyModelImg2ImgPipeline, UNet2DConditionModel

from acdc.engine.models.diffusion.clip_text import CLIPText, CLIPTextConfig
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from acdc.engine.models.diffusion.vae import VAE, VAEConfig
from tests.helpers.published import DTYPES, UNETS, close, normal, parameters, randomise, unet_pair


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNETS)
@torch.no_grad()
def test_unet_is_the_published_one(name: str, dtype: torch.dtype) -> None:
    ours, theirs = unet_pair(name, dtype)
    c = ours.config
    latents = normal(3, c.in_channels, 16, 24).to(dtype)
    context = normal(3, 5, c.cross_attention_dim, seed=2).to(dtype)
    timesteps = torch.tensor([0, 401, 999])
    close(ours(latents, timesteps, context), theirs(latents, timesteps, context).sample, dtype)


@torch.no_grad()
def test_unet_takes_sizes_that_do_not_halve() -> None:
    ours, theirs = unet_pair("sd1-like", torch.float64)
    latents, context = normal(1, 4, 11, 14), normal(1, 5, 24)
    step = torch.tensor([7])
    close(ours(latents, step, context), theirs(latents, step, context).sample, torch.float64)


@torch.no_grad()
def test_unet_takes_parts_computed_once() -> None:
    ours, _ = unet_pair("bundle-like", torch.float64)
    latents, context, step = normal(2, 4, 8, 8), normal(2, 5, 12), torch.tensor([250])
    whole = ours(latents, step, context)
    kv = ours.context_kv(context)
    assert len(kv) == 2 * (2 + 1 + 4)  # two transformer blocks each: 2 on the way down, 1 in the middle, 4 up
    assert kv[0][0].shape == (2, 2, 5, 8)
    assert torch.equal(ours(latents, ours.time_shifts(step), kv), whole)
    close(ours(latents, step.expand(2), kv), whole, torch.float64)
    with pytest.raises(AssertionError):
        ours(latents, step, [*kv, kv[0]])


@pytest.mark.long
@pytest.mark.parametrize("name", UNETS)
@torch.no_grad()
def test_branches_share_what_comes_before_their_prompts(name: str) -> None:
    """Given each latent once, the pass is that of the latents repeated for every branch."""
    ours, _ = unet_pair(name, torch.float64)
    latents, step = normal(2, ours.config.in_channels, 11, 14), torch.tensor([250])
    width = ours.config.cross_attention_dim
    for branches in (1, 2, 3):
        context = normal(2 * branches, 5, width)
        wanted = ours(latents.repeat(branches, 1, 1, 1), step, context)
        close(ours(latents, step, context), wanted, torch.float64)


@pytest.mark.parametrize("width", [32, 7])
@torch.no_grad()
def test_a_unet_that_embeds_its_guidance(width: int) -> None:
    """LCM's: a projection of w = scale - 1, as its pipeline embeds it; 1 is embedded, too."""
    theirs = randomise(UNet2DConditionModel(**UNETS["sd1-like"], time_cond_proj_dim=width)).double()
    ours = UNet(UNetConfig.from_dict(theirs.config)).double().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    latents, context, step = normal(2, 4, 11, 14), normal(2, 5, 24), torch.tensor([259])
    for scale in (1.0, 8.5):
        embed = LatentConsistencyModelImg2ImgPipeline.get_guidance_scale_embedding
        embedding = embed(None, torch.tensor([scale - 1.0]), embedding_dim=width).double()
        wanted = theirs(latents, step, context, timestep_cond=embedding.expand(2, -1)).sample
        found = ours(latents, ours.time_shifts(step, scale), context)
        assert (found - wanted).abs().max() < 1e-6 * wanted.abs().max(), "its sinusoids are float32"
    assert torch.equal(ours.time_shifts(step), ours.time_shifts(step, None))
    assert not torch.equal(ours.time_shifts(step), ours.time_shifts(step, 1.0))


@torch.no_grad()
def test_upcast_attention_survives_large_scores() -> None:
    ours, _ = unet_pair("sd2-like", torch.float32)
    attention = ours.mid_block.attentions[0].transformer_blocks[0].attn1.to(torch.bfloat16)
    x = normal(1, 6, 48).to(torch.bfloat16)
    assert attention.upcast
    assert attention(x).dtype == torch.bfloat16
    assert attention(x).isfinite().all()


def test_full_size_parameter_counts() -> None:
    with torch.device("meta"):
        unet = UNet(UNetConfig(cross_attention_dim=768))
        sd_vae = VAE(
            VAEConfig.from_dict(
                {
                    "block_out_channels": [128, 256, 512, 512],
                    "down_block_types": ["DownEncoderBlock2D"] * 4,
                    "up_block_types": ["UpDecoderBlock2D"] * 4,
                    "layers_per_block": 2,
                }
            )
        )
        text = CLIPText(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
        sd2 = UNet(UNetConfig(cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True))
        lcm = UNet(UNetConfig(cross_attention_dim=768, time_cond_proj_dim=256))
    assert parameters(unet) == 859_520_964
    assert parameters(lcm) == 859_602_884
    assert lcm.time_embedding.cond_proj.weight.shape == (320, 256)
    assert parameters(sd2) == 865_910_724
    assert parameters(sd_vae) == 83_653_863
    assert parameters(text) == 123_060_480


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_embed_type", "timestep"),
        ("num_class_embeds", 10),
        ("only_cross_attention", True),
        ("resnet_time_scale_shift", "scale_shift"),
        ("addition_embed_type", "text_time"),
        ("encoder_hid_dim_type", "text_proj"),
        ("transformer_layers_per_block", [1, 2, 10]),
        ("cross_attention_dim", [8, 8, 8, 8]),
        ("mid_block_type", None),
        ("down_block_types", ["AttnDownBlock2D"] * 4),
        ("up_block_types", ["UpBlock2D"] * 3),
        ("attention_head_dim", [1, 2]),
        ("attention_head_dim", 7),
        ("norm_num_groups", 33),
        ("norm_num_groups", None),
        ("norm_eps", 0.0),
        ("norm_eps", float("inf")),
        ("freq_shift", float("nan")),
        ("time_cond_proj_dim", 0),
        ("time_cond_proj_dim", 256.0),
        ("layers_per_block", 0),
        ("layers_per_block", True),
        ("center_input_sample", 0),
        ("_class_name", "UNet3DConditionModel"),
        ("motion_modules", True),
    ],
)
def test_unet_refuses_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key) as error:
        UNetConfig.from_dict({key: value}, "x/unet/config.json")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("x/unet/config.json: ")

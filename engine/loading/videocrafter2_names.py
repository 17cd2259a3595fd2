"""Names and shapes of VideoCrafter2's published tensors, and what our modules make of them.

    model.diffusion_model.input_blocks.4.2.proj_in.weight     unet: down_blocks.1.motion_modules.0.proj_in.weight
    first_stage_model.decoder.up.3.block.0.conv1.weight       vae: decoder.up_blocks.0.resnets.0.conv1.weight
    cond_stage_model.model.transformer.resblocks.7.ln_1.bias  text_encoder: encoder.layers.7.layer_norm1.bias

The UNet's blocks are numbered through, a level's last one holding what changes the size; the decoder's levels are
numbered from the largest. Shapes differ: some of our linear layers are 1x1 convolutions there, convolutions over frames
have one axis more, and queries, keys and values of the text encoder are rows of one matrix.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..models.diffusion.clip_text import CLIPTextConfig
from ..models.diffusion.vae import VAEConfig
from ..models.diffusion.video_unet import VideoUNetConfig

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.model."
TABLES = frozenset(
    {"betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"}
    | {"log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "scale_arr"}
    | {"posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"}
)
# Our name for a part -> theirs; RESNET is of the UNet's blocks.
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
TEXT_LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
TOP = {
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2", "init_attn": "init_attn.0",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "fps_embedding.linear_1": "fps_embedding.0", "fps_embedding.linear_2": "fps_embedding.2",
}  # fmt: skip
PROJECTIONS = ("q_proj", "k_proj", "v_proj")


class Source(NamedTuple):
    """A published tensor, and the part of its rows that is ours where it holds three matrices."""

    key: str
    third: int | None = None


def unet_source(name: str, config: VideoUNetConfig) -> Source:
    """The published tensor of our UNet's ``name``."""
    per_level = config.layers_per_block + 1
    match name.split("."):
        case ["down_blocks", level, "downsamplers", _, "conv", leaf]:
            return Source(f"{UNET}input_blocks.{per_level * (int(level) + 1)}.0.op.{leaf}")
        case ["down_blocks", level, part, number, *rest]:
            block = f"input_blocks.{1 + per_level * int(level) + int(number)}"
            return Source(f"{UNET}{block}.{_PARTS[part]}.{_inner(rest)}")
        case ["up_blocks", level, "upsamplers", _, "conv", leaf]:
            place = 3 if config.up_block_types[int(level)].startswith("CrossAttn") else 1
            return Source(f"{UNET}output_blocks.{per_level * (int(level) + 1) - 1}.{place}.conv.{leaf}")
        case ["up_blocks", level, part, number, *rest]:
            return Source(f"{UNET}output_blocks.{per_level * int(level) + int(number)}.{_PARTS[part]}.{_inner(rest)}")
        case ["mid_block", "resnets", number, *rest]:
            return Source(f"{UNET}middle_block.{3 * int(number)}.{_inner(rest)}")
        case ["mid_block", part, _, *rest]:
            return Source(f"{UNET}middle_block.{_PARTS[part]}.{_inner(rest)}")
    return Source(UNET + _with_head(name, TOP))


def vae_source(name: str, config: VAEConfig) -> Source:
    """The published tensor of our VAE's ``name``."""
    last = len(config.block_out_channels) - 1
    name = re.sub(r"^(\w+\.)conv_norm_out", r"\1norm_out", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{last - int(m[1])}.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.attentions\.0\.(.*)", lambda m: f"mid.attn_1.{_with_head(m[1], VAE_ATTENTION)}", name)
    return Source(VAE + name.replace("conv_shortcut", "nin_shortcut"))


def text_source(name: str) -> Source:
    """The published tensor of our text encoder's ``name``."""
    match name.split("."):
        case ["encoder", "layers", number, "self_attn", part, leaf] if part in PROJECTIONS:
            key = f"{TEXT}transformer.resblocks.{number}.attn.in_proj_{leaf}"
            return Source(key, PROJECTIONS.index(part))
        case ["encoder", "layers", number, "self_attn", *rest]:
            return Source(f"{TEXT}transformer.resblocks.{number}.attn.{'.'.join(rest)}")
        case ["encoder", "layers", number, *rest]:
            return Source(f"{TEXT}transformer.resblocks.{number}.{_with_head('.'.join(rest), TEXT_LAYER)}")
    return Source(TEXT + _TEXT_TOP.get(name, name))


def unused_shapes(config: CLIPTextConfig) -> dict[str, tuple[int, ...]]:
    """Tensors of the text encoder in the file that nothing runs: its last layer, and the projection to what text shares
    with pictures."""
    d, wide = config.hidden_size, config.intermediate_size
    layer = {
        "ln_1.weight": (d,), "ln_1.bias": (d,), "ln_2.weight": (d,), "ln_2.bias": (d,),
        "attn.in_proj_weight": (3 * d, d), "attn.in_proj_bias": (3 * d,), "attn.out_proj.weight": (d, d),
        "attn.out_proj.bias": (d,), "mlp.c_fc.weight": (wide, d), "mlp.c_fc.bias": (wide,),
        "mlp.c_proj.weight": (d, wide), "mlp.c_proj.bias": (d,),
    }  # fmt: skip
    last = f"{TEXT}transformer.resblocks.{config.num_hidden_layers}."
    own: dict[str, tuple[int, ...]] = {TEXT + "text_projection": (d, d), TEXT + "logit_scale": ()}
    return {last + name: shape for name, shape in layer.items()} | own


def published_shape(source: Source, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape there of a tensor that has ``shape`` here."""
    key = source.key
    if source.third is not None:
        return (3 * shape[0], *shape[1:])
    if re.search(r"temopral_conv\.conv\d\.\d\.weight$", key) and len(shape) == 4:
        return (*shape, 1)
    if re.search(r"init_attn\.0\.proj_(in|out)\.weight$", key):
        return (*shape, 1)
    if re.search(r"mid\.attn_1\.(q|k|v|proj_out)\.weight$", key):
        return (*shape, 1, 1)
    return shape


_PARTS = {"resnets": 0, "attentions": 1, "motion_modules": 2}
_TEXT_TOP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def _inner(rest: list[str]) -> str:
    """Inside a block: convolutions over frames are numbered from 1, and those from the second on have dropout before
    them."""
    match rest:
        case ["temporal_conv", "norms", number, leaf]:
            return f"temopral_conv.conv{int(number) + 1}.0.{leaf}"
        case ["temporal_conv", "convs", number, leaf]:
            return f"temopral_conv.conv{int(number) + 1}.{2 if number == '0' else 3}.{leaf}"
    return _with_head(".".join(rest), RESNET)


def _with_head(name: str, heads: dict[str, str]) -> str:
    """``name`` whose beginning, up to a dot, is replaced where ``heads`` has it."""
    for ours, theirs in heads.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    return name

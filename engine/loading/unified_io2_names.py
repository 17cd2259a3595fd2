"""Names and shapes in Unified-IO 2's published ``pytorch_model.bin``, and our names of those that are read.

    encoder.layers_3.attention.query_norm.scale      ->  encoder.layers.3.attention.query_norm.weight
    target_embedders.image.vqgan.decoder.up_0_attn_1.proj_out.bias
                                                     ->  decoder.levels.0.attentions.1.proj_out.bias

The file also holds the sides of the model that neither read nor draw pictures: audio, and text as a target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..models.unified_io2.config import UnifiedIO2Config

VQGAN = "target_embedders.image.vqgan."
LEVELS = {"encoder": ("down", "downsample"), "decoder": ("up", "upsample")}
MIDDLE = ("mid_block_1", "mid_attn_1", "mid_block_2")
Shapes = dict[str, tuple[int, ...]]


def published_name(name: str) -> str:
    """The published name of one of the transformer's tensors."""
    name = re.sub(r"\blayers\.(\d+)\.", r"layers_\1.", name)
    return re.sub(r"(\w*norm)\.weight$", r"\1.scale", name)


def published_vqgan_name(name: str) -> str:
    """The published name of one of the VQGAN's tensors."""
    if name == "codebook.weight":
        return f"{VQGAN}quantize.embedding.weight"
    side, *parts = name.split(".")
    return VQGAN + ".".join((side, *_parts(side, parts)))


def _parts(side: str, parts: list[str]) -> list[str]:
    match parts:
        case ["levels", level, "blocks", block, *rest]:
            return [f"{LEVELS[side][0]}_{level}_block_{block}", *_parts(side, rest)]
        case ["levels", level, "attentions", block, *rest]:
            return [f"{LEVELS[side][0]}_{level}_attn_{block}", *rest]
        case ["levels", level, "resample", *rest]:
            return [f"{LEVELS[side][0]}_{level}_{LEVELS[side][1]}", *rest]
        case ["mid", index, *rest]:
            return [MIDDLE[int(index)], *_parts(side, rest)]
        case ["shortcut", *rest]:
            return ["nin_shortcut", *rest]
        case _:
            return parts


@dataclass(frozen=True)
class AudioSizes:
    """Sizes of the audio side by what the published ``config.json`` says of it."""

    vocab: int = 8320
    vit_width: int = 768
    vit_layers: int = 11
    vit_mlp: int = 3072
    patch: int = 16
    width: int = 768  # of the resampler
    heads: int = 12
    mlp: int = 2048
    layers: int = 2
    latents: int = 16
    scaled_cosine: bool = False
    codes: int = 8192
    code_width: int = 32
    coder_width: int = 512
    coder_layers: int = 8
    coder_mlp: int = 2048
    coder_patch: int = 8

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> AudioSizes:
        """Those in the published config."""
        vit, history, coder = (config[name] for name in ("audio_vit_cfg", "audio_history_cfg", "audio_vqgan"))
        return cls(
            config["t5_config"]["audio_vocab_size"], vit["emb_dim"], vit["num_layers"], vit["mlp_dim"],
            vit["patch_size"], history["emb_dim"], history["num_heads"], history["mlp_dim"], history["num_layers"],
            history["latents_size"], history["xattn_scaled_cosine"], coder["vocab_size"], coder["proj_dim"],
            coder["encoder_hidden_size"], coder["encoder_num_layers"], coder["encoder_mlp_dim"], coder["patch_size"][0],
        )  # fmt: skip


POSITIONS = 514  # of the audio transformer, two of them of its own tokens


def unused_shapes(config: UnifiedIO2Config, audio: AudioSizes) -> Shapes:
    """Shape of every tensor that the file holds and that nothing here reads."""
    d, entry = config.width, "input_embedders.audio"
    found: Shapes = {"audio_token_embedder.weight": (audio.vocab, d)}
    for name in ("target_embedders.text", "target_embedders.audio", entry, f"{entry}_history"):
        found[f"{name}.modality_embedding"] = (d,)
    found[f"{entry}.projection.weight"] = (d, 2 * audio.vit_width)
    found[f"{entry}_history.pre_projection.weight"] = (audio.width, audio.vit_width)
    found[f"{entry}_history.post_projection.weight"] = (d, audio.width)
    found |= dict(_vit(f"{entry}.image_encoder.vision_transformer", audio))
    found |= dict(_resampler(f"{entry}_history.resampler.perceiver", audio))
    return found | dict(_coder("target_embedders.audio.vqgan", audio))


def _linear(key: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{key}.weight", (outputs, inputs)
    yield f"{key}.bias", (outputs,)


def _norm(key: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{key}.weight", (width,)
    yield f"{key}.bias", (width,)


def _vit(key: str, audio: AudioSizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = audio.vit_width
    yield f"{key}.positional_embedding", (POSITIONS, width)
    for token in ("cls_token", "dist_token"):
        yield f"{key}.{token}", (width,)
    yield from _linear(f"{key}.embedding", width, audio.patch**2)
    for layer in range(audio.vit_layers):
        block = f"{key}.transformer.resblocks.{layer}"
        yield from _norm(f"{block}.ln_1", width)
        yield from _norm(f"{block}.ln_2", width)
        for name in ("query", "key", "value"):
            yield f"{block}.attn.{name}_in_proj_weight", (width, width)
            yield f"{block}.attn.{name}_in_proj_bias", (width,)
        yield from _linear(f"{block}.attn.out_proj", width, width)
        yield from _linear(f"{block}.mlp.fc1", audio.vit_mlp, width)
        yield from _linear(f"{block}.mlp.fc2", width, audio.vit_mlp)


def _resampler(key: str, audio: AudioSizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = audio.width
    yield f"{key}.latents", (audio.latents, width)
    for name in ("context_norm", "perceiver_norm"):
        yield f"{key}.{name}.scale", (width,)
    for layer in range(audio.layers):
        block = f"{key}.layers_{layer}"
        for name in ("pre_xattention_norm", "pre_mlp_norm"):
            yield f"{block}.{name}.scale", (width,)
        for name in ("query", "key", "value", "out"):
            yield f"{block}.xattention.{name}.weight", (width, width)
        if audio.scaled_cosine:
            yield f"{block}.xattention.logit_scale", (audio.heads,)
        else:
            for name in ("query_norm", "key_norm"):
                yield f"{block}.xattention.{name}.scale", (width // audio.heads,)
        yield f"{block}.mlp.wi.weight", (audio.mlp, width)
        yield f"{block}.mlp.wo.weight", (width, audio.mlp)


def _coder(key: str, audio: AudioSizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, pixels = audio.coder_width, audio.coder_patch**2
    yield f"{key}.quantize.embedding.weight", (audio.codes, audio.code_width)
    yield from _linear(f"{key}.encoder.embedding", width, pixels)
    yield f"{key}.encoder.encoder_proj.weight", (audio.code_width, width)
    yield f"{key}.encoder.encoder_norm.bias", (audio.code_width,)
    yield f"{key}.decoder.decoder_proj.weight", (width, audio.code_width)
    yield f"{key}.decoder.conv_transpose.weight", (width, 1, audio.coder_patch, audio.coder_patch)
    for side in ("encoder", "decoder"):
        yield from _norm(f"{key}.{side}.transformer.encoder_norm", width)
        for layer in range(audio.coder_layers):
            block = f"{key}.{side}.transformer.encoderblock_{layer}"
            yield from _norm(f"{block}.ln_1", width)
            yield from _norm(f"{block}.ln_2", width)
            for name in ("query", "key", "value", "out"):
                yield f"{block}.attn.{name}.weight", (width, width)
            yield from _linear(f"{block}.mlp.fc1", audio.coder_mlp, width)
            yield from _linear(f"{block}.mlp.fc2", width, audio.coder_mlp)

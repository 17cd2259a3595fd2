"""Unified-IO 2's published files in small, written by the facts about their formats and nothing of the engine's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from sentencepiece import sentencepiece_model_pb2 as proto
from torch import Tensor

Shape = tuple[int, ...]
Fill = Callable[[str, Shape], Tensor]

SMALL: Mapping[str, Mapping[str, Any]] = {
    "t5_config": {
        "emb_dim": 32, "num_heads": 2, "head_dim": 16, "mlp_dim": 48, "num_encoder_layers": 2, "num_decoder_layers": 2,
        "image_vocab_size": 128, "audio_vocab_size": 40, "default_image_size": [32, 32],
        "default_image_vit_size": [24, 24], "default_image_history_vit_size": [16, 16],
    },
    "image_vit_cfg": {"emb_dim": 16, "num_heads": 2, "num_layers": 3, "mlp_dim": 24, "patch_size": 4, "num_pos": 26},
    "audio_vit_cfg": {"emb_dim": 16, "num_heads": 2, "num_layers": 3, "mlp_dim": 24, "patch_size": 4},
    "image_history_cfg": {"emb_dim": 24, "num_heads": 2, "head_dim": 12, "mlp_dim": 40, "latents_size": 3},
    "audio_history_cfg": {"emb_dim": 24, "num_heads": 2, "head_dim": 12, "mlp_dim": 40, "latents_size": 2},
    "image_vqgan": {"n_embed": 64, "resolution": 32, "ch": 32, "ch_mult": [1, 1, 1, 1], "attn_resolutions": [4],
                    "num_res_blocks": 1},
    "audio_vqgan": {"vocab_size": 20, "proj_dim": 6, "encoder_hidden_size": 16, "decoder_hidden_size": 16,
                    "encoder_num_layers": 1, "decoder_num_layers": 1, "encoder_mlp_dim": 24, "decoder_mlp_dim": 24},
}  # fmt: skip
NORMS = {
    "encoder": {"attention": "pre_attention_norm"},
    "decoder": {"self_attention": "pre_self_attention_norm", "encoder_decoder_attention": "pre_cross_attention_norm"},
}
COSINE = {"xattn_qk_norm": False, "xattn_scaled_cosine": True, "attn_qk_norm": False, "attn_scaled_cosine": True}


def published_config(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """``config.json``: the defaults of the published code with ``changes`` by part."""
    resampler = {
        "resampler_type": "perceiver", "max_frames": 8, "latents_size": 32, "emb_dim": 768, "num_heads": 12,
        "num_layers": 2, "xattention_index": [0, 1], "head_dim": 64, "mlp_dim": 2048, "mlp_activations": ["gelu"],
        "xattn_qk_norm": True, "xattn_scaled_cosine": False, "attn_qk_norm": True, "attn_scaled_cosine": False,
    }  # fmt: skip
    vit = {"patch_size": 16, "emb_dim": 768, "num_heads": 12, "num_layers": 11, "head_dim": 64, "mlp_dim": 3072,
           "mlp_activations": ["gelu"]}  # fmt: skip
    config: dict[str, Any] = {
        "t5_config": {
            "vocab_size": 33280, "image_vocab_size": 16512, "audio_vocab_size": 8320, "emb_dim": 512, "num_heads": 8,
            "num_encoder_layers": 24, "num_decoder_layers": 24, "head_dim": 64, "mlp_dim": 2048,
            "mlp_activations": ["silu", "linear"], "logits_via_embedding": True, "decoder_xattention_internval": 1,
            "qk_norm": True, "dalle_attn_mask": True, "encoder_max_text_length": 512, "decoder_max_image_length": 1024,
            "text_pos_emb": "llama_rope", "image_pos_emb": "llama_rope", "image_history_pos_emb": "llama_rope",
            "image_tokenizer_type": "vqgan", "default_image_size": [256, 256], "default_image_vit_size": [384, 384],
            "default_image_history_vit_size": [256, 256], "image_vit_patch_size": 16,
        },
        "image_history_cfg": {**resampler}, "audio_history_cfg": {**resampler, "latents_size": 16},
        "sequence_length": {"is_training": True, "image_input_samples": 576, "num_frames": 4},
        "image_vqgan": {
            "embed_dim": 4, "n_embed": 16384, "double_z": False, "z_channels": 4, "resolution": 256, "ch": 128,
            "ch_mult": [1, 2, 2, 4], "num_res_blocks": 2, "attn_resolutions": [32], "patch_size": [8, 8],
        },
        "audio_vqgan": {
            "vocab_size": 8192, "proj_dim": 32, "encoder_hidden_size": 512, "encoder_num_layers": 8,
            "encoder_mlp_dim": 2048, "decoder_hidden_size": 512, "decoder_num_layers": 8, "decoder_mlp_dim": 2048,
            "patch_size": [8, 8],
        },
        "image_vit_cfg": {**vit, "num_pos": 197}, "audio_vit_cfg": {**vit, "transpose_input": True},
        "use_image_vit": True, "freeze_vit": True,
    }  # fmt: skip
    for part, values in changes.items():
        config[part] |= values
    return config


def published_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """Every key of ``pytorch_model.bin``."""
    return dict(_keys(config))


def _keys(config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    t5, d = config["t5_config"], config["t5_config"]["emb_dim"]
    for kind in ("text", "image", "audio"):
        yield f"{kind}_token_embedder.weight", (t5["vocab_size" if kind == "text" else f"{kind}_vocab_size"], d)
        yield f"target_embedders.{kind}.modality_embedding", (d,)
        yield f"input_embedders.{kind}.modality_embedding", (d,)
    for kind in ("image", "audio"):
        vit, history = config[f"{kind}_vit_cfg"], config[f"{kind}_history_cfg"]
        entry, w, r = f"input_embedders.{kind}", vit["emb_dim"], history["emb_dim"]
        yield f"{entry}.projection.weight", (d, 2 * w)
        yield from _vit(f"{entry}.image_encoder.vision_transformer", kind, vit)
        yield f"{entry}_history.modality_embedding", (d,)
        yield f"{entry}_history.pre_projection.weight", (r, w)
        yield f"{entry}_history.post_projection.weight", (d, r)
        yield from _resampler(f"{entry}_history.resampler.perceiver", history)
    for side, norms in NORMS.items():
        yield f"{side}.{side}_norm.scale", (d,)
        for layer in range(t5[f"num_{side}_layers"]):
            block = f"{side}.layers_{layer}"
            for attention, norm in norms.items():
                yield f"{block}.{norm}.scale", (d,)
                yield from _attention(f"{block}.{attention}", d, t5["num_heads"] * t5["head_dim"], t5["head_dim"])
            yield f"{block}.pre_mlp_norm.scale", (d,)
            yield from ((f"{block}.mlp.{name}.weight", (t5["mlp_dim"], d)) for name in ("wi_0", "wi_1"))
            yield f"{block}.mlp.wo.weight", (d, t5["mlp_dim"])
    yield from _image_coder("target_embedders.image.vqgan", config["image_vqgan"])
    yield from _audio_coder("target_embedders.audio.vqgan", config["audio_vqgan"])


def _attention(key: str, d: int, inner: int, head_dim: int | None) -> Iterator[tuple[str, Shape]]:
    yield from ((f"{key}.{name}.weight", (inner, d)) for name in ("query", "key", "value"))
    yield f"{key}.out.weight", (d, inner)
    if head_dim is not None:
        yield from ((f"{key}.{name}_norm.scale", (head_dim,)) for name in ("query", "key"))


def _both(key: str, *shape: int) -> Iterator[tuple[str, Shape]]:
    yield from ((f"{key}.weight", shape), (f"{key}.bias", shape[:1]))


def _vit(key: str, kind: str, vit: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    w = vit["emb_dim"]
    if kind == "image":
        yield from ((f"{key}.class_embedding", (w,)), (f"{key}.positional_embedding", (vit["num_pos"], w)))
        yield f"{key}.embedding.weight", (w, 3 * vit["patch_size"] ** 2)
        yield from _both(f"{key}.pre_ln", w)
    else:
        yield from ((f"{key}.cls_token", (w,)), (f"{key}.dist_token", (w,)), (f"{key}.positional_embedding", (514, w)))
        yield from _both(f"{key}.embedding", w, vit["patch_size"] ** 2)
    for layer in range(vit["num_layers"]):
        block = f"{key}.transformer.resblocks.{layer}"
        for norm in ("ln_1", "ln_2"):
            yield from _both(f"{block}.{norm}", w)
        for name in ("query", "key", "value"):
            yield f"{block}.attn.{name}_in_proj_weight", (w, w)
            yield f"{block}.attn.{name}_in_proj_bias", (w,)
        yield from _both(f"{block}.attn.out_proj", w, w)
        yield from _both(f"{block}.mlp.fc1", vit["mlp_dim"], w)
        yield from _both(f"{block}.mlp.fc2", w, vit["mlp_dim"])


def _resampler(key: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    w, head_dim = config["emb_dim"], config["head_dim"]
    yield f"{key}.latents", (config["latents_size"], w)
    yield from ((f"{key}.{norm}.scale", (w,)) for norm in ("context_norm", "perceiver_norm"))
    for layer in range(config["num_layers"]):
        block = f"{key}.layers_{layer}"
        yield from ((f"{block}.{norm}.scale", (w,)) for norm in ("pre_xattention_norm", "pre_mlp_norm"))
        cosine = config["xattn_scaled_cosine"]
        inner = config["num_heads"] * head_dim
        yield from _attention(f"{block}.xattention", w, inner, None if cosine else head_dim)
        if cosine:
            yield f"{block}.xattention.logit_scale", (config["num_heads"],)
        yield from (
            (f"{block}.mlp.wi.weight", (config["mlp_dim"], w)),
            (f"{block}.mlp.wo.weight", (w, config["mlp_dim"])),
        )


def _image_coder(key: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    z, blocks = config["z_channels"], config["num_res_blocks"]
    widths = [config["ch"] * multiplier for multiplier in config["ch_mult"]]
    top, low = widths[0], widths[-1]

    def resnet(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
        yield from _both(f"{name}.norm1", inputs)
        yield from _both(f"{name}.conv1", outputs, inputs, 3, 3)
        yield from _both(f"{name}.norm2", outputs)
        yield from _both(f"{name}.conv2", outputs, outputs, 3, 3)
        if inputs != outputs:
            yield from _both(f"{name}.nin_shortcut", outputs, inputs, 1, 1)

    def attention(name: str) -> Iterator[tuple[str, Shape]]:
        yield from _both(f"{name}.norm", low)
        for part in ("q", "k", "v", "proj_out"):
            yield from _both(f"{name}.{part}", low, low, 1, 1)

    for side, prefix, order, count, attends, resample in (
        ("encoder", "down", widths, blocks, len(widths) - 1, "downsample"),
        ("decoder", "up", widths[::-1], blocks + 1, 0, "upsample"),
    ):
        own, encodes = f"{key}.{side}", side == "encoder"
        yield from _both(f"{own}.conv_in", top if encodes else low, 3 if encodes else z, 3, 3)
        for index in (1, 2):
            yield from resnet(f"{own}.mid_block_{index}", low, low)
        yield from attention(f"{own}.mid_attn_1")
        inputs = order[0]
        for level, outputs in enumerate(order):
            for block in range(count):
                yield from resnet(f"{own}.{prefix}_{level}_block_{block}", inputs, outputs)
                inputs = outputs
                if level == attends:
                    yield from attention(f"{own}.{prefix}_{level}_attn_{block}")
            if level < len(order) - 1:
                yield from _both(f"{own}.{prefix}_{level}_{resample}.conv", outputs, outputs, 3, 3)
        yield from _both(f"{own}.norm_out", low if encodes else top)
        yield from _both(f"{own}.conv_out", z if encodes else 3, low if encodes else top, 3, 3)
    for name in ("quant_conv", "post_quant_conv"):
        yield from _both(f"{key}.{name}", z, z, 1, 1)
    yield f"{key}.quantize.embedding.weight", (config["n_embed"], z)


def _audio_coder(key: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    p, pixels = config["proj_dim"], config["patch_size"][0] * config["patch_size"][1]
    yield f"{key}.quantize.embedding.weight", (config["vocab_size"], p)
    for side in ("encoder", "decoder"):
        w, mlp = config[f"{side}_hidden_size"], config[f"{side}_mlp_dim"]
        yield from _both(f"{key}.{side}.transformer.encoder_norm", w)
        for layer in range(config[f"{side}_num_layers"]):
            block = f"{key}.{side}.transformer.encoderblock_{layer}"
            for norm in ("ln_1", "ln_2"):
                yield from _both(f"{block}.{norm}", w)
            yield from _attention(f"{block}.attn", w, w, None)
            yield from _both(f"{block}.mlp.fc1", mlp, w)
            yield from _both(f"{block}.mlp.fc2", w, mlp)
    w = config["encoder_hidden_size"]
    yield from _both(f"{key}.encoder.embedding", w, pixels)
    yield from ((f"{key}.encoder.encoder_proj.weight", (p, w)), (f"{key}.encoder.encoder_norm.bias", (p,)))
    yield f"{key}.decoder.decoder_proj.weight", (w, p)
    yield f"{key}.decoder.conv_transpose.weight", (w, 1, *config["patch_size"])


def random_fill(key: str, shape: Shape) -> Tensor:
    """Norms near one, matrices of the scale that keeps activations near one, small vectors."""
    made = torch.randn(shape, generator=torch.Generator().manual_seed(len(key) * 1009 + sum(key.encode())))
    if "norm" in key.split(".")[-2] or "ln" in key.split(".")[-2]:
        return 1 + 0.1 * made if key.endswith(("scale", "weight")) else 0.1 * made
    return made * (0.1 if len(shape) == 1 else made[0].numel() ** -0.5 if "embedder" not in key.split("_")[-1] else 1)


PIECES = {  # LLaMA's ids of the words of the tests
    "▁Gener": 3251, "ate": 403, "▁an": 385, "▁image": 1967, "▁of": 310, "▁An": 530, "▁a": 263, "▁random": 4036,
    "▁picture": 7623, ".": 29889, "▁cat": 6635,
}  # fmt: skip


def write_tokenizer(path: Path) -> None:
    """A SentencePiece model of LLaMA's size, special pieces and bytes, which spells the prompts by LLaMA's ids."""
    kinds = proto.ModelProto.SentencePiece
    places = {number: piece for piece, number in PIECES.items()}
    model = proto.ModelProto()
    for number in range(32000):
        if number < 3:
            piece, kind = ("<unk>", "<s>", "</s>")[number], (kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL)[number]
        elif number < 259:
            piece, kind = f"<0x{number - 3:02X}>", kinds.BYTE
        else:
            piece, kind = places.get(number, f"▁word{number}"), kinds.NORMAL
        model.pieces.add(piece=piece, score=-1.0 if kind == kinds.NORMAL else 0.0, type=kind)
    model.trainer_spec.model_type, model.trainer_spec.byte_fallback = proto.TrainerSpec.UNIGRAM, True
    model.trainer_spec.vocab_size = 32000
    model.normalizer_spec.name, model.normalizer_spec.add_dummy_prefix = "identity", True
    model.normalizer_spec.remove_extra_whitespaces = False
    path.write_bytes(model.SerializeToString())


def write_model(
    folder: Path, config: Mapping[str, Any] | None = None, fill: Fill = random_fill, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """A published directory, with ``tokenizer.model``; returns the tensors. In a lower ``dtype`` what reads and decodes
    pictures stays float32, as published."""
    folder.mkdir(parents=True, exist_ok=True)
    said = published_config(**SMALL) if config is None else config
    (folder / "config.json").write_text(json.dumps(said))
    wide = ("vision_transformer", "vqgan")
    tensors = {
        key: fill(key, shape).to(torch.float32 if any(name in key for name in wide) else dtype)
        for key, shape in published_shapes(said).items()
    }
    torch.save(tensors, folder / "pytorch_model.bin")
    write_tokenizer(folder / "tokenizer.model")
    return tensors

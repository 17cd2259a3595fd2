"""Unified-IO 2 as it is published: one pickle, which is not run, and a config; converted once to safetensors.

    DIR/config.json                                       sizes of all parts
    DIR/pytorch_model.bin                                 float32; the "-bfloat16" repositories keep what reads and
                                                          decodes pictures in float32
    DIR/converted/pytorch_model.bin-0123456789abcdef/     transformer/, vit/ and vqgan/ under the names of our modules
    DIR/tokenizer.model, or another folder                LLaMA's, which is not in the repositories

The number types of the file stay; audio is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..models.layers.fused import fuse
from ..models.tokenizers.vqgan import VQGAN, VQGANConfig
from ..models.unified_io2.config import ResamplerConfig, UnifiedIO2Config, ViTConfig
from ..models.unified_io2.family import UnifiedIO2Arm
from ..models.unified_io2.inputs import VIT
from ..models.unified_io2.model import UnifiedIO2
from ..models.unified_io2.text import read_encoder
from ..utils.weights import read_json, skeleton
from .converted import converted, find
from .shards import in_groups, load_shards, write_shards
from .torch_checkpoint import check_keys, read_tensors
from .unified_io2_names import AudioSizes, published_name, published_vqgan_name, unused_shapes

FILE, CONFIG, TEXT = "pytorch_model.bin", "config.json", "tokenizer.model"
VIT_NAME = "input_embedders.image.image_encoder.vision_transformer."
FIXED: Mapping[str, Mapping[str, Any]] = {  # settings that the published models share and that nothing else here serves
    "t5_config": {
        "mlp_activations": ["silu", "linear"],
        "logits_via_embedding": True,
        "decoder_xattention_internval": 1,
        "qk_norm": True,
        "text_pos_emb": "llama_rope",
        "image_pos_emb": "llama_rope",
        "image_history_pos_emb": "llama_rope",
        "image_tokenizer_type": "vqgan",
    },
    "image_history_cfg": {"resampler_type": "perceiver", "mlp_activations": ["gelu"]},
    "image_vit_cfg": {"mlp_activations": ["gelu"]},
    "image_vqgan": {"double_z": False},
}


class Published(NamedTuple):
    """Sizes of a published model, and the shapes of what its file holds besides."""

    arm: UnifiedIO2Config
    vqgan: VQGANConfig
    unused: dict[str, tuple[int, ...]]

    def networks(self) -> dict[str, tuple[nn.Module, Callable[[str], str]]]:
        """Folder of a part -> its network, with shapes and no values, and the published name of one of its tensors."""
        with skeleton():
            model, vqgan = UnifiedIO2(self.arm), VQGAN(self.vqgan)
        vit = take_vit(model)
        return {
            "transformer": (model, published_name),
            "vit": (vit, lambda name: published_name(VIT_NAME + name)),
            "vqgan": (vqgan, published_vqgan_name),
        }


def take_vit(model: UnifiedIO2) -> nn.Module:
    """The image transformer, out of ``model``: its number type is another."""
    return model.image.image_encoder.pop(VIT)


def is_published(folder: Path) -> bool:
    """Does ``pytorch_model.bin``, or what it was converted to, lie there?"""
    return (folder / FILE).is_file() or bool(find(folder / FILE))


def load_arm(folder: Path, text: Path | None, device: torch.device, dtype: torch.dtype) -> UnifiedIO2Arm:
    """The transformer with its text side, from ``folder``; ``text`` holds ``tokenizer.model`` (None: ``folder``).

    The image transformer stays float32 in a lower ``dtype``. Raises ``ValueError`` (one line, names the file and the
    key) for what is missing or does not fit.
    """
    encode = read_encoder((text or folder) / TEXT)
    published = read_config(folder / CONFIG)
    made, networks = converted_parts(folder, published), published.networks()
    (model, _), (vit, _) = networks["transformer"], networks["vit"]
    assert isinstance(model, UnifiedIO2)
    load_shards(model, made / "transformer", device, dtype)
    load_shards(vit, made / "vit", device, torch.promote_types(dtype, torch.float32))
    fuse(model.to(device, dtype), device)
    model.image.image_encoder[VIT] = vit
    return UnifiedIO2Arm(model, encode)


def load_vqgan(folder: Path, device: torch.device, dtype: torch.dtype) -> VQGAN:
    """The picture tokenizer; what finds codes is float32 at least. ``ValueError`` as :func:`load_arm`."""
    published = read_config(folder / CONFIG)
    made, (model, _) = converted_parts(folder, published), published.networks()["vqgan"]
    assert isinstance(model, VQGAN)
    load_shards(model, made / "vqgan", device, torch.promote_types(dtype, torch.float32))
    return model.eval().requires_grad_(False).lower_decoder(dtype)


def converted_parts(folder: Path, published: Published) -> Path:
    """The folder of the three parts, made once of ``pytorch_model.bin``."""
    path = folder / FILE
    num_bytes = path.stat().st_size if path.is_file() else 0
    return converted(path, partial(convert, published=published), num_bytes)


def convert(path: Path, folder: Path, published: Published) -> None:
    """Write what is read of ``path`` as the parts of ``folder``. Values stay; ``ValueError`` names the file and the
    key."""
    tensors, networks = read_tensors(path), published.networks()
    wanted = dict(published.unused)
    for network, name_of in networks.values():
        wanted |= {name_of(name): tuple(value.shape) for name, value in network.state_dict().items()}
    check_keys(path, tensors, wanted)
    for part, (network, name_of) in networks.items():
        (folder / part).mkdir()
        keys = {name: name_of(name) for name in network.state_dict()}
        groups = in_groups({name: tensors[key].nbytes for name, key in keys.items()})
        shards = ({name: _own(tensors[keys[name]]) for name in group} for group in groups)
        write_shards(folder / part, shards, len(groups))


def _own(value: Tensor) -> Tensor:
    return value.clone(memory_format=torch.contiguous_format)


def read_config(path: Path) -> Published:
    """The sizes in a published ``config.json``; ``ValueError`` names the file and what is missing or does not fit."""
    config = read_json(path)
    try:
        for part, fixed in FIXED.items():
            for name, expected in fixed.items():
                found = config[part][name]
                if (list(found) if isinstance(found, list | tuple) else found) != expected:
                    raise ValueError(f"{part}.{name} is {found!r}, expected {expected!r}")
        return Published(_arm(config), _vqgan(config), unused_shapes(_arm(config), AudioSizes.of(config)))
    except KeyError as error:
        raise ValueError(f"{path}: key {error} is missing") from None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _arm(config: Mapping[str, Any]) -> UnifiedIO2Config:
    t5, vit, history = config["t5_config"], config["image_vit_cfg"], config["image_history_cfg"]
    if list(history["xattention_index"]) != list(range(history["num_layers"])):
        raise ValueError(f"image_history_cfg.xattention_index is {history['xattention_index']!r}, expected all layers")
    return UnifiedIO2Config(
        width=t5["emb_dim"],
        heads=t5["num_heads"],
        head_dim=t5["head_dim"],
        mlp=t5["mlp_dim"],
        encoder_layers=t5["num_encoder_layers"],
        decoder_layers=t5["num_decoder_layers"],
        text_vocab=t5["vocab_size"],
        image_vocab=t5["image_vocab_size"],
        codebook_size=config["image_vqgan"]["n_embed"],
        grid=t5["default_image_size"][0] // config["image_vqgan"]["patch_size"][0],
        max_text=t5["encoder_max_text_length"],
        image_patches=t5["default_image_vit_size"][0] // vit["patch_size"],
        history_patches=t5["default_image_history_vit_size"][0] // vit["patch_size"],
        history_frames=history["max_frames"],
        shown_frames=config["sequence_length"]["num_frames"],
        vit=ViTConfig(
            vit["emb_dim"], vit["num_heads"], vit["num_layers"], vit["mlp_dim"], vit["patch_size"],
            isqrt(vit["num_pos"] - 1),
        ),
        resampler=ResamplerConfig(
            history["emb_dim"], history["num_heads"], history["head_dim"], history["mlp_dim"], history["num_layers"],
            history["latents_size"], history["xattn_scaled_cosine"],
        ),
    )  # fmt: skip


def _vqgan(config: Mapping[str, Any]) -> VQGANConfig:
    own = config["image_vqgan"]
    found = VQGANConfig(
        resolution=own["resolution"],
        base_channels=own["ch"],
        channel_multipliers=tuple(own["ch_mult"]),
        num_res_blocks=own["num_res_blocks"],
        z_channels=own["z_channels"],
        codebook_size=own["n_embed"],
        attention=True,
    )
    for name, expected in (("embed_dim", found.z_channels), ("attn_resolutions", [found.grid])):
        value = list(own[name]) if isinstance(expected, list) else own[name]
        if value != expected:
            raise ValueError(f"image_vqgan.{name} is {value!r}, expected {expected!r}")
    return found

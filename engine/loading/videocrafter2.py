"""VideoCrafter2 as it is published, one ``model.ckpt``, converted once to safetensors under the names of our modules.

    DIR/model.ckpt                                    UNet, VAE and text encoder in one pickle, which is not run
    DIR/converted/model.ckpt-0123456789abcdef/unet/   model.safetensors.index.json and its files; vae/, text_encoder/
    DIR/tokenizer/                                    vocab.json, merges.txt, tokenizer_config.json; or another folder

The file names no sizes: :data:`SIZES` are those of ``VideoCrafter/VideoCrafter2`` (its config inference_t2v_512_v2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..models.diffusion.checkpoint import load_component
from ..models.diffusion.clip_text import CLIPText, CLIPTextConfig
from ..models.diffusion.clip_tokenizer import CLIPTokenizer, OpenCLIPTokenizer
from ..models.diffusion.stable_diffusion import StableDiffusion, place, sample_size_of
from ..models.diffusion.vae import VAE, VAEConfig
from ..models.diffusion.video_unet import VideoUNet, VideoUNetConfig
from ..utils.weights import skeleton
from .converted import converted, find
from .shards import in_groups, write_shards
from .torch_checkpoint import check_keys, read_tensors
from .videocrafter2_names import TABLES, Source, published_shape, text_source, unet_source, unused_shapes, vae_source

FILE = "model.ckpt"
TOKENIZER = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
Sizes = Mapping[str, Mapping[str, Any]]

SIZES: Sizes = {
    "unet": {
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
        "sample_size": 40,  # the shorter side of its 320 x 512 pixels
    },
    "vae": {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
    },
    "text_encoder": {  # 23 layers run of the 24 in the file
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 23,
        "hidden_act": "gelu",
    },
    "scheduler": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "signal_scale": 0.7,
        "signal_scale_steps": 400,
        "steps_offset": 1,
    },
}


class Networks(NamedTuple):
    """The three networks, with shapes and no values."""

    unet: VideoUNet
    vae: VAE
    text_encoder: CLIPText

    @classmethod
    def of(cls, sizes: Sizes) -> Networks:
        with skeleton():
            return cls(
                VideoUNet(VideoUNetConfig.from_dict(sizes["unet"])),
                VAE(VAEConfig.from_dict(sizes["vae"])),
                CLIPText(CLIPTextConfig.from_dict(sizes["text_encoder"])),
            )

    def sources(self) -> dict[str, dict[str, Source]]:
        """Folder -> our name -> the published tensor that it is made of."""
        names: dict[str, Callable[[str], Source]] = {
            "unet": partial(unet_source, config=self.unet.config),
            "vae": partial(vae_source, config=self.vae.config),
            "text_encoder": text_source,
        }
        return {part: {name: named(name) for name in self.shapes(part)} for part, named in names.items()}

    def shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        """Our name -> shape, of one network."""
        network: nn.Module = getattr(self, part)
        return {name: tuple(value.shape) for name, value in network.state_dict().items()}

    def published(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor that the file holds, but for the tables of its noise schedule."""
        found = unused_shapes(self.text_encoder.config)
        for part, sources in self.sources().items():
            own = self.shapes(part)
            found |= {source.key: published_shape(source, own[name]) for name, source in sources.items()}
        return found


def is_published(folder: Path) -> bool:
    """Does ``model.ckpt``, or what it was converted to, lie there?"""
    return (folder / FILE).is_file() or bool(find(folder / FILE))


def load_videocrafter2(
    folder: Path, text: Path | None, sizes: Sizes, device: torch.device, dtype: torch.dtype
) -> StableDiffusion:
    """From ``folder / "model.ckpt"``, converted first if need be. ``text`` is the tokenizer's folder; where None, it is
    ``folder / "tokenizer"`` or else ``folder``.

    Raises ``ValueError`` (one line, names the file and the key) for what is missing or does not fit.
    """
    networks = Networks.of(sizes)
    tokenizer = read_tokenizer(folder, text, networks.text_encoder.config)
    path = folder / FILE
    num_bytes = path.stat().st_size if path.is_file() else 0
    made = converted(path, partial(convert, networks=networks), num_bytes)
    for part, network in networks._asdict().items():
        load_component(network, made / part, dtype)
    return StableDiffusion(
        unet=place(networks.unet, device),
        vae=place(networks.vae, device),
        text_encoder=place(networks.text_encoder, device),
        tokenizer=tokenizer,
        scheduler_config=dict(sizes["scheduler"]),
        sample_size=sample_size_of(sizes["unet"]),
    )


def read_tokenizer(folder: Path, text: Path | None, config: CLIPTextConfig) -> CLIPTokenizer:
    """CLIP's, whose ids and length are those of the text encoder."""
    own = folder / "tokenizer"
    place = text or (own if own.is_dir() else folder)
    if not any((place / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise ValueError(f"{place}: no vocab.json and merges.txt; put the tokenizer of {TOKENIZER} into {own}")
    tokenizer = OpenCLIPTokenizer.from_directory(place)
    for name, found, fits, wanted in (
        ("vocabulary", tokenizer.vocab_size, tokenizer.vocab_size <= config.vocab_size, config.vocab_size),
        ("length", tokenizer.model_max_length, tokenizer.model_max_length == config.max_position_embeddings,
         config.max_position_embeddings),
    ):  # fmt: skip
        if not fits:
            raise ValueError(f"{place}: its {name} of {found} is not the text encoder's {wanted}; take {TOKENIZER}")
    return tokenizer


def convert(path: Path, folder: Path, networks: Networks) -> None:
    """Write ``path`` as the components of ``folder``. Values stay; ``ValueError`` names the file and the key."""
    tensors = read_tensors(path)
    check_keys(path, tensors, networks.published(), TABLES)
    for part, sources in networks.sources().items():
        (folder / part).mkdir()
        shapes = networks.shapes(part)
        groups = in_groups({name: tensors[sources[name].key].nbytes for name in sources})
        shards = ({name: ours(tensors, sources[name], shapes[name]) for name in group} for group in groups)
        write_shards(folder / part, shards, len(groups))


def ours(tensors: Mapping[str, Tensor], source: Source, shape: tuple[int, ...]) -> Tensor:
    """The tensor of our module, in memory of its own."""
    value = tensors[source.key]
    part = value if source.third is None else value.chunk(3)[source.third]
    return part.reshape(shape).clone(memory_format=torch.contiguous_format)

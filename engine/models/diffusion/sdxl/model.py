"""SDXL's diffusers directory, or one with another UNet's file in the place of its own -> networks, ready to run.

SDXL-Lightning (arXiv 2402.13929) is published as UNets in single files with diffusers' names: all else is SDXL's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ....utils.weights import read_json, skeleton
from .. import clip_text, vae
from ..checkpoint import find_weights, load_files
from ..clip_text import CLIPText, CLIPTextConfig
from ..clip_tokenizer import CLIPTokenizer
from ..stable_diffusion import IGNORED, check_index, config_of, load_network, place, read_scheduler, sample_size_of
from ..vae import VAE, VAEConfig
from . import text
from .text import ProjectedText, ProjectedTextConfig
from .unet import SDXLUNet, SDXLUNetConfig

PIPELINES = ("StableDiffusionXLPipeline",)
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "scheduler": (),
}
UNUSED = IGNORED | {"force_zeros_for_empty_prompt", "add_watermarker"}  # of guidance, and marks of finished pictures


class TextTokenizer(Protocol):
    """Text to a fixed number of ids."""

    @property
    def eos_id(self) -> int: ...

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, list[str | None]]:
        """(ids int64 [B, S], for each prompt the text that was kept or None if all of it was)."""
        ...


@dataclass(frozen=True)
class Prompts:
    """Encoded prompts: ``states`` [B, S, D] of both encoders, ``pooled`` [B, P], and for each prompt the text that was
    kept, or None if all of it was."""

    states: Tensor
    pooled: Tensor
    kept: list[str | None]


@dataclass(frozen=True)
class SDXL:
    """The networks of one directory, in evaluation mode and without gradients. The VAE is float32 at least: its
    activations overflow float16."""

    unet: SDXLUNet
    vae: VAE
    text_encoder: CLIPText
    text_encoder_2: ProjectedText
    tokenizer: TextTokenizer
    tokenizer_2: TextTokenizer
    scheduler_config: dict[str, Any]
    sample_size: int | None = None

    @classmethod
    def from_directory(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        unet_file: str | Path | None = None,
    ) -> SDXL:
        """Loads a diffusers directory of SDXL, with the weights in ``unet_file`` in the place of its UNet's.

        Raises ValueError (one line) that names the file and the key: another pipeline or component, an unsupported
        config field, a missing or truncated file, wrong keys or shapes, parts that do not fit.
        """
        path = Path(path)
        check_index(path, PIPELINES, COMPONENTS, UNUSED)
        tokenizers = [CLIPTokenizer.from_directory(path / name) for name in ("tokenizer", "tokenizer_2")]
        with skeleton():
            unet = SDXLUNet(unet_config := SDXLUNetConfig.from_dict(*config_of(path / "unet")))
            autoencoder = VAE(VAEConfig.from_dict(*config_of(path / "vae")))
            encoder = CLIPText(CLIPTextConfig.from_dict(*config_of(path / "text_encoder")))
            second = ProjectedText(second_config := ProjectedTextConfig.from_dict(*config_of(path / "text_encoder_2")))
        _check_fit(path, unet_config, autoencoder.config, encoder.config, second_config)
        for name, tokenizer, config in zip(
            ("text_encoder", "text_encoder_2"), tokenizers, (encoder.config, second_config), strict=True
        ):
            _check_tokenizer(path / name / "config.json", tokenizer, config)
        load_files(unet, unet_files(path, unet_file, dtype), dtype)
        wide = torch.promote_types(dtype, torch.float32)
        return cls(
            unet=place(unet, device),
            vae=load_network(autoencoder, path / "vae", device, wide, vae.current_key),
            text_encoder=load_network(encoder, path / "text_encoder", device, dtype, clip_text.current_key),
            text_encoder_2=load_network(second, path / "text_encoder_2", device, dtype, text.current_key),
            tokenizer=tokenizers[0],
            tokenizer_2=tokenizers[1],
            scheduler_config=read_scheduler(path),
            sample_size=sample_size_of(read_json(path / "unet" / "config.json")),
        )

    @property
    def device(self) -> torch.device:
        """The device that the networks are on."""
        return self.text_encoder.final_layer_norm.weight.device

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Prompts:
        """Both encoders' states before their last layers, side by side, and the second one's vector."""
        ids, kept = self.tokenizer.encode(prompts)
        second_ids, _ = self.tokenizer_2.encode(prompts)
        states, _ = self.text_encoder.states(ids.to(self.device))
        second_states, last = self.text_encoder_2.states(second_ids.to(self.device))
        ends = (second_ids == self.tokenizer_2.eos_id).int().argmax(-1)  # the first one; padding may be the same id
        return Prompts(torch.cat((states, second_states), -1), self.text_encoder_2.pooled(last, ends), kept)


def unet_files(path: Path, unet_file: str | Path | None, dtype: torch.dtype) -> list[Path]:
    """The files of the UNet's weights: ``unet_file``, or the directory's."""
    if unet_file is None:
        return find_weights(path / "unet", dtype)
    if not Path(unet_file).is_file():
        raise ValueError(f"{unet_file}: no such file; give a UNet's safetensors file")
    return [Path(unet_file)]


def weight_files(path: Path, unet_file: str | Path | None, dtype: torch.dtype) -> list[Path]:
    """Every file that decides what the loaded networks compute."""
    files = unet_files(path, unet_file, dtype)
    for name in COMPONENTS:
        files += sorted(file for file in (path / name).glob("*") if file.suffix in (".json", ".txt"))
        if name in ("vae", "text_encoder", "text_encoder_2"):
            files += find_weights(path / name, torch.float32 if name == "vae" else dtype)
    return files


def _check_fit(
    path: Path, unet: SDXLUNetConfig, vae: VAEConfig, first: CLIPTextConfig, second: ProjectedTextConfig
) -> None:
    """``ValueError`` (one line) for a UNet that reads something else than the other networks make."""
    context = first.hidden_size + second.hidden_size
    for name, found, wanted, source in (
        ("in_channels", unet.in_channels, vae.latent_channels, "the VAE has"),
        ("out_channels", unet.out_channels, vae.latent_channels, "the VAE has"),
        ("cross_attention_dim", unet.cross_attention_dim, context, "the text encoders' hidden sizes are together"),
        (
            "projection_class_embeddings_input_dim",
            unet.projection_class_embeddings_input_dim,
            unet.projection_class_embeddings_input_dim - unet.pooled_dim + second.projection_dim,
            "the second text encoder's projection and the sizes have",
        ),
    ):
        if found != wanted:
            raise ValueError(f"{path / 'unet' / 'config.json'}: {name}={found}, but {source} {wanted}")


def _check_tokenizer(file: Path, tokenizer: CLIPTokenizer, config: CLIPTextConfig) -> None:
    """``ValueError`` (one line) for a tokenizer that writes more ids, or longer rows, than the encoder reads."""
    for name, found, wanted in (
        ("vocab_size", config.vocab_size, tokenizer.vocab_size),
        ("max_position_embeddings", config.max_position_embeddings, tokenizer.model_max_length),
    ):
        if found < wanted:
            raise ValueError(f"{file}: {name}={found}, but the tokenizer has {wanted}")

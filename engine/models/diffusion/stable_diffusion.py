"""A diffusers Stable Diffusion directory -> its networks, ready to run; neither diffusers nor transformers needed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...utils.weights import read_json, skeleton
from ..depth import DepthModel
from ..layers.fused import fuse
from . import clip_text, vae
from .checkpoint import Rename, load_component
from .clip_text import CLIPText, CLIPTextConfig
from .clip_tokenizer import CLIPTokenizer
from .clip_unet import ClipUNet
from .controlnet import ControlNet
from .denoiser import Controller, Denoiser
from .scheduler_config import SchedulerConfig, unused_settings
from .unet import UNet, UNetConfig
from .vae import VAE, VAEConfig

M = TypeVar("M", bound=nn.Module)
LOG = logging.getLogger("acdc")

PIPELINES = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)
COMPONENTS: dict[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "scheduler": (),  # any that we have a sampler for (scheduler_classes.py)
}
# Filters and inputs that correction does not use.
IGNORED = frozenset({"safety_checker", "requires_safety_checker", "feature_extractor", "image_encoder"})


@dataclass(frozen=True)
class StableDiffusion:
    """The networks of one directory, in evaluation mode and without gradients. ``sample_size`` is the side of the
    latents that the UNet was trained on, where that is known."""

    unet: Denoiser
    vae: VAE
    text_encoder: CLIPText
    tokenizer: CLIPTokenizer
    scheduler_config: dict[str, Any]
    controlnet: Controller | None = None
    depth_model: DepthModel | None = None
    sample_size: int | None = None

    @property
    def native_size(self) -> int | None:
        """Pixels of the shorter side that the UNet was trained at; None: unknown."""
        return None if self.sample_size is None else self.sample_size * self.vae.downscale

    @property
    def inpaints(self) -> bool:
        """Does the UNet read a mask and the masked picture's latents after its own (9 channels)?"""
        return self.unet.config.in_channels > self.vae.config.latent_channels

    @property
    def denoisers(self) -> list[nn.Module]:
        """The networks of which a step runs a pass."""
        networks: tuple[object, object] = (self.unet, self.controlnet)
        return [network for network in networks if isinstance(network, nn.Module)]

    @property
    def max_clip_frames(self) -> int | None:
        """The longest clip that is corrected together; None: it corrects pictures one by one."""
        unet = getattr(self.unet, "unet", self.unet)  # a plan that replaces it holds it under this name
        return unet.max_frames if isinstance(unet, ClipUNet) else None

    @classmethod
    def from_directory(
        cls, path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> StableDiffusion:
        """Loads SD 1.x or 2.x, for inpainting as well, or a smaller network of the same kind, from a diffusers
        directory.

        Raises ValueError (one line) that names the file and the key: another pipeline or component, an
        unsupported config field, a missing or truncated file, wrong keys or shapes, parts that do not fit.
        """
        path = Path(path)
        _check_index(path)
        tokenizer = CLIPTokenizer.from_directory(path / "tokenizer")
        with skeleton():
            unet = UNet(UNetConfig.from_dict(*_config(path / "unet")))
            autoencoder = VAE(VAEConfig.from_dict(*_config(path / "vae")))
            text_encoder = CLIPText(CLIPTextConfig.from_dict(*_config(path / "text_encoder")))
        _check_fit(path, unet.config, autoencoder.config, text_encoder.config, tokenizer)
        return cls(
            unet=_load(unet, path / "unet", device, dtype),
            vae=_load(autoencoder, path / "vae", device, dtype, vae.current_key),
            text_encoder=_load(text_encoder, path / "text_encoder", device, dtype, clip_text.current_key),
            tokenizer=tokenizer,
            scheduler_config=read_scheduler(path),
            sample_size=sample_size_of(read_json(path / "unet" / "config.json")),
        )

    def steered(self, controlnet: str | Path | None = None, depth_model: str | Path | None = None) -> StableDiffusion:
        """A copy with the ControlNet in one directory and transformers' depth model in another, on the same device.

        Raises ValueError (one line) that names the file and the key, also where the ControlNet is another UNet's.
        """
        like, found = self.text_encoder.final_layer_norm.weight, self
        if controlnet is not None:
            network = ControlNet.from_directory(controlnet, like.dtype)
            network.config.check_fit(self.unet.config, self.vae.downscale, str(Path(controlnet) / "config.json"))
            found = replace(found, controlnet=place(network, like.device))
        if depth_model is not None:
            found = replace(found, depth_model=DepthModel.from_directory(depth_model, like.device))
        return found

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> tuple[Tensor, list[str | None]]:
        """(text states [B, S, D], for each prompt the text that was kept, or None if all of it was)."""
        ids, kept = self.tokenizer.encode(prompts)
        return self.text_encoder(ids.to(self.text_encoder.final_layer_norm.weight.device)), kept


def sample_size_of(unet: Mapping[str, Any]) -> int | None:
    """The side of the latents of training that a UNet's config names, if it names one."""
    size = unet.get("sample_size")
    return size if type(size) is int and size > 0 else None


def _check_index(path: Path) -> None:
    if not path.is_dir():
        raise ValueError(f"{path}: no such directory")
    file = path / "model_index.json"
    index = read_json(file)
    if index.get("_class_name") not in PIPELINES:
        raise ValueError(f"{file}: _class_name={index.get('_class_name')!r} is not {' or '.join(PIPELINES)}")
    for name, classes in COMPONENTS.items():
        entry = index.get(name)
        if not isinstance(entry, list) or len(entry) != 2 or entry[1] is None:
            raise ValueError(f"{file}: component {name!r} is missing")
        if classes and entry[1] not in classes:
            raise ValueError(f"{file}: {name}={entry[1]!r} is not {' or '.join(classes)}")
    for name, entry in index.items():
        unused = name in COMPONENTS or name in IGNORED or name.startswith("_")
        if not unused and entry not in (None, [None, None]):
            raise ValueError(f"{file}: component {name!r} is not supported (served: {', '.join(COMPONENTS)})")


def read_scheduler(path: Path, **changes: Any) -> dict[str, Any]:
    """The noise schedule in a directory, with ``changes``; ``ValueError`` names the file and what our sampler cannot
    honour.

    Its class names the sampler; DDIM runs where we have none for it. A warning names settings that are not used.
    """
    file = path / "scheduler" / "scheduler_config.json"
    config = read_json(file) | changes
    try:
        SchedulerConfig.from_dict(config)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if unused := unused_settings(config):
        LOG.warning("acdc: %s: %s not used: our sampler spaces its own steps", file, ", ".join(unused))
    return config


def _config(folder: Path) -> tuple[dict[str, Any], str]:
    file = folder / "config.json"
    return read_json(file), str(file)


def _check_fit(path: Path, unet: UNetConfig, vae: VAEConfig, text: CLIPTextConfig, tokenizer: CLIPTokenizer) -> None:
    latent, context = vae.latent_channels, text.hidden_size
    inputs = (latent, 2 * latent + 1)  # for inpainting: also a mask, and the masked picture's latents
    for fits, file, words in (
        (
            unet.in_channels in inputs,
            "unet",
            f"in_channels={unet.in_channels}, but the VAE has {latent} (served: {inputs[0]} or {inputs[1]})",
        ),
        (unet.out_channels == latent, "unet", f"out_channels={unet.out_channels}, but the VAE has {latent}"),
        (
            unet.cross_attention_dim == context,
            "unet",
            f"cross_attention_dim={unet.cross_attention_dim}, but the text encoder's hidden_size is {context}",
        ),
        (
            tokenizer.vocab_size <= text.vocab_size,
            "text_encoder",
            f"vocab_size={text.vocab_size}, but the tokenizer has {tokenizer.vocab_size}",
        ),
        (
            tokenizer.model_max_length <= text.max_position_embeddings,
            "text_encoder",
            f"max_position_embeddings={text.max_position_embeddings}, but the tokenizer writes "
            f"{tokenizer.model_max_length}",
        ),
    ):
        if not fits:
            raise ValueError(f"{path / file / 'config.json'}: {words}")


def _load(
    module: M,
    folder: Path,
    device: str | torch.device,
    dtype: torch.dtype,
    rename: Rename = lambda name: name,
) -> M:
    load_component(module, folder, dtype, rename)
    return place(module, device)


def place(module: M, device: str | torch.device) -> M:
    """A loaded network on its device, ready to run."""
    module.to(device).eval().requires_grad_(False)
    fuse(module, device)
    return module

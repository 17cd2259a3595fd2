"""A diffusers Stable Diffusion directory -> its networks, ready to run; neither diffusers nor transformers needed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
from .deepfloyd.pixel_coder import PixelCoder
from .deepfloyd.t5_text import T5Text
from .deepfloyd.t5_tokenizer import T5Tokenizer
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


class Upscaling(NamedTuple):
    """The picture that an upscaling UNet reads after its own: the same ``factor`` times smaller, enlarged, and noised
    once to alpha-bar ``alpha``."""

    factor: int
    alpha: float


@dataclass(frozen=True)
class StableDiffusion:
    """The networks of one directory, in evaluation mode and without gradients.

    ``sample_size`` is the side of the latents that the UNet was trained on, where that is known. ``upscaling`` is for a
    UNet that also reads a small picture; ``stage_one`` is the model that corrects that picture first, where there is a
    cascade of two.
    """

    unet: Denoiser
    vae: VAE | PixelCoder
    text_encoder: CLIPText | T5Text
    tokenizer: CLIPTokenizer | T5Tokenizer
    scheduler_config: dict[str, Any]
    controlnet: Controller | None = None
    depth_model: DepthModel | None = None
    sample_size: int | None = None
    upscaling: Upscaling | None = None
    stage_one: StableDiffusion | None = None

    @property
    def native_size(self) -> int | None:
        """Pixels of the shorter side that the UNet was trained at; None: unknown."""
        return None if self.sample_size is None else self.sample_size * self.vae.downscale

    @property
    def inpaints(self) -> bool:
        """Does the UNet read a mask and the masked picture's latents after its own (9 channels)?"""
        return self.upscaling is None and self.unet.config.in_channels > self.vae.config.latent_channels

    @property
    def denoisers(self) -> list[nn.Module]:
        """The networks of which a step runs a pass."""
        networks: tuple[object, object] = (self.unet, self.controlnet)
        own = [network for network in networks if isinstance(network, nn.Module)]
        return own if self.stage_one is None else [*own, *self.stage_one.denoisers]

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
        check_index(path, PIPELINES, COMPONENTS, IGNORED)
        tokenizer = CLIPTokenizer.from_directory(path / "tokenizer")
        with skeleton():
            unet = UNet(UNetConfig.from_dict(*config_of(path / "unet")))
            autoencoder = VAE(VAEConfig.from_dict(*config_of(path / "vae")))
            text_encoder = CLIPText(CLIPTextConfig.from_dict(*config_of(path / "text_encoder")))
        _check_fit(path, unet.config, autoencoder.config, text_encoder.config, tokenizer)
        return cls(
            unet=load_network(unet, path / "unet", device, dtype),
            vae=load_network(autoencoder, path / "vae", device, dtype, vae.current_key),
            text_encoder=load_network(text_encoder, path / "text_encoder", device, dtype, clip_text.current_key),
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
            assert isinstance(self.unet, UNet), "no plan has taken its place yet"
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


def check_index(
    path: Path, pipelines: Sequence[str], components: Mapping[str, tuple[str, ...]], ignored: Collection[str]
) -> None:
    """``ValueError`` (one line) unless a directory is of one of the ``pipelines`` and holds the ``components``, each of
    one of its classes (none listed: of any), and no others but ``ignored`` ones."""
    if not path.is_dir():
        raise ValueError(f"{path}: no such directory")
    file = path / "model_index.json"
    index = read_json(file)
    if index.get("_class_name") not in pipelines:
        raise ValueError(f"{file}: _class_name={index.get('_class_name')!r} is not {' or '.join(pipelines)}")
    for name, classes in components.items():
        entry = index.get(name)
        if not isinstance(entry, list) or len(entry) != 2 or entry[1] is None:
            raise ValueError(f"{file}: component {name!r} is missing")
        if classes and entry[1] not in classes:
            raise ValueError(f"{file}: {name}={entry[1]!r} is not {' or '.join(classes)}")
    for name, entry in index.items():
        unused = name in components or name in ignored or name.startswith("_")
        if not unused and entry not in (None, [None, None]):
            raise ValueError(f"{file}: component {name!r} is not supported (served: {', '.join(components)})")


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


def config_of(folder: Path) -> tuple[dict[str, Any], str]:
    """A component's config, and the name of its file for messages."""
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


def load_network(
    module: M,
    folder: Path,
    device: str | torch.device,
    dtype: torch.dtype,
    rename: Rename = lambda name: name,
) -> M:
    """A component with the weights in its folder, on its device, ready to run."""
    load_component(module, folder, dtype, rename)
    return place(module, device)


def place(module: M, device: str | torch.device) -> M:
    """A loaded network on its device, ready to run."""
    module.to(device).eval().requires_grad_(False)
    fuse(module, device)
    return module

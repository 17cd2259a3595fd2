"""ACDiT as it is published, one file of ``torch.save`` a model, converted once to safetensors.

    DIR/ACDiT-XL-img.pt                                  {"model": tensors, "args": Namespace, ...}, which is not run
    DIR/converted/ACDiT-XL-img.pt-0123456789abcdef/      config.json, model.safetensors.index.json and its files
    VAE/vae/ or VAE/                                     Stable Diffusion's autoencoder as diffusers writes it

The file's arguments say how pictures are cut into tokens and blocks; its tensors, how many layers and classes it has.
Its sampling scripts read "model" and not "ema"; so is it here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.acdit.config import CLIP_SPLIT, PICTURE_SPLIT, PUBLISHED, ACDiTConfig
from ..models.acdit.network import ACDiT
from ..models.diffusion.checkpoint import find_weights, load_component
from ..models.diffusion.stable_diffusion import config_of, load_network, place
from ..models.diffusion.vae import VAE, VAEConfig, current_key
from ..utils.atomic import write_bytes
from ..utils.file_digest import file_digest
from ..utils.weights import read_json, skeleton
from .converted import converted, find
from .families.stable_diffusion import SIZES
from .fingerprint import DIGITS
from .random_weights import fill
from .shards import in_groups, write_shards
from .torch_checkpoint import check_keys, read_trained

CONFIG = "config.json"
VAE_REPOSITORY = "facebook/DiT-XL-2-256"
NAMES = tuple(PUBLISHED)


def load_acdit(path: Path, device: torch.device, dtype: torch.dtype) -> ACDiT:
    """The network of a published file, which is converted first if need be, or of a folder of converted weights.

    Raises ``ValueError`` (one line, names the file and the key) for what is missing or does not fit.
    """
    folder = weights_folder(path)
    try:
        with skeleton():
            model = ACDiT(ACDiTConfig.from_dict(read_json(folder / CONFIG)))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None
    load_component(model, folder, dtype)
    return place(model, device)


def weights_folder(path: Path) -> Path:
    """The folder with ``config.json`` and safetensors of a published file, or ``path`` itself where it is one."""
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise ValueError(f"{path}: no {CONFIG}; give a published file, such as ACDiT-XL-img.pt")
        return path
    if not path.is_file() and not find(path):
        raise ValueError(f"{path}: no such file; give a published file, such as ACDiT-XL-img.pt")
    return converted(path, convert, path.stat().st_size if path.is_file() else 0)


def convert(path: Path, folder: Path) -> None:
    """Write ``path`` as safetensors and ``config.json`` into ``folder``. Values and names stay; ``ValueError`` names
    the file and the key."""
    tensors, args = read_trained(path)
    config = config_from(path, tensors, args)
    with skeleton():
        wanted = {name: tuple(value.shape) for name, value in ACDiT(config).state_dict().items()}
    check_keys(path, tensors, wanted)
    groups = in_groups({name: tensors[name].nbytes for name in wanted})
    write_shards(folder, ({name: tensors[name].clone() for name in group} for group in groups), len(groups))
    write_bytes(folder / CONFIG, config.to_json().encode())


def config_from(path: Path, tensors: Mapping[str, Tensor], args: Mapping[str, Any]) -> ACDiTConfig:
    """From a published file's tensors and arguments; ``ValueError`` names what is missing, or does not fit."""
    try:
        width, token_dim = tensors["x_embedder.weight"].shape
        classes = len(tensors["y_embedder.embedding_table.weight"]) - 1
        layers = sum(name.endswith(".attn.qkv.weight") for name in tensors)
        frames, split = args.get("num_frames") or 1, args.get("nd_split")
        default = CLIP_SPLIT if frames > 1 else PICTURE_SPLIT
        config = ACDiTConfig(
            num_layers=layers,
            hidden_size=width,
            num_classes=classes,
            num_frames=frames,
            latent_size=args["image_size"] // args["vae_patch_pixels"],
            latent_channels=args["vae_latent_size"],
            patch_size=args["patch_size"],
            block_tokens=args["block_size"],
            rotary_split=default if split is None else tuple(int(part) for part in split.split("_")),
        )
        if config.num_blocks != args["ar_len"] or config.token_dim != token_dim:
            found = f"{config.num_blocks} blocks of {config.block_tokens} tokens of {config.token_dim} numbers"
            raise ValueError(f"arguments say {found}, but ar_len is {args['ar_len']} and x_embedder reads {token_dim}")
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from None
    except (TypeError, AttributeError, ArithmeticError, ValueError) as error:  # made-up arguments have any type
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    return config


def vae_folder(path: Path) -> Path:
    """The autoencoder's: ``path`` or its folder ``vae``."""
    folder = path if (path / CONFIG).is_file() else path / "vae"
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{path}: no autoencoder (vae/{CONFIG}); give that of {VAE_REPOSITORY}")
    return folder


def load_vae(path: Path, device: torch.device, dtype: torch.dtype) -> VAE:
    """The autoencoder in ``path``; ``ValueError`` names the file and the key."""
    folder = vae_folder(path)
    with skeleton():
        vae = VAE(VAEConfig.from_dict(*config_of(folder)))
    return load_network(vae, folder, device, dtype, current_key)


def make_acdit(name: str, device: torch.device, dtype: torch.dtype) -> tuple[ACDiT, VAE]:
    """Networks with random weights, at the sizes of the published model ``name``; ``ValueError`` names the choices."""
    if name not in PUBLISHED:
        raise ValueError(f"unknown ACDiT {name!r}; choose {', '.join(PUBLISHED)}")
    with skeleton():
        model, vae = ACDiT(PUBLISHED[name]), VAE(VAEConfig.from_dict(SIZES["vae"]))
    return place(fill(model, device, dtype), device), place(fill(vae, device, dtype), device)


def acdit_fingerprint(model: Path, vae: Path, dtype: torch.dtype) -> str:
    """Digits that change with any byte of the weights and configs that are read; the same once the published file was
    deleted after its conversion."""
    digest = hashlib.sha256()
    for folder in (weights_folder(model), vae_folder(vae)):
        for file in (folder / CONFIG, *find_weights(folder, dtype)):
            digest.update(f"{file.name}\0{file_digest(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:DIGITS]

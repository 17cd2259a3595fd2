"""CLIP (arXiv 2103.00020) as transformers has it, from a directory of the Hugging Face hub or OpenAI's own file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ....engine.utils.weights import read_json
from ..network import Compute, MissingWeights, Network
from .clip_names import END, from_openai, openai_config
from .clip_vocabulary import find_tokenizer, tokenizer_files
from .find import find_file, need_transformers
from .preprocess import CLIP_MEAN, CLIP_STD, centre, normalized, pil_square, plain_resize, shorter_side, to_float
from .torchscript import is_torchscript, read_torchscript
from .weights_file import fill, read_weights

if TYPE_CHECKING:
    from transformers import CLIPModel


@dataclass(frozen=True)
class Variant:
    """One of OpenAI's networks: its name in results, repository, own file, and the side of its pictures."""

    name: str
    repository: str
    file: str
    size: int = 224


VARIANTS = {
    "vit-b-32": Variant("CLIP ViT-B/32", "openai/clip-vit-base-patch32", "ViT-B-32.pt"),
    "vit-b-16": Variant("CLIP ViT-B/16", "openai/clip-vit-base-patch16", "ViT-B-16.pt"),
    "vit-l-14": Variant("CLIP ViT-L/14", "openai/clip-vit-large-patch14", "ViT-L-14.pt"),
    "vit-l-14-336": Variant("CLIP ViT-L/14@336", "openai/clip-vit-large-patch14-336", "ViT-L-14-336px.pt", size=336),
}
WAYS = {
    "pil": "PIL bicubic, antialiased, shorter side {size}, centre crop, CLIP mean and deviation",
    "tensor": "bicubic without antialiasing, shorter side {size}, centre crop, CLIP mean and deviation",
    "squeezed": "PIL bicubic, antialiased, straight to {size} x {size}, CLIP mean and deviation",
}


def clip_files(models: Path | None, variant: Variant) -> dict[str, Path]:
    """The file of weights, and the configuration of a hub's directory; :class:`..network.MissingWeights` else."""
    need_transformers()
    source = f"hf download {variant.repository}, or OpenAI's {variant.file}"
    for name in ("model.safetensors", "pytorch_model.bin"):
        try:
            path = find_file(models, name, source, variant.repository)
        except MissingWeights:
            continue
        if (path.parent / "config.json").is_file() and path.parent != models:
            return {f"{variant.repository}/{name}": path}
    try:
        return {variant.file: find_file(models, variant.file, source)}
    except MissingWeights:
        raise MissingWeights(f"{variant.repository}/model.safetensors", source) from None


def load_clip(path: Path) -> CLIPModel:
    """The network in float32; ``ValueError`` (one line: file, key) for weights that do not fit."""
    from transformers import CLIPConfig, CLIPModel  # an extra, and slow to import

    if path.name in {variant.file for variant in VARIANTS.values()}:
        tensors = read_torchscript(path) if is_torchscript(path) else read_weights(path)
        try:
            config = openai_config(tensors)
        except KeyError as error:
            raise ValueError(f"{path}: key {error} is missing") from None
        tensors = from_openai(tensors)
    else:
        config = read_json(path.parent / "config.json")
        tensors = {name: one for name, one in read_weights(path).items() if not name.endswith("position_ids")}
        config["text_config"] = {**(config.get("text_config") or {}), "eos_token_id": END}
    model = CLIPModel(CLIPConfig(**_known(config))).eval()
    fill(model, path, tensors)
    return model


def _known(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in ("text_config", "vision_config", "projection_dim") if name in config}


def prepared(pictures: Sequence[NDArray[np.uint8]], size: int, way: str) -> Tensor:
    """[N, 3, size, size] by one of ``WAYS``."""
    if way == "pil":
        return pil_square(pictures, size, CLIP_MEAN, CLIP_STD)
    if way == "squeezed":
        resized = [np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC)) for p in pictures]
        return normalized(torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2) / 255.0, CLIP_MEAN, CLIP_STD)
    made = []
    for picture in pictures:
        height, width = shorter_side(picture.shape[0], picture.shape[1], size)
        top, left = centre(height, width, size)
        pixels = plain_resize(to_float(picture), height, width, "bicubic")
        made.append(pixels[..., top : top + size, left : left + size])
    return normalized(torch.cat(made) / 255, CLIP_MEAN, CLIP_STD)


def embedding(found: Any) -> Tensor:
    """The projected embedding, which transformers 5 wraps."""
    return torch.as_tensor(found if isinstance(found, Tensor) else found.pooler_output)


class CLIPImages(Network):
    """Projected embeddings of frames, not normalised, as :class:`..network.Network`."""

    batch = 32

    def __init__(self, models: Path | None, variant: str = "vit-b-32", way: str = "pil") -> None:
        super().__init__(models)
        self.variant, self.way = VARIANTS[variant], way
        self.name, self.preprocessing = self.variant.name, WAYS[way].format(size=self.variant.size)

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        return clip_files(self.models, self.variant)

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        model = load_clip(*self.files().values()).to(device)

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            pixels = prepared(pictures, self.variant.size, self.way).to(device)
            return np.asarray(embedding(model.get_image_features(pixel_values=pixels)).cpu().numpy())

        return compute


class CLIPTexts(Network):
    """Projected embeddings of texts, as :class:`..network.Network`; a long text is cut at 77 tokens."""

    batch = 64
    preprocessing = "77 tokens of CLIP's byte pairs"

    def __init__(self, models: Path | None, variant: str = "vit-b-32") -> None:
        super().__init__(models)
        self.variant = VARIANTS[variant]
        self.name = f"{self.variant.name}, texts"

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        return {**clip_files(self.models, self.variant), **tokenizer_files(self.models, self.variant.repository)}

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        model = load_clip(*clip_files(self.models, self.variant).values()).to(device)
        tokenizer = find_tokenizer(self.models, self.variant.repository)

        def compute(texts: Sequence[str]) -> NDArray[np.float32]:
            ids, _ = tokenizer.encode(texts)
            return np.asarray(embedding(model.get_text_features(input_ids=ids.to(device))).cpu().numpy())

        return compute

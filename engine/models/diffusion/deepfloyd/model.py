"""DeepFloyd IF's diffusers directories -> the networks of a correction in pixel space.

    STAGE_TWO/          unet, scheduler, image_noising_scheduler, text_encoder (T5), tokenizer
    STAGE_ONE/          unet, scheduler; its text encoder is the same and is read where STAGE_TWO has none

A frame is corrected by stage II at its own size. Stage II also reads the frame at a quarter of the size, which stage I
corrects first where there is one. The safety checker and the watermarker of the directories do not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ....utils.weights import read_json, skeleton
from ..scheduler_config import SchedulerConfig, alphas_cumprod
from ..stable_diffusion import (
    StableDiffusion,
    Upscaling,
    check_index,
    config_of,
    load_network,
    read_scheduler,
    sample_size_of,
)
from .config import IFUNetConfig
from .pixel_coder import PixelCoder
from .t5_text import T5Text, T5TextConfig, current_key
from .t5_tokenizer import T5Tokenizer
from .unet import NOISE_LEVEL, IFUNet

PIPELINES = (
    "IFPipeline",
    "IFImg2ImgPipeline",
    "IFInpaintingPipeline",
    "IFSuperResolutionPipeline",
    "IFImg2ImgSuperResolutionPipeline",
    "IFInpaintingSuperResolutionPipeline",
)
COMPONENTS: Mapping[str, tuple[str, ...]] = {"unet": ("UNet2DConditionModel",), "scheduler": ()}
NOISING = "image_noising_scheduler"
# The text side, which one of the two directories has; and filters and marks of finished pictures.
TEXT = ("text_encoder", "tokenizer")
IGNORED = frozenset({*TEXT, NOISING, "safety_checker", "requires_safety_checker", "feature_extractor", "watermarker"})
STAGE_ONE = "stage_one"  # folder of stage II's directory in which stage I may lie
FACTOR = 4  # by which stage II enlarges

TextSide = tuple[T5Text, T5Tokenizer]


def from_directories(
    path: str | Path,
    stage_one: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    noise_level: int = NOISE_LEVEL,
) -> StableDiffusion:
    """Stage II in ``path``, with the stage I in ``stage_one`` where one is given.

    Raises ValueError (one line) that names the file and the key: another pipeline or stage, an unsupported field, a
    missing or truncated file, wrong keys or shapes, parts that do not fit.
    """
    folders = [Path(folder) for folder in (path, stage_one) if folder is not None]
    for folder in folders:
        check_index(folder, PIPELINES, COMPONENTS, IGNORED)
    text = load_text(folders, device, dtype)
    first = load_stage(folders[1], text, False, device, dtype) if stage_one is not None else None
    return load_stage(folders[0], text, True, device, dtype, noise_level, first)


def load_stage(
    path: Path,
    text: TextSide,
    upscales: bool,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    noise_level: int = NOISE_LEVEL,
    stage_one: StableDiffusion | None = None,
) -> StableDiffusion:
    """One stage: II if it ``upscales``; ``ValueError`` as for :func:`from_directories`."""
    raw, file = config_of(path / "unet")
    config = IFUNetConfig.from_dict(raw, file)
    if config.upscales != upscales:
        wanted, advice = ("6, stage II", "stage I goes with it, as stage_one") if upscales else ("3, stage I", "")
        said = f"in_channels={config.in_channels}, expected {wanted}"
        raise ValueError(f"{file}: {'; '.join(filter(None, (said, advice)))}")
    if config.encoder_hid_dim != (found := text[0].config.d_model):
        raise ValueError(f"{file}: encoder_hid_dim={config.encoder_hid_dim}, but the text encoder's d_model is {found}")
    scheduler = read_scheduler(path)
    with skeleton():
        unet = IFUNet(config, noise_level)
    upscaling = read_upscaling(path, noise_level) if upscales else None
    ready = load_network(unet, path / "unet", device, dtype)
    size = sample_size_of(raw)
    coder = PixelCoder()
    return StableDiffusion(ready, coder, *text, scheduler, sample_size=size, upscaling=upscaling, stage_one=stage_one)


def read_upscaling(path: Path, noise_level: int) -> Upscaling:
    """The small picture that stage II reads, by its own schedule of that one's noise; ``ValueError`` names the file."""
    file = path / NOISING / "scheduler_config.json"
    try:
        return upscaling_of(read_json(file), noise_level)
    except ValueError as error:
        raise ValueError(str(error) if str(file) in str(error) else f"{file}: {error}") from None


def upscaling_of(noising: Mapping[str, Any], noise_level: int) -> Upscaling:
    """By the config of the ``noising`` schedule; ``ValueError`` for a level that it does not have."""
    alphas = alphas_cumprod(SchedulerConfig.from_dict(noising))
    if not 0 <= noise_level < len(alphas):
        raise ValueError(f"noise_level {noise_level} is out of range; choose 0 to {len(alphas) - 1}")
    return Upscaling(FACTOR, float(alphas[noise_level]))


def load_text(folders: list[Path], device: str | torch.device, dtype: torch.dtype) -> TextSide:
    """The text side of the first of the directories that has one, in bfloat16 where the dtype is float16: T5's
    activations overflow that (huggingface/transformers#4586)."""
    for path in folders:
        if all((path / name).is_dir() for name in TEXT):
            tokenizer = T5Tokenizer.from_directory(path / "tokenizer")
            config = T5TextConfig.from_dict(*config_of(path / "text_encoder"))
            if tokenizer.vocab_size > config.vocab_size:
                said = f"vocab_size={config.vocab_size}, but the tokenizer has {tokenizer.vocab_size}"
                raise ValueError(f"{path / 'text_encoder' / 'config.json'}: {said}")
            with skeleton():
                encoder = T5Text(config)
            return load_network(encoder, path / "text_encoder", device, text_dtype(dtype), current_key), tokenizer
    raise ValueError(f"{folders[0]}: no {' and '.join(TEXT)}; one of IF's two directories must hold them")


def text_dtype(dtype: torch.dtype) -> torch.dtype:
    """The number type of the text encoder, next to UNets of ``dtype``."""
    return torch.bfloat16 if dtype == torch.float16 else dtype

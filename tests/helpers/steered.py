"""Small Stable Diffusion directories with a mask or a ControlNet, written by diffusers, and diffusers' pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from torch import Tensor

from acdc.engine.loading.fallbacks import FALLBACKS
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.sdedit.correction import Correction
from acdc.engine.utils.rng import Purpose
from tests.helpers.published import TEXT, UNETS, VAES, load_theirs, randomise, write_tokenizer

PROMPTS = ["Benny the beagle in a vibrant garden.", "Benny sat in the garden."]
SEEDS = [5, 6]
HEIGHT, WIDTH = 88, 104  # 11 x 13 latents
WIDTHS = [4, 8, 12, 16]  # of the ControlNet's picture embedding
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
OFF = {"clip_sample": False, "set_alpha_to_one": False}


def networks(folder: Path, **unet: Any) -> dict[str, Any]:
    """diffusers' components, with random weights."""
    write_tokenizer(folder)
    return {
        "vae": randomise(diffusers.AutoencoderKL(**VAES["four levels"])),
        "text_encoder": randomise(transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT))),
        "tokenizer": load_theirs(folder),
        "unet": randomise(diffusers.UNet2DConditionModel(**UNETS["sd1-like"], sample_size=64, **unet)),
        "scheduler": diffusers.DDIMScheduler(**SCHEDULER, **OFF),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def small_controlnet() -> Any:
    """diffusers' ControlNet for the small UNet; its last layers are not the zeros of a fresh one."""
    config = {name: value for name, value in UNETS["sd1-like"].items() if name != "up_block_types"}
    return randomise(diffusers.ControlNetModel(**config, conditioning_embedding_out_channels=WIDTHS))


def pixels() -> Tensor:
    """Two frames [2, 3, H, W] in [-1, 1]."""
    return torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) * 2 - 1


def blot(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A grey mask with a soft edge, white in the middle."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.clip(400 - 600 * (rows**2 + 0.7 * columns**2), 0, 255).astype(np.uint8)


def options_of(**chosen: Any) -> StoryOptions:
    """Options that sample the posterior, as diffusers does."""
    return make_options(**{"guidance_scale": 5.0, "sample_posterior": True} | chosen).resolved(FALLBACKS)


def handed_out(*tensors: Tensor) -> Any:
    """A stand-in for ``randn_tensor`` that hands out these tensors in the order in which they are asked for."""
    queue = list(tensors)

    def randn_tensor(shape: Any, **_: Any) -> Tensor:
        noise = queue.pop(0)
        assert tuple(shape) == tuple(noise.shape)
        return noise

    return randn_tensor


def noises(corrector: StableDiffusion, options: StoryOptions, *purposes: Purpose) -> list[Tensor]:
    """The engine's own draws for the two frames."""
    correction = Correction(corrector, options)
    return [correction.noise(pixels(), SEEDS, 0, purpose) for purpose in purposes]

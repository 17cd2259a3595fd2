"""AnimateDiff (arXiv 2307.04725): a Stable Diffusion directory and a motion adapter's -> networks that denoise clips.

    BASE/                   a Stable Diffusion directory: VAE, text encoder, tokenizer, the UNet's spatial layers
    ADAPTER/                config.json, diffusion_pytorch_model[.fp16].safetensors: the motion modules
    ADAPTER/scheduler/      scheduler_config.json, where the adapter was trained on a noise schedule of its own

Published adapters carry no schedule. They were trained on linear betas, where Stable Diffusion's are scaled-linear, and
their model cards run DDIM with the base's config and four fields changed (:data:`PUBLISHED`); so do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .motion import MotionAdapter, MotionConfig
from .motion_unet import MotionUNet, check_fit
from .stable_diffusion import StableDiffusion, place, read_scheduler
from .unet import UNet

# guoyww/animatediff-motion-adapter-v1-5-2, README; the numbers of beta_start and beta_end stay the base's.
PUBLISHED: Mapping[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "linear",
    "timestep_spacing": "linspace",
    "steps_offset": 1,
    "clip_sample": False,
}
ADAPTER = "motion_adapter"


class AnimateDiff(StableDiffusion):
    """The networks of a base and an adapter: everything of Stable Diffusion's, and a UNet that takes clips."""

    @classmethod
    def from_directory(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        adapter: str | Path | None = None,
    ) -> AnimateDiff:
        """Loads the base in ``path`` and the adapter in ``adapter``, or in the base's folder ``motion_adapter``.

        Raises ValueError (one line) that names the file and the key, as :class:`StableDiffusion` does, also where
        base and adapter do not fit.
        """
        path = Path(path)
        folder = path / ADAPTER if adapter is None else Path(adapter)
        base = StableDiffusion.from_directory(path, "cpu", dtype)
        assert isinstance(base.unet, UNet), "just loaded"
        check_fit(base.unet.config, MotionConfig.from_directory(folder), str(folder / "config.json"))
        unet = MotionUNet.of(base.unet, MotionAdapter.from_directory(folder, dtype))
        return cls(
            unet=place(unet, device),
            vae=place(base.vae, device),
            text_encoder=place(base.text_encoder, device),
            tokenizer=base.tokenizer,
            scheduler_config=clip_scheduler(path, folder),
            sample_size=base.sample_size,
        )


def clip_scheduler(base: Path, adapter: Path) -> dict[str, Any]:
    """The adapter's own noise schedule if it brings one, else the base's as published adapters were trained on it."""
    if (adapter / "scheduler").is_dir():
        return read_scheduler(adapter)
    return read_scheduler(base, **PUBLISHED)

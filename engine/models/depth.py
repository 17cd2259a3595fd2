"""Depth of a frame by a local model, for a ControlNet: any that transformers reads (DPT, Depth Anything, ...)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FAR_IS_LARGE = "metric"  # of a config's depth_estimation_type: depth in metres, where others give its inverse


class DepthModel:
    """Inverse depth, scaled from 0 (far) to 1 (near) in each picture: the convention of published depth ControlNets."""

    def __init__(self, model: Any, processor: Any) -> None:
        """``model`` and ``processor`` are transformers', for depth estimation."""
        self.model, self.processor = model, processor
        config = model.config
        metric = getattr(config, "depth_estimation_type", None) == FAR_IS_LARGE
        self.far_is_large = metric or config.model_type == "zoedepth"

    @classmethod
    def from_directory(cls, path: str | Path, device: torch.device | str = "cpu") -> DepthModel:
        """Loads a model in float32: safetensors only, no code of its own, no network.

        ``ValueError`` (one line) names the folder where transformers is missing or cannot read it.
        """
        folder = Path(path)
        if not (folder / "config.json").is_file():
            raise ValueError(f"depth model {str(path)!r} has no config.json; give a transformers directory")
        if find_spec("transformers") is None:
            raise ValueError(
                f"depth model {str(path)!r} needs the package 'transformers', which is not installed: "
                "pip install 'acdc-engine[local]'"
            )
        transformers = import_module("transformers")
        try:
            processor = transformers.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
            model = transformers.AutoModelForDepthEstimation.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except Exception as error:  # transformers raises whatever its many loaders raise
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"depth model {str(path)!r} cannot be loaded: {reason}") from None
        return cls(model.to(device).eval().requires_grad_(False), processor)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """``pixels`` [B, 3, H, W] in [-1, 1] -> [B, 3, H, W] in [0, 1], near is bright; of each picture alone."""
        levels = pixels.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
        pictures = list(levels.movedim(1, -1).cpu().numpy())
        inputs = self.processor(images=pictures, return_tensors="pt").pixel_values.to(self.model.device)
        depth = self.model(inputs).predicted_depth.float()
        if self.far_is_large:
            depth = 1 / depth.clamp(min=1e-6)
        depth = F.interpolate(depth[:, None], size=pixels.shape[-2:], mode="bicubic", align_corners=False)
        least, most = depth.amin((1, 2, 3), keepdim=True), depth.amax((1, 2, 3), keepdim=True)
        return (
            ((depth - least) / (most - least).clamp(min=torch.finfo(depth.dtype).tiny))
            .to(pixels.dtype)
            .expand(-1, 3, -1, -1)
        )

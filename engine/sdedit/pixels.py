"""Between pictures (uint8, [H, W, 3]) and the models' pixels (float, [B, 3, H, W] in [-1, 1])."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..utils.picture import upright_rgb


def to_uint8(pixels: Tensor) -> NDArray[np.uint8]:
    """[..., 3, H, W] in [-1, 1] -> [..., H, W, 3], rounded to the nearest of 256 levels."""
    levels = pixels.float().clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return levels.movedim(-3, -1).contiguous().cpu().numpy()


def check_finite(index: int, draft: Tensor, shown: Tensor, unit: str = "frame") -> None:
    """``ValueError`` (one line, with what helps) where a picture of frame ``index`` (or other ``unit``) holds NaN or
    infinity.

    Without it both become black pixels, and the ARM draws on after them.
    """
    for part, pixels in (("tokenizer's decoder", draft), ("corrector", shown)):
        if not bool(torch.isfinite(pixels).all()):
            kind = str(pixels.dtype).removeprefix("torch.")
            advice = "choose --dtype float32"
            if pixels.dtype.itemsize >= 4:
                advice = "check its weights, choose a lower --guidance, or an exact --backend (eager)"
            raise ValueError(f"{unit} {index + 1}: the {part} made numbers that are not finite in {kind}; {advice}")


def from_image(image: Image.Image, resolution: int) -> Tensor:
    """A picture of any size and mode -> [3, R, R] in [-1, 1]: upright on white, the shorter side scaled to R, then the
    centre cut out. ``ValueError`` for one that cannot be read."""
    picture = upright_rgb(image)
    scale = resolution / min(picture.size)
    width, height = (max(resolution, round(side * scale)) for side in picture.size)
    left, top = (width - resolution) // 2, (height - resolution) // 2
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture = picture.crop((left, top, left + resolution, top + resolution))
    return from_array(np.asarray(picture)[None])[0]


def from_array(pictures: NDArray[np.uint8]) -> Tensor:
    """[B, H, W, 3] -> [B, 3, H, W] in [-1, 1], float32."""
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1

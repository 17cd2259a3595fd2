"""Pictures as people hold them (PIL, NumPy, torch) -> pixels in [-1, 1], and back to the same kind.

    PIL image of any mode                       -> RGB, or RGBA where it has an alpha channel
    numpy uint8 [H, W], [H, W, 3], [H, W, 4]    -> uint8 [H, W, 3] or [H, W, 4]; a batch has one axis more in front
    torch [3, H, W], [4, H, W] in 0..1          -> the same shape, dtype and device; a batch likewise

An alpha channel is handed back as it came; what lies under it is corrected as on white.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..utils.picture import upright
from .pixels import from_array, to_uint8

KINDS = "PIL images, uint8 arrays [H, W, 3], or tensors [3, H, W] in 0..1"
SLACK = 1e-3  # by how much rounding in half precision may leave 0..1


class Picture(NamedTuple):
    """``pixels`` float32 [3, H, W] in [-1, 1] on the CPU or where they were; ``back`` makes the caller's kind of a
    corrected one."""

    pixels: Tensor
    back: Callable[[Tensor], Any]


class Unpacked(NamedTuple):
    """Pictures one by one; ``pack`` joins the corrected ones as the caller had them: one, a list, or a batch."""

    pictures: list[Picture]
    pack: Callable[[list[Any]], Any]


def unpack(given: Any) -> Unpacked:
    """A picture, a sequence of them, or a batch; ``ValueError`` (one line) names the picture that is unfit."""
    if isinstance(given, Image.Image):
        return Unpacked([_from_pil(given, "the picture")], _only)
    if isinstance(given, np.ndarray | Tensor):
        batched = given.ndim == 4
        rows = list(given) if batched else [given]
        join = torch.stack if isinstance(given, Tensor) else np.stack
        return Unpacked(_each(rows), join if batched else _only)
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise ValueError(f"pictures is a {type(given).__name__}; give {KINDS}, or a list of them")
    return Unpacked(_each(given), list)


def _each(pictures: Sequence[Any]) -> list[Picture]:
    return [_picture(picture, f"picture {number}") for number, picture in enumerate(pictures, 1)]


def _only(pictures: list[Any]) -> Any:
    return pictures[0]


def _picture(given: Any, name: str) -> Picture:
    if isinstance(given, Image.Image):
        return _from_pil(given, name)
    if isinstance(given, np.ndarray):
        return _from_numpy(given, name)
    if isinstance(given, Tensor):
        return _from_tensor(given, name)
    raise ValueError(f"{name} is a {type(given).__name__}; give {KINDS}")


def _from_pil(given: Image.Image, name: str) -> Picture:
    rgb, alpha = upright(given, name)

    def back(pixels: Tensor) -> Image.Image:
        image = Image.fromarray(to_uint8(pixels))
        if alpha is not None:
            image.putalpha(alpha)
        return image

    return Picture(from_array(np.asarray(rgb)[None])[0], back)


def _from_numpy(given: NDArray[Any], name: str) -> Picture:
    channels = 1 if given.ndim == 2 else given.shape[-1]
    if given.dtype != np.uint8 or given.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in given.shape:
        raise ValueError(
            f"{name} is an array {given.dtype} {list(given.shape)}; give uint8 [H, W, 3], [H, W, 4] or [H, W]"
        )
    image = Image.fromarray(np.ascontiguousarray(given[..., 0] if given.ndim == 3 and channels == 1 else given))
    picture = _from_pil(image, name)
    return Picture(picture.pixels, lambda pixels: np.asarray(picture.back(pixels)))


def _from_tensor(given: Tensor, name: str) -> Picture:
    shape = f"{str(given.dtype).removeprefix('torch.')} {list(given.shape)}"
    if not given.is_floating_point() or given.ndim != 3 or given.shape[0] not in (3, 4) or 0 in given.shape:
        raise ValueError(f"{name} is a tensor {shape}; give floats [3, H, W] or [4, H, W] in 0..1")
    values = given.detach().float()
    low, high = values.amin().item(), values.amax().item()
    if not (low >= -SLACK and high <= 1 + SLACK):  # false for NaN, too
        raise ValueError(f"{name} has values from {low:g} to {high:g}; give 0 to 1")
    rgb, alpha = values[:3].clamp(0, 1), values[3:].clamp(0, 1)
    shown = rgb if not len(alpha) else rgb * alpha + (1 - alpha)

    def back(pixels: Tensor) -> Tensor:
        unit = (pixels.float() + 1) / 2
        return torch.cat([unit.to(given.device, given.dtype), given.detach()[3:]])

    return Picture(shown * 2 - 1, back)

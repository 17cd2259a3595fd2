"""Rendered frames as training batches, and the losses of the two picture coders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .loop import step_rng


class Frames:
    """The frames of a data set, flat: the last `heldout` stories are never trained on."""

    def __init__(self, folder: Path, heldout: int = 32) -> None:
        path = Path(folder) / "frames.npy"
        if not path.is_file():
            raise ValueError(f"{path}: no such file; write it with python -m acdc.bench.storyworld.train.dataset")
        stories = np.load(path, mmap_mode="r")  # [N, 6, H, W, 3] uint8
        if stories.shape[2] not in (64, 128):
            raise ValueError(f"{path}: pictures of {stories.shape[2]} px, expected 64 or 128")
        if len(stories) <= heldout:
            raise ValueError(f"{path}: {len(stories)} stories, expected more than the {heldout} held out")
        self.size = stories.shape[2]
        self.flat = stories.reshape(-1, *stories.shape[2:])
        self.trained = len(self.flat) - heldout * stories.shape[1]

    def batch(self, seed: int, step: int, size: int) -> Tensor:
        """Random training frames, half of them mirrored: [size, 3, H, W] in [-1, 1], a function of seed and step."""
        rng = step_rng(seed, step)
        chosen = np.sort(rng.integers(0, self.trained, size))
        mirrored = torch.from_numpy(rng.random(size) < 0.5)[:, None, None, None]
        pixels = to_pixels(self.flat[chosen])
        return torch.where(mirrored, pixels.flip(3), pixels).contiguous(memory_format=torch.channels_last)

    def heldout(self) -> Tensor:
        """The held-out frames [n, 3, H, W] in [-1, 1]."""
        return to_pixels(self.flat[self.trained :])


def to_pixels(frames: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float().contiguous().div_(127.5).sub_(1.0)


def picture_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 + 2 MSE + L1 of the image gradients, plus L1 at 1/2 and 1/4 size so that shapes settle early."""
    error = output.float() - target
    loss = error.abs().mean() + 2.0 * error.square().mean()
    loss = loss + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    half = F.avg_pool2d(error, 2)
    return loss + 0.5 * half.abs().mean() + 0.5 * F.avg_pool2d(half, 2).abs().mean()


def psnr(output: Tensor, target: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in dB, for pixels in [-1, 1]."""
    error = (output.float() - target).square().flatten(1).mean(1).clamp(min=1e-10)
    return float((10.0 * torch.log10(4.0 / error)).mean())

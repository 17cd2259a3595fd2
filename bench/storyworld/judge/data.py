"""Rendered stories as the judge reads them: small pictures, class numbers and captions, flat over frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .input import shrink

COLUMNS = ("animal", "setting", "action", "prop")  # the first columns of labels.npy


@dataclass(frozen=True)
class Renders:
    """uint8 ``images`` ``[N, 3, size, size]``, ``labels`` ``[N, 4]`` (`COLUMNS`), one refined caption a picture."""

    images: Tensor
    labels: Tensor
    captions: list[str]

    def __len__(self) -> int:
        return len(self.images)


def load_renders(directory: str | Path, size: int, stories: int | None = None) -> Renders:
    """Read the first ``stories`` (all by default) of a directory written by ``bench.storyworld.dataset``.

    ValueError if the data set is missing.
    """
    folder = Path(directory)
    if not (folder / "frames.npy").is_file():
        raise ValueError(f"{folder}: no frames.npy; write one with python -m acdc.bench.storyworld.train.dataset")
    frames = np.load(folder / "frames.npy", mmap_mode="r")[:stories]  # [S, F, H, W, 3]
    labels = np.load(folder / "labels.npy")[:stories, :, : len(COLUMNS)]
    refined = json.loads((folder / "texts.json").read_text())["refined"][:stories]
    count, length = frames.shape[:2]
    images = torch.empty(count * length, 3, size, size, dtype=torch.uint8)
    for start in range(0, count, 64):
        chunk = torch.from_numpy(np.array(frames[start : start + 64])).flatten(0, 1).permute(0, 3, 1, 2)
        small = shrink(chunk.float(), size).round().clamp(0, 255)
        images[start * length : start * length + len(small)] = small.to(torch.uint8)
    captions = [sentence for story in refined for sentence in story]
    return Renders(images, torch.from_numpy(labels.reshape(-1, len(COLUMNS)).copy()), captions)
